//! Two methods on the same images: which images got better or worse, and whether that could be chance.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};

use crate::{Error, Result};

/// Differences up to this number get the exact distribution of Wilcoxon's statistic, where none are tied.
const EXACT_UP_TO: usize = 50;

/// A paired comparison of errors, the first method's against the second's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Paired {
    /// Images compared.
    pub images: usize,
    /// Images on which the second method is better.
    pub better: usize,
    /// Images on which the second method is worse.
    pub worse: usize,
    /// Images on which both are equally wrong, or both missing.
    pub ties: usize,
    /// Images that only the first, and only the second method found.
    pub found_by_one: [usize; 2],
    /// Mean of second minus first over the images both found; `None` where there is none.
    pub mean_difference: Option<f64>,
    /// Median of second minus first over the images both found; `None` where there is none.
    pub median_difference: Option<f64>,
    /// Two-sided sign test: probability of a split of better and worse at least this uneven by chance.
    pub sign_p: f64,
    /// Two-sided signed-rank test; `None` where no image differs.
    pub wilcoxon: Option<Wilcoxon>,
}

/// Wilcoxon's signed-rank test. Images that do not differ are left out; an image that one method missed has the largest rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wilcoxon {
    /// Sum of the ranks of images that got worse.
    pub worse_ranks: f64,
    /// Sum of the ranks of images that got better.
    pub better_ranks: f64,
    /// Two-sided probability.
    pub p: f64,
    /// Whether the exact distribution was used: at most 50 differences, no ties among them.
    pub exact: bool,
    /// Rank-biserial correlation in `[-1, 1]`: -1 where every image got better, 1 where every one got worse.
    pub effect: f64,
}

/// Compares errors of two methods on the same images in the same order; infinity stands for an image without a prediction.
///
/// ```
/// let first = [0.05, 0.04, 0.06, f64::INFINITY];
/// let second = [0.04, 0.04, 0.03, 0.20];
/// let paired = star_eval::compare(&first, &second)?;
/// assert_eq!((paired.better, paired.worse, paired.ties), (3, 0, 1));
/// // Three of three by chance, either way: 2 / 2^3.
/// assert!((paired.sign_p - 0.25).abs() < 1e-12);
/// # Ok::<(), star_eval::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`] for lists of different lengths, [`Error::Empty`] for empty ones, [`Error::ImageError`] for NaN.
pub fn compare(first: &[f64], second: &[f64]) -> Result<Paired> {
    if first.len() != second.len() {
        return Err(Error::Length {
            what: "errors of the second method",
            expected: first.len(),
            got: second.len(),
        });
    }
    if first.is_empty() {
        return Err(Error::Empty { what: "list of image errors", hint: "the two need images in common" });
    }
    for list in [first, second] {
        if let Some(index) = list.iter().position(|e| e.is_nan()) {
            return Err(Error::ImageError { index, value: f64::NAN });
        }
    }
    // Equal infinities would be NaN.
    let differences: Vec<f64> =
        first.iter().zip(second).map(|(a, b)| if a == b { 0.0 } else { b - a }).collect();
    let better = differences.iter().filter(|d| **d < 0.0).count();
    let worse = differences.iter().filter(|d| **d > 0.0).count();
    let both = |(a, b): (&f64, &f64)| (a.is_finite() && b.is_finite()).then(|| b - a);
    let mut found: Vec<f64> = first.iter().zip(second).filter_map(both).collect();
    found.sort_unstable_by(f64::total_cmp);
    let only =
        |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, b)| a.is_finite() && !b.is_finite()).count();
    Ok(Paired {
        images: first.len(),
        better,
        worse,
        ties: first.len() - better - worse,
        found_by_one: [only(first, second), only(second, first)],
        mean_difference: (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64),
        median_difference: (!found.is_empty())
            .then(|| (found[(found.len() - 1) / 2] + found[found.len() / 2]) / 2.0),
        sign_p: sign_test(better, worse),
        wilcoxon: wilcoxon(&differences),
    })
}

/// Two-sided probability of at least as uneven a split of `better + worse` coin throws; 1 without any.
pub fn sign_test(better: usize, worse: usize) -> f64 {
    let (count, fewer) = ((better + worse) as u64, better.min(worse) as u64);
    match Binomial::new(0.5, count) {
        Ok(coin) if count > 0 => (2.0 * coin.cdf(fewer)).min(1.0),
        _ => 1.0,
    }
}

