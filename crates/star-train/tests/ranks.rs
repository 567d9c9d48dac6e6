//! Several ranks train as one process does; here they are threads, so that this needs no MPI.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "common/ranks.rs"]
mod compared;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use star_train::Outcome;
use star_train::collective::{Alone, Collective, threads};
use star_train::config::{Options, TrainConfig};
use star_train::state::State;

use compared::{FOUR_FACES, HOURGLASS, SMALL, assert_same_gradients, assert_same_losses};

const HRNET: &str = "[model]\nbackbone = \"hrnet\"\nwidth = 4\nimage_size = 64\n";

fn rank(
    text: &str,
    base: &Path,
    out: &Path,
    resume: bool,
    collective: Arc<dyn Collective>,
    stop: bool,
) -> Result<Outcome> {
    let config: TrainConfig = toml::from_str(text).unwrap();
    let stop = Arc::new(AtomicBool::new(stop));
    config.run(base, out, Options { collective, resume, stop, ..Default::default() })
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` missing in: {text}");
    }
}

/// One process.
fn alone(text: &str, out: &Path) {
    rank(text, out, out, false, Arc::new(Alone), false).unwrap();
}

/// `count` ranks, and what each came to; `stop` stops the last after its first step.
fn several(
    count: usize,
    text: &str,
    base: &Path,
    out: &Path,
    resume: bool,
    stop: bool,
) -> Vec<Result<Outcome>> {
    std::thread::scope(|scope| {
        let start = |collective: Arc<dyn Collective>| {
            let stop = stop && collective.rank() + 1 == count;
            scope.spawn(move || rank(text, base, out, resume, collective, stop))
        };
        let running: Vec<_> = threads(count).into_iter().map(start).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn all_well(ended: Vec<Result<Outcome>>) {
    ended.into_iter().for_each(|outcome| assert!(matches!(outcome.unwrap(), Outcome::Finished(Some(_)))));
}

#[test]
fn two_and_four_ranks_have_the_gradients_and_losses_of_one_process() {
    for (model, ranks) in [(HOURGLASS, 2), (HOURGLASS, 4), (HRNET, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let (one, many) = (dir.path().join("one"), dir.path().join("many"));
        let short = format!("{}{model}", FOUR_FACES.replace("epochs = 3", "epochs = 1"));
        alone(&short, &one);
        all_well(several(ranks, &short, &many, &many, false, false));
        assert_same_gradients(&one, &many);
        assert_same_losses(&one, &many, 1);
    }
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let long = format!("{FOUR_FACES}{HOURGLASS}");
    alone(&long, &one);
    all_well(several(2, &long, &two, &two, false, false));
    assert_same_losses(&one, &two, 3);
}

/// Several steps an epoch, everything else that a trainer has.
fn richer() -> String {
    let text = FOUR_FACES
        .replace("count = 4", "count = 18")
        .replace("batch_size = 4", "batch_size = 4\naccumulate = 2\nclip_norm = 0.5")
        .replace("{ kind = \"sgd\", momentum = 0.0 }", "{ kind = \"adam_w\" }");
    format!("{text}{SMALL}")
}

#[test]
fn whole_epochs_with_accumulation_and_clipping_are_those_of_one_process_so_every_sample_came_once() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let text = richer().replace("epochs = 3", "epochs = 1");
    alone(&text, &one);
    all_well(several(2, &text, &two, &two, false, false));
    assert_same_losses(&one, &two, 1);
}

#[test]
fn ranks_stop_together_and_resume_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let text = richer();
    all_well(several(2, &text, &whole, &whole, false, false));
    for outcome in several(2, &text, &parts, &parts, false, true) {
        assert_eq!(outcome.unwrap(), Outcome::Stopped);
    }
    assert_eq!(State::load(&parts).unwrap().0.position.step, 1);
    all_well(several(2, &text, &parts, &parts, true, false));
    for file in ["last/model.safetensors", "best/model.safetensors"] {
        let of = |out: &str| std::fs::read(dir.path().join(out).join(file)).unwrap();
        assert_eq!(of("whole"), of("parts"), "{file}");
    }
}

#[test]
fn a_failure_of_any_rank_ends_all_with_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{FOUR_FACES}{SMALL}").replace("batch_size = 4", "batch_size = 3");
    let out = dir.path().join("uneven");
    for outcome in several(2, &text, &out, &out, false, false) {
        assert_contains(&outcome.unwrap_err().to_string(), &["batch_size: 3 samples", "2 ranks"]);
    }

    let text = format!("{FOUR_FACES}{HOURGLASS}");
    let text = text.replace("learning_rate = 1e-3", "learning_rate = 1e30");
    let out = dir.path().join("wild");
    for (rank, outcome) in several(2, &text, &out, &out, false, false).into_iter().enumerate() {
        let file = if rank == 0 { "bad-batch.safetensors" } else { "bad-batch-of-rank-1.safetensors" };
        assert_contains(&outcome.unwrap_err().to_string(), &["is not finite", file]);
        assert!(out.join(file).exists());
    }

    let out = dir.path().join("taken");
    std::fs::write(&out, "a file").unwrap();
    let text = format!("{FOUR_FACES}{SMALL}");
    let ended: Vec<String> = several(2, &text, &out, &out, false, false)
        .into_iter()
        .map(|outcome| outcome.unwrap_err().to_string())
        .collect();
    assert_contains(&ended[0], &["making the folder", "taken"]);
    assert_contains(&ended[1], &["rank 0 failed"]);
}
