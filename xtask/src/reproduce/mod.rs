//! `cargo xtask reproduce-paper`: the paper's claim on generated ambiguity, from one command.
//!
//! Faces are drawn with exact truth; their labels are as ambiguous as people's. The same small network is trained with plain
//! smooth-L1 and with STAR on the ambiguous labels, under equal budgets and seeds, and scored against the exact truth.

mod measure;
mod plan;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use star_cli::{output, train};

use crate::workspace::Workspace;
use measure::RunResult;
use plan::{Method, Plan};

/// What to reproduce, and where to put it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Pairs of trainings (with and without STAR) under different seeds
    #[arg(long, default_value_t = plan::SEEDS)]
    seeds: u64,
    /// Epochs of each training; fewer is a quick look, not the table
    #[arg(long, default_value_t = plan::EPOCHS)]
    epochs: usize,
    /// Folder for trainings, table and plots [default: target/reproduce/offline]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on with what an interrupted run has done
    #[arg(long)]
    resume: bool,
}

/// The plan that a folder's results belong to.
const PLAN_FILE: &str = "plan.json";

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    if args.seeds == 0 || args.epochs == 0 {
        bail!("--seeds and --epochs: expected at least 1");
    }
    let plan = Plan { seeds: args.seeds, epochs: args.epochs };
    let out = args.out.clone().unwrap_or_else(|| workspace.target.join("reproduce/offline"));
    prepare(&out, &plan, args.resume)?;
    star_cli::memory::keep_freed();
    let stop = star_cli::stop_on_ctrl_c()?;
    let start = Instant::now();
    println!(
        "offline profile: {} trainings of {} epochs on {} generated faces; results in {}",
        2 * plan.seeds,
        plan.epochs,
        plan::TRAIN_FACES,
        out.display()
    );
    let mut results = Vec::new();
    for seed in 0..plan.seeds {
        for method in Method::ALL {
            match one(&plan, method, seed, &out, &stop)? {
                Some(result) => results.push(result),
                None => {
                    bail!("stopped; go on with: cargo xtask reproduce-paper --resume (and the same options)");
                }
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let text = table::write(&plan, &results, &out)?;
    println!("\n{text}");
    println!("{:.0} s; table and plots in {}", seconds, out.display());
    Ok(())
}

/// Starts a folder afresh, or checks that what it holds belongs to the same plan.
fn prepare(out: &Path, plan: &Plan, resume: bool) -> Result<()> {
    let path = out.join(PLAN_FILE);
    let text = serde_json::to_string_pretty(plan)?;
    if resume && path.exists() {
        let earlier = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        if earlier != text {
            bail!("{}: the interrupted run had other options: {earlier}", path.display());
        }
        return Ok(());
    }
    let runs = out.join("runs");
    if runs.exists() {
        std::fs::remove_dir_all(&runs).with_context(|| format!("removing {}", runs.display()))?;
    }
    output::make_dir(out)?;
    output::write_renamed(&path, text.as_bytes())
}

/// One training and its scores; `None` where it was stopped.
fn one(
    plan: &Plan,
    method: Method,
    seed: u64,
    out: &Path,
    stop: &Arc<std::sync::atomic::AtomicBool>,
) -> Result<Option<RunResult>> {
    let label = format!("{} seed {seed}", method.name());
    let dir = out.join("runs").join(format!("{}-{seed}", method.slug()));
    let done = dir.join("result.json");
    if done.exists() {
        let text = std::fs::read_to_string(&done).with_context(|| done.display().to_string())?;
        println!("{label}: already done");
        return Ok(Some(serde_json::from_str(&text).with_context(|| done.display().to_string())?));
    }
    println!("{label}: training");
    let options = train::Options {
        collective: Arc::new(train::collective::Alone),
        resume: train::state::exists(&dir),
        stop: stop.clone(),
        label: label.clone(),
    };
    let config = plan.config(method, seed);
    let outcome =
        train::run(&config, Path::new("."), &dir, &options).with_context(|| format!("training {label}"))?;
    if outcome == train::Outcome::Stopped {
        return Ok(None);
    }
    let result = measure::measure(method, seed, &dir).with_context(|| format!("scoring {label}"))?;
    output::write_renamed(&done, serde_json::to_string(&result)?.as_bytes())?;
    println!("{label}: NME {:.3} % of the inter-ocular distance against the exact truth", 100.0 * result.nme);
    Ok(Some(result))
}