/// The signed-rank test on differences; `None` where all are 0.
pub fn wilcoxon(differences: &[f64]) -> Option<Wilcoxon> {
    let mut changed: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0 && !d.is_nan()).collect();
    if changed.is_empty() {
        return None;
    }
    changed.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let count = changed.len() as f64;
    let (mut worse, mut below, mut ties) = (0.0, 0usize, 0.0);
    for run in changed.chunk_by(|a, b| a.abs() == b.abs()) {
        let size = run.len() as f64;
        // Ranks below + 1 ..= below + size share their mean.
        let rank = below as f64 + (size + 1.0) / 2.0;
        worse += rank * run.iter().filter(|d| **d > 0.0).count() as f64;
        ties += size * (size * size - 1.0);
        below += run.len();
    }
    let total = count * (count + 1.0) / 2.0;
    let better = total - worse;
    let exact = ties == 0.0 && changed.len() <= EXACT_UP_TO;
    let p = if exact {
        exact_p(changed.len(), worse.min(better))
    } else {
        let variance = count * (count + 1.0) * (2.0 * count + 1.0) / 24.0 - ties / 48.0;
        2.0 * Normal::standard().cdf(-(worse - total / 2.0).abs() / variance.sqrt())
    };
    Some(Wilcoxon {
        worse_ranks: worse,
        better_ranks: better,
        p: p.min(1.0),
        exact,
        effect: (worse - better) / total,
    })
}

/// Two-sided probability that the smaller rank sum is at most `smaller`, by counting the subsets of `1..=count` with each sum.
fn exact_p(count: usize, smaller: f64) -> f64 {
    let total = count * (count + 1) / 2;
    let mut shares = vec![0.0; total + 1];
    shares[0] = 1.0;
    for rank in 1..=count {
        for sum in (0..=total).rev() {
            let with = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = (shares[sum] + with) / 2.0;
        }
    }
    2.0 * shares[..=smaller as usize].iter().sum::<f64>()
}

/// Holm's correction of several probabilities: each as large as it must be for all to be read together.
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let mut corrected = vec![0.0; probabilities.len()];
    let mut least = 0.0f64;
    for (done, &i) in order.iter().enumerate() {
        least = least.max(probabilities[i] * (probabilities.len() - done) as f64).min(1.0);
        corrected[i] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn swapping_the_methods_swaps_the_counts_and_keeps_the_probabilities(
            pairs in prop::collection::vec((0.0f64..0.2, 0.0f64..0.2), 1..40)
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let (there, back) = (compare(&a, &b).unwrap(), compare(&b, &a).unwrap());
            prop_assert_eq!((there.better, there.worse), (back.worse, back.better));
            prop_assert!((there.sign_p - back.sign_p).abs() < 1e-12);
            if let (Some(there), Some(back)) = (there.wilcoxon, back.wilcoxon) {
                prop_assert!((there.p - back.p).abs() < 1e-12 && (there.effect + back.effect).abs() < 1e-12);
                prop_assert!((0.0..=1.0).contains(&there.p));
            }
        }
    }

    #[test]
    fn three_images_that_all_got_worse_have_the_exact_probability() {
        // Ranks 1, 2, 3, all worse: one of eight subsets, both sides.
        let found = wilcoxon(&[0.01, 0.02, 0.03]).unwrap();
        assert!(found.exact && (found.p - 0.25).abs() < 1e-12);
        assert_eq!((found.worse_ranks, found.better_ranks, found.effect), (6.0, 0.0, 1.0));
    }

    #[test]
    fn methods_that_are_alike_differ_by_chance() {
        let same = compare(&[0.1, f64::INFINITY], &[0.1, f64::INFINITY]).unwrap();
        assert_eq!((same.ties, same.sign_p, same.wilcoxon), (2, 1.0, None));
        assert_eq!(same.mean_difference, Some(0.0));
    }

    #[test]
    fn an_image_that_one_method_missed_counts_and_is_kept_out_of_the_mean() {
        let found = compare(&[0.1, 0.1, f64::INFINITY], &[0.2, f64::INFINITY, 0.1]).unwrap();
        assert_eq!((found.better, found.worse, found.found_by_one), (1, 2, [1, 1]));
        assert!((found.mean_difference.unwrap() - 0.1).abs() < 1e-12);
        // The two missing images share ranks 2 and 3: worse 1 + 2.5, better 2.5.
        assert_eq!(found.wilcoxon.unwrap().worse_ranks, 3.5);
    }

    #[test]
    fn holms_correction_multiplies_the_smallest_most_and_keeps_the_order() {
        // Sorted 0.01 x 3, 0.03 x 2, 0.04 x 1 -> at least what came before.
        assert_eq!(holm(&[0.04, 0.01, 0.03]), [0.06, 0.03, 0.06]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
