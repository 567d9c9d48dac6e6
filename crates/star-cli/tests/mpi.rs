//! `mpirun star train`: processes that share every batch train as one does, and end together.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;
#[path = "../../star-train/tests/common/ranks.rs"]
mod compared;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use star_data::formats::tsv::format_row;
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};

use common::{assert_contains, bytes, ok};
use compared::{FOUR_FACES, HOURGLASS, SMALL, assert_same_gradients, assert_same_losses};

/// Longer than any of these runs takes; a rank that waits for one that is gone would wait for ever.
const PATIENCE: Duration = Duration::from_secs(400);

/// `star` under mpirun with `ranks` processes, also as root and on fewer cores than that.
fn mpirun(dir: &Path, ranks: usize, arguments: &[&str]) -> Child {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    // A rank that waits leaves its core to the other; tests share the machine.
    command
        .args(["--mca", "mpi_yield_when_idle", "1", "-x", "RAYON_NUM_THREADS"])
        .env("RAYON_NUM_THREADS", "1");
    command.arg(env!("CARGO_BIN_EXE_star")).args(arguments).current_dir(dir);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end, which must come.
fn end(mut child: Child) -> (Output, String) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("ranks hang: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, told)
}

fn all_well(child: Child) {
    let (output, told) = end(child);
    assert!(output.status.success(), "{told}");
}

#[test]
fn two_processes_have_the_gradients_and_losses_of_one_with_the_same_batch() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{FOUR_FACES}{HOURGLASS}");
    std::fs::write(dir.path().join("three.toml"), &text).unwrap();
    std::fs::write(dir.path().join("first.toml"), text.replace("epochs = 3", "epochs = 1")).unwrap();
    // Several steps an epoch: the mean loss over them is one process's only if each face comes once.
    let epoch = text.replace("count = 4", "count = 12").replace("epochs = 3", "epochs = 1");
    std::fs::write(dir.path().join("epoch.toml"), epoch).unwrap();
    for name in ["first", "three", "epoch"] {
        let (config, one, two) = (format!("{name}.toml"), format!("{name}-1"), format!("{name}-2"));
        ok(dir.path(), &["train", "--config", &config, "--out", &one]);
        all_well(mpirun(dir.path(), 2, &["train", "--config", &config, "--out", &two]));
        let (one, two) = (dir.path().join(one), dir.path().join(two));
        assert_same_losses(&one, &two, if name == "three" { 3 } else { 1 });
        if name == "first" {
            assert_same_gradients(&one, &two);
        }
    }
}

/// Process ids of the ranks under an mpirun.
fn ranks_of(child: &Child) -> Vec<u32> {
    let path = format!("/proc/{0}/task/{0}/children", child.id());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn wait_for_an_epoch(child: &mut Child, log: &Path) {
    let start = Instant::now();
    while !std::fs::read_to_string(log).is_ok_and(|text| text.contains("\"kind\":\"epoch\"")) {
        assert!(child.try_wait().unwrap().is_none(), "the training ended before its first epoch did");
        assert!(start.elapsed() < PATIENCE, "no epoch");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_rank_that_is_killed_ends_all_and_the_run_resumes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{FOUR_FACES}{SMALL}")
        .replace("count = 4", "count = 16")
        .replace("epochs = 3", "epochs = 8\nsave_minutes = 0.003");
    std::fs::write(dir.path().join("run.toml"), text).unwrap();
    let start = |out: &str, more: &[&str]| {
        mpirun(dir.path(), 2, &[&["train", "--config", "run.toml", "--out", out], more].concat())
    };
    all_well(start("whole", &[]));
    let mut child = start("parts", &[]);
    wait_for_an_epoch(&mut child, &dir.path().join("parts/metrics.jsonl"));
    let ranks = ranks_of(&child);
    assert_eq!(ranks.len(), 2, "{ranks:?}");
    assert!(Command::new("kill").args(["-9", &ranks[1].to_string()]).status().unwrap().success());
    let (output, told) = end(child);
    assert!(!output.status.success(), "{told}");
    all_well(start("parts", &["--resume"]));
    assert_eq!(
        bytes(dir.path(), "whole/last/model.safetensors"),
        bytes(dir.path(), "parts/last/model.safetensors")
    );
}

#[test]
fn a_picture_that_vanishes_ends_all_ranks_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let faces =
        SyntheticFaces::new(SyntheticConfig { count: 8, image_size: 64, ..Default::default() }).unwrap();
    let mut rows = String::new();
    for i in 0..8 {
        let (sample, name) = (star_data::Dataset::get(&faces, i).unwrap(), format!("face{i}.png"));
        sample.image.save(dir.path().join(&name)).unwrap();
        rows += &(format_row(Path::new(&name), &[[0.0; 2]; 5], &sample.points, &[]).unwrap() + "\n");
    }
    std::fs::write(dir.path().join("faces.tsv"), rows).unwrap();
    let (top, _) = FOUR_FACES.split_once("[data.train]").unwrap();
    let source = "format = \"tsv\"\nannotations = \"faces.tsv\"\n";
    let text = format!("{top}[data.train]\n{source}[data.validation]\n{source}{SMALL}");
    std::fs::write(dir.path().join("run.toml"), text.replace("epochs = 3", "epochs = 4000")).unwrap();
    let mut child = mpirun(dir.path(), 2, &["train", "--config", "run.toml", "--out", "o"]);
    wait_for_an_epoch(&mut child, &dir.path().join("o/metrics.jsonl"));
    std::fs::remove_file(dir.path().join("face4.png")).unwrap();
    let (output, told) = end(child);
    assert!(!output.status.success());
    assert_contains(&told, &["face4.png", "No such file", "error: rank"]);
    star_train::state::State::load(&dir.path().join("o")).unwrap();
}
