//! One network on the test split of its set.

use std::path::Path;

use anyhow::Result;
use star_data::Scheme;
use star_data::formats::{Compat, Split};
use star_eval::{Case, Group, Results, Setting};
use star_model::CompileOptions;
use star_model::checkpoint::Folder;
use star_predict::Predictor;
use star_train::evaluate::{self, Labels, Scored, metric_set as measures, videos};

use super::plan::RealPlan;
use super::scores::Scores;
use super::sets::{Located, RealSet};

/// Faces that go through the network together.
const BATCH: usize = 8;

/// The figures of the network in the folder `weights`.
///
/// # Errors
/// When the network or a face cannot be read.
pub(super) fn score(
    plan: &RealPlan,
    set: &RealSet,
    found: &Located,
    weights: &Path,
    seed: u64,
) -> Result<Scores> {
    let folder = Folder::load(weights)?;
    let source = folder.config.provenance.source.clone();
    let device = plan.device.open()?;
    let predictor = Predictor::from_folder(&folder, &device, &CompileOptions::default())?;
    let opened = found.open(set, Split::Test, plan.compat)?;
    let dataset = opened.dataset;
    let scheme = set.scheme()?;
    let (normalizer, normalizer_name) = measures::normalizer(&scheme, None)?;
    let labels = match plan.compat {
        Compat::Reference => Labels::Clamped,
        Compat::None => Labels::AsAnnotated,
    };
    let scored = evaluate::run_over(&predictor, &dataset, BATCH, labels, |_| ())?;
    let case = |face: &Scored| Ok(evaluate::case(face, dataset.annotation(face.index)?));
    let cases: Vec<Case> = scored.iter().map(case).collect::<Result<_>>()?;
    let setting = Setting {
        dataset: format!("{} test", set.name),
        subset: "full".to_string(),
        normalizer_name: normalizer_name.to_string(),
        normalizer,
        thresholds: set.thresholds.to_vec(),
        groups: groups(&scheme),
        curves: measures::curves(&scheme),
        notes: opened.notes,
    };
    let mut results = Results::new(&measures::metric_set(&scheme, &setting), &cases)?;
    if set.key == "300vw" {
        results.videos = videos::measure(&cases)?;
    }
    let architecture = &folder.config.architecture;
    let parameters = architecture.costs()?.iter().map(|stage| stage.parameters).sum::<usize>() as f64 / 1e6;
    Ok(Scores { network: architecture.to_string(), parameters, ..Scores::new(seed, source, &results) })
}

/// Parts of a face, and for kind 5 everything but its contour.
fn groups(scheme: &Scheme) -> Vec<Group> {
    let mut groups = measures::groups(scheme);
    if let Some(contour) = groups.iter().find(|group| group.name == "contour") {
        let keypoints = (0..scheme.keypoints).filter(|k| !contour.keypoints.contains(k)).collect();
        groups.push(Group { name: "all but the contour".to_string(), keypoints });
    }
    groups
}
