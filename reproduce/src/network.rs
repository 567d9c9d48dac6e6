//! The size of the paper's network, which needs no data to be checked.

use anyhow::Result;
use serde::Serialize;
use star_model::StackedHourglassConfig;
use star_model::checkpoint::Architecture;

use crate::args::Profile;
use crate::real::sets::RealSet;
use crate::targets::Targets;

/// What is known has two digits.
const TOLERANCE: f64 = 0.006;

/// The network for a data set, counted from the shapes that are executed, beside what is known of it.
#[derive(Debug, Serialize)]
pub(crate) struct NetworkSize {
    /// The data set's name.
    name: &'static str,
    keypoints: usize,
    /// Millions.
    parameters: f64,
    known_parameters: f64,
    /// 10^9 multiply-accumulates of convolutions.
    gmac: f64,
    known_gmac: f64,
    /// Whether both agree to two digits.
    same: bool,
}

/// Of every data set that something is known for.
///
/// # Errors
/// Never in practice: the schemes are built in.
pub(crate) fn sizes(targets: &Targets) -> Result<Vec<NetworkSize>> {
    let mut found = Vec::new();
    for known in &targets.network {
        let Some(set) = RealSet::of(Profile::All).into_iter().find(|set| set.key == known.set) else {
            continue;
        };
        let scheme = set.scheme()?;
        let config = StackedHourglassConfig::reference(scheme.keypoints, scheme.edge_points());
        let stages = Architecture::StackedHourglass(config).costs()?;
        let parameters = stages.iter().map(|stage| stage.parameters).sum::<usize>() as f64 / 1e6;
        let gmac = stages.iter().map(|stage| stage.macs).sum::<u64>() as f64 / 1e9;
        found.push(NetworkSize {
            name: set.name,
            keypoints: known.keypoints,
            parameters,
            known_parameters: known.parameters,
            gmac,
            known_gmac: known.gmac,
            same: (parameters - known.parameters).abs() < TOLERANCE && (gmac - known.gmac).abs() < TOLERANCE,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executed_network_has_the_known_size() {
        let found = sizes(&Targets::read().unwrap()).unwrap();
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|size| size.same), "{found:?}");
    }
}
