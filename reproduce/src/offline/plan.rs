//! What a run would do, how long it takes and what it fills.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::design::{Design, Job};
use crate::report;

/// Megabytes that trainings under way leave, each of those at a time, and kilobytes of a record.
const MEGABYTES_UNDER_WAY: f64 = 13.0;
const KILOBYTES_OF_RECORD: f64 = 6.0;

/// The plan of a run of which `left` trainings are not done.
///
/// # Errors
/// Never in practice: the template is built in.
pub(super) fn text(
    design: &Design,
    left: &[&Job],
    at_once: usize,
    out: &Path,
    seconds: f64,
) -> Result<String> {
    let jobs = design.jobs();
    let training = |job: &Job| json!({"title": job.title(), "done": !left.contains(&job)});
    report::text(
        "offline/plan.txt",
        &json!({
            "design": design,
            "out": out,
            "trainings": jobs.iter().map(training).collect::<Vec<_>>(),
            "at_once": at_once,
            "minutes": minutes(seconds),
            "megabytes":
                MEGABYTES_UNDER_WAY * at_once as f64 + KILOBYTES_OF_RECORD * jobs.len() as f64 / 1000.0,
        }),
    )
}

/// `about 9 minutes`, `about 2 h 40 min`.
pub(super) fn minutes(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil().max(1.0) as u64;
    match minutes {
        1 => "about a minute".to_string(),
        2..120 => format!("about {minutes} minutes"),
        _ => format!("about {} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::design::Kind;
    use super::*;

    #[test]
    fn the_plan_names_every_training_its_time_and_its_room() {
        let design = Design::new(Kind::Confirm, Some(2), Some(2));
        let jobs = design.jobs();
        let left: Vec<&Job> = jobs.iter().filter(|job| job.seed == 1).collect();
        let text = text(&design, &left, 2, Path::new("out"), 100.0).unwrap();
        for part in ["seed 0: done\n", "STAR, seed 1\n", "about 2 minutes", "MB", "check ", "table "] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(minutes(9600.0), "about 2 h 40 min");
    }
}
