//! One process against two on this machine, in alternation.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use star_cli::train::metrics::{Record, read};

use crate::workspace::Workspace;

/// Two epochs, of which the second is timed: the first warms up.
const CONFIG: &str = r#"
scheme = "wflw98"
epochs = 2
batch_size = 8
workers = 1
ema_half_life = 10000
[data.train]
format = "synthetic"
count = 64
image_size = 256
[data.validation]
format = "synthetic"
count = 2
seed = 9
[model]
stacks = 1
levels = 3
channels = 64
image_size = 128
"#;

/// Steps of the epoch that is timed.
const STEPS: f64 = 8.0;

/// Processes, and threads of each.
const CASES: [(usize, usize); 3] = [(1, 1), (1, 2), (2, 1)];

/// Builds the program with MPI and trains `rounds` times in each way.
///
/// # Errors
/// When there is no MPI, or a training fails.
pub(super) fn run(rounds: usize, workspace: &Workspace) -> Result<()> {
    let status = workspace.cargo(&["build", "--release", "-p", "star-cli", "--features", "mpi"]).status()?;
    ensure!(status.success(), "the program could not be built with the feature mpi");
    let star = workspace.target.join("release/star");
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("run.toml"), CONFIG)?;
    let mut times = CASES.map(|_| Vec::new());
    for round in 0..rounds {
        for ((ranks, threads), times) in CASES.into_iter().zip(&mut times) {
            let out = folder.path().join(format!("{round}-{ranks}-{threads}"));
            times.push(train(&star, folder.path(), &out, ranks, threads)?);
        }
    }
    let alone = median(&times[0]);
    println!(
        "| processes x threads | a step of 8 faces, median (smallest to largest) | times as fast as one |"
    );
    println!("|---|---|---|");
    for ((ranks, threads), times) in CASES.iter().zip(&times) {
        let (low, high) =
            times.iter().fold((f64::INFINITY, 0f64), |(low, high), &t| (low.min(t), high.max(t)));
        println!(
            "| {ranks} x {threads} | {:.0} ms ({:.0} to {:.0}) | {:.2} |",
            1e3 * median(times),
            1e3 * low,
            1e3 * high,
            alone / median(times)
        );
    }
    Ok(())
}

/// Seconds of a step.
fn train(star: &Path, folder: &Path, out: &Path, ranks: usize, threads: usize) -> Result<f64> {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    command.args(["-x", "RAYON_NUM_THREADS"]).env("RAYON_NUM_THREADS", threads.to_string());
    command.arg(star).args(["train", "--config", "run.toml", "--out"]).arg(out).current_dir(folder);
    let output = command.stdin(Stdio::null()).output().context("starting mpirun")?;
    if !output.status.success() {
        bail!("{ranks} processes: {}", String::from_utf8_lossy(&output.stderr))
    }
    let seconds: Vec<f64> = read(&out.join("metrics.jsonl"))?
        .into_iter()
        .filter_map(|record| match record {
            Record::Epoch(epoch) => Some(epoch.seconds),
            Record::Step(_) => None,
        })
        .collect();
    match seconds.as_slice() {
        [first, second] => Ok((second - first) / STEPS),
        other => bail!("{}: expected two epochs, got {}", out.display(), other.len()),
    }
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
