//! What figures are printed with, as the command line says.

use std::path::Path;

use anyhow::{Result, bail};
use star_data::Scheme;
use star_eval::{Normalizer, Setting};
use star_train::evaluate::metric_set::{curves, groups, normalizer};

use crate::args::{Ends, MetricArgs};

/// What figures are printed with: data set, subset, normalizer, thresholds and the parts of a face as groups.
///
/// # Errors
/// When the scheme does not have the normalizer asked for.
pub(crate) fn setting(args: &MetricArgs, scheme: &Scheme, annotations: &Path) -> Result<Setting> {
    let (normalizer, normalizer_name) = match &args.between {
        Some(Ends(first, second)) => {
            if let Some(point) = first.iter().chain(second).find(|&&point| point >= scheme.keypoints) {
                bail!(
                    "--between: expected keypoints below {} of scheme `{}`, got {point}",
                    scheme.keypoints,
                    scheme.name
                )
            }
            let normalizer = Normalizer::Between(first.clone(), second.clone());
            let name = normalizer.name();
            (normalizer, name)
        }
        None => normalizer(scheme, args.normalize_by.map(Into::into))
            .map(|(normalizer, name)| (normalizer, name.to_string()))?,
    };
    if let Some(threshold) = args.thresholds.iter().find(|t| !(**t > 0.0 && **t <= 1.0)) {
        bail!("--threshold: expected a fraction above 0 and at most 1, such as 0.08 for 8 %, got {threshold}")
    }
    let name = || {
        let file = annotations.file_name().unwrap_or(annotations.as_os_str());
        let dir = annotations.parent().and_then(Path::file_name);
        dir.map_or(Path::new(file).to_path_buf(), |dir| Path::new(dir).join(file))
            .to_string_lossy()
            .into_owned()
    };
    Ok(Setting {
        dataset: args.dataset.clone().unwrap_or_else(name),
        subset: args.subset.clone(),
        normalizer_name,
        normalizer,
        thresholds: if args.thresholds.is_empty() { vec![scheme.threshold] } else { args.thresholds.clone() },
        groups: groups(scheme),
        curves: curves(scheme),
        notes: Vec::new(),
    })
}
