//! What a run would do, how long it takes and what it fills.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use star_data::formats::Split;

use super::plan::RealPlan;
use super::sets::RealSet;
use crate::args::Origin;
use crate::{report, runner};

/// Seconds that the published network takes for a face on two cores with AVX-512 (docs/performance.md): scored in batches, trained.
const SECONDS_TO_SCORE: f64 = 0.058;
/// Likewise; measured on batches of four.
const SECONDS_TO_TRAIN: f64 = 0.27;
/// Epochs of the published recipe.
const EPOCHS: f64 = 500.0;
/// Megabytes of a training's weights, average and two states, and of one set's scores.
const MEGABYTES_TO_TRAIN: f64 = 620.0;
/// Megabytes of published weights as they are fetched, and of one set's scores.
const MEGABYTES_TO_FETCH: f64 = 180.0;
const MEGABYTES_OF_SCORES: f64 = 120.0;

/// The preview; with `resume` without what is done.
///
/// # Errors
/// Never in practice: the template is built in.
pub(super) fn text(plan: &RealPlan, out: &Path, resume: bool) -> Result<String> {
    let (mut seconds, mut megabytes) = (0.0, 0.0);
    let mut sets: Vec<Value> = Vec::new();
    for set in RealSet::of(plan.profile) {
        // Of 300VW's frames the number was not published.
        let [test, train] = [Split::Test, Split::Train].map(|split| set.published(split, "full"));
        let scoring = test.unwrap_or(0) as f64 * SECONDS_TO_SCORE;
        let trainings = plan.trainings(set);
        let done = |slug: &String| resume && runner::is_done(&out.join("train").join(slug));
        let left = trainings.iter().filter(|slug| !done(slug)).count();
        match plan.from {
            Origin::Weights => {
                seconds += scoring;
                megabytes += MEGABYTES_OF_SCORES;
                megabytes += plan.weights(set).map_or(0.0, |_| MEGABYTES_TO_FETCH);
            }
            Origin::Scratch => {
                let images = train.map_or(0.0, |faces| faces as f64 * EPOCHS);
                seconds += left as f64 * (images * SECONDS_TO_TRAIN + scoring);
                megabytes += left as f64 * MEGABYTES_TO_TRAIN;
            }
        }
        sets.push(json!({
            "name": set.name,
            "dir": set.locate(plan.data(), plan.compat).map(|found| found.dir),
            "missing": set.missing(plan.data()),
            "weights": plan.weights(set),
            "test_faces": test,
            "train_faces": train,
            "trainings": trainings.len(),
            "left": left,
        }));
    }
    let data =
        json!({"plan": plan, "out": out, "sets": sets, "hours": seconds / 3600.0, "megabytes": megabytes});
    report::text("real/plan.txt", &data)
}
