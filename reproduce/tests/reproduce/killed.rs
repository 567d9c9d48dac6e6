//! A run on synthetic images that is killed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_run_that_is_killed_goes_on_to_the_same_report() {
    let dir = tempfile::tempdir().unwrap();
    let run = |out: &Path, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reproduce"));
        command.args(["--epochs", "1", "--seeds", "1", "--out"]).arg(out).args(more);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::null());
        command
    };
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    assert!(run(&whole, &[]).status().unwrap().success());
    // In the midst of trainings: some of nine are done, others are not.
    let mut child = run(&killed, &[]).spawn().unwrap();
    let done = || std::fs::read_dir(killed.join("records")).into_iter().flatten().flatten().count();
    while done() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "ended before it could be killed");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(done() < 9 && !killed.join("report").exists());
    assert!(run(&killed, &["--resume"]).status().unwrap().success());
    for file in ["report.json", "records.jsonl", "report.md", "index.html"] {
        let report = |out: &Path| std::fs::read_to_string(out.join("report").join(file)).unwrap();
        assert!(report(&whole) == report(&killed), "{file} differs");
    }
    // Somewhere else from the records alone: nothing is left to train.
    let elsewhere = dir.path().join("elsewhere");
    let file = whole.join("report/records.jsonl");
    let records = ["--resume", "--records", file.to_str().unwrap()];
    let output = run(&elsewhere, &records).stdout(Stdio::piped()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("0 of 9 trainings left"), "{printed}");
}
