//! How far several networks disagree about keypoints: the paper's stability, kind 4 of its figures.

use anyhow::Result;
use star_eval::spread_over_models;

/// Standard deviation of each keypoint over networks (divisor: their number - 1, so that few are not flattered), mean over images,
/// each of which is given as what every network predicts for it, in units of the normalizer. `None` for one network, and without images.
///
/// # Errors
/// When networks predict different numbers of keypoints.
pub(crate) fn spread<'a>(images: impl Iterator<Item = Vec<&'a [[f32; 2]]>>) -> Result<Option<Vec<f64>>> {
    let (mut sums, mut count): (Vec<f64>, f64) = (Vec::new(), 0.0);
    for networks in images {
        if networks.len() < 2 {
            return Ok(None);
        }
        let unbiased = (networks.len() as f64 / (networks.len() - 1) as f64).sqrt();
        let here = spread_over_models(&networks, 1.0)?;
        sums.resize(here.len(), 0.0);
        sums.iter_mut().zip(here).for_each(|(sum, value)| *sum += unbiased * value);
        count += 1.0;
    }
    Ok((count > 0.0).then(|| sums.into_iter().map(|sum| sum / count).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_networks_apart_have_the_unbiased_deviation_of_their_distance() {
        let [a, b] = [[[0.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [1.0, 1.0]]];
        // Positions 0 and 2: squares 1 + 1 over n - 1 = 1, so sqrt(2); the second image agrees: half of it.
        let found = spread([vec![&a[..], &b[..]], vec![&a[..], &a[..]]].into_iter()).unwrap().unwrap();
        assert!((found[0] - 2.0f64.sqrt() / 2.0).abs() < 1e-9 && found[1] == 0.0, "{found:?}");
        assert!(spread([vec![&a[..]]].into_iter()).unwrap().is_none());
        assert!(spread(std::iter::empty()).unwrap().is_none());
    }
}
