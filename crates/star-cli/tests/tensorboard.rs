//! Event files of a training as the package `tensorboard` reads them. Skips where Python or that package is absent, and says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::process::Command;

use common::ok;

const CONFIG: &str = r#"
scheme = "wflw98"
epochs = 2
batch_size = 4
tensorboard = true
[data.train]
format = "synthetic"
count = 8
image_size = 64
[data.validation]
format = "synthetic"
count = 4
seed = 9
image_size = 64
[model]
stacks = 1
levels = 1
channels = 32
image_size = 32
"#;

/// Prints every scalar as JSON, by tag a list of steps and values, and of images their number and size.
const READ: &str = r"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
tags = events.Tags()
scalars = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags['scalars']}
images = {tag: [[e.width, e.height] for e in events.Images(tag)] for tag in tags['images']}
print(json.dumps({'scalars': scalars, 'images': images}))
";

#[test]
fn tensorboard_reads_the_event_files_of_a_training() {
    let python = std::env::var("STAR_PYTHON").unwrap_or_else(|_| "python3".into());
    let imports = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        println!("skipped: {python} (or STAR_PYTHON) has not tensorboard");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.toml"), CONFIG).unwrap();
    ok(dir.path(), &["train", "--config", "run.toml", "--out", "run"]);
    let output =
        Command::new(&python).args(["-c", READ]).arg(dir.path().join("run/tensorboard")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();

    let log = std::fs::read_to_string(dir.path().join("run/metrics.jsonl")).unwrap();
    let records: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let epochs: Vec<&serde_json::Value> = records.iter().filter(|r| r["kind"] == "epoch").collect();
    assert_eq!(epochs.len(), 2);
    // Event files hold f32.
    let close = |a: &serde_json::Value, b: f64| (a.as_f64().unwrap() - b).abs() <= 1e-6 * b.abs().max(1.0);
    let (scores, losses) =
        (&read["scalars"]["validation/nme_percent/weights"], &read["scalars"]["epoch/total"]);
    for (i, epoch) in epochs.iter().enumerate() {
        assert_eq!(scores[i][0], epoch["step"]);
        assert!(close(&scores[i][1], 100.0 * epoch["validation_nme"].as_f64().unwrap()), "{scores} {epoch}");
        assert!(close(&losses[i][1], epoch["terms"]["total"].as_f64().unwrap()), "{losses} {epoch}");
    }
    assert_eq!(read["scalars"]["validation/failure_rate"].as_array().map(Vec::len), Some(2), "{read}");
    let drawn = read["images"]["validation/first_sample"].as_array().unwrap();
    assert_eq!(drawn.len(), epochs.len());
    assert!(drawn.iter().all(|size| size[0].as_u64() > Some(0)), "{drawn:?}");
}
