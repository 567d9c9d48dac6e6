//! How far the runs' predictions lie apart.

use std::collections::HashMap;

use super::keys::keys;
use crate::{Result, Results, spread_over_models};

/// Mean spread over the runs per keypoint, and the number of images it is of.
pub(super) fn spreads(runs: &[(String, Results)]) -> Result<(Option<Vec<f64>>, usize)> {
    let mut tables = Vec::with_capacity(runs.len());
    for (_, results) in runs {
        if results.samples.len() != results.main()?.per_image.len() {
            return Ok((None, 0));
        }
        tables.push(keys(results.main()?).into_iter().zip(&results.samples).collect::<HashMap<_, _>>());
    }
    let mut sums: Vec<f64> = Vec::new();
    let mut images = 0;
    for (key, sample) in keys(runs[0].1.main()?).into_iter().zip(&runs[0].1.samples) {
        let found: Option<Vec<&[[f32; 2]]>> =
            tables.iter().map(|table| table.get(&key)?.points.as_deref()).collect();
        let Some(found) = found else { continue };
        let spread = spread_over_models(&found, sample.length)?;
        sums.resize(spread.len(), 0.0);
        sums.iter_mut().zip(spread).for_each(|(sum, s)| *sum += s);
        images += 1;
    }
    let means = (images > 0).then(|| sums.into_iter().map(|s| s / images as f64).collect());
    Ok((means, images))
}
