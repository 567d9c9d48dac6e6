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
    // In the midst of trainings: one of ten is done, others are not.
    let mut child = run(&killed, &[]).spawn().unwrap();
    let done = || {
        let trainings = std::fs::read_dir(killed.join("train")).into_iter().flatten().flatten();
        trainings.filter(|training| training.path().join("done").exists()).count()
    };
    while done() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "ended before it could be killed");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(done() < 10 && !killed.join("report").exists());
    assert!(run(&killed, &["--resume"]).status().unwrap().success());
    let report = |out: &Path| std::fs::read_to_string(out.join("report/report.json")).unwrap();
    assert!(report(&whole) == report(&killed), "the reports differ");
}
