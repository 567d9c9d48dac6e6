//! What a run would do, how long it takes and what it fills.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::design::{Design, Job};
use crate::report;

/// Processor time of a training for each image that it sees, seconds: measured over 42 trainings on an AMD EPYC with AVX-512, scores of
/// validation images included.
const SECONDS_PER_IMAGE: f64 = 0.005;
/// Megabytes that a training leaves: weights, states, scores.
const MEGABYTES_PER_TRAINING: f64 = 13.0;

/// The plan of a run, but for trainings that are `done`.
///
/// # Errors
/// Never in practice: the template is built in.
pub(super) fn text(
    design: &Design,
    jobs: &[Job],
    at_once: usize,
    out: &Path,
    done: impl Fn(&Job) -> bool,
) -> Result<String> {
    let left = || jobs.iter().filter(|job| !done(job));
    let images: usize = left().map(|job| design.regime.budget(job.subject).images()).sum();
    let seconds = images as f64 * SECONDS_PER_IMAGE / at_once as f64;
    let training = |job: &Job| json!({"title": job.title(), "done": done(job)});
    report::text(
        "offline/plan.txt",
        &json!({
            "design": design,
            "out": out,
            "trainings": jobs.iter().map(training).collect::<Vec<_>>(),
            "at_once": at_once,
            "minutes": (seconds / 60.0).max(1.0),
            "megabytes": MEGABYTES_PER_TRAINING * left().count() as f64,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_names_every_training_its_time_and_its_room() {
        let design = Design::new(false, Some(2), Some(2));
        let text = text(&design, &design.jobs(), 2, Path::new("out"), |job| job.seed == 0).unwrap();
        for part in [
            "seed 0: done\n",
            "          face, strength 3, STAR (smooth-L1), seed 1\n",
            "about 1 minutes",
            "MB",
            "check ",
            "fetch ",
            "table ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
