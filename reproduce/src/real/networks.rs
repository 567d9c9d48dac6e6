//! The networks of a run: trained, scored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use star_data::formats::{Compat, Split};

use super::check::{Candidate, hash_name};
use super::plan::RealPlan;
use super::score::score;
use super::scores::Scores;
use super::sets::{Located, RealSet};
use crate::args::Origin;
use crate::pool::Workers;
use crate::runner::{self, Detail, Network, Recipe, Runner, Training};
use crate::variant::Variant;

/// A network of a set that is there.
struct Job<'a> {
    set: &'static RealSet,
    found: &'a Located,
    variant: Variant,
    seed: u64,
}

/// Every network of the plan, for the sets that are there.
fn jobs<'a>(plan: &RealPlan, all: &'a [Candidate]) -> Vec<Job<'a>> {
    let there = all.iter().filter_map(|candidate| Some((candidate.set, candidate.found.as_ref().ok()?)));
    let jobs = there.flat_map(|(set, found)| {
        let seeds = move |variant: Variant| (0..plan.seeds).map(move |seed| (variant.clone(), seed));
        let variants = plan.variants().into_iter().flat_map(seeds);
        variants.map(move |(variant, seed)| Job { set, found, variant, seed })
    });
    jobs.collect()
}

impl Job<'_> {
    fn slug(&self) -> String {
        RealPlan::slug(self.set, &self.variant, self.seed)
    }
}

fn runner(stop: &Arc<AtomicBool>) -> Runner<'_> {
    Runner { workers: Workers::AllThreads, stop, detail: Detail::Epochs }
}

/// Hashes of all faces that a training sees, and chooses its best epoch by; empty where nobody looked.
fn trained_on(plan: &RealPlan, set: &RealSet, hashes: &BTreeMap<String, String>) -> String {
    let splits: &[Split] = match plan.compat {
        Compat::Reference => &[Split::Train, Split::Test],
        Compat::None => &[Split::Train],
    };
    let found = splits.iter().filter_map(|split| hashes.get(&hash_name(set, *split)));
    found.map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Trains every variant and seed of every set that is there; `hashes` are those of the check.
///
/// # Errors
/// When a training fails or is stopped, and when one was done on other faces.
pub(super) fn train(
    plan: &RealPlan,
    all: &[Candidate],
    dir: &Path,
    hashes: &BTreeMap<String, String>,
    stop: &Arc<AtomicBool>,
) -> Result<()> {
    let jobs = jobs(plan, all);
    let training = |job: &Job<'_>| Training {
        slug: job.slug(),
        title: format!("{}, {}, seed {}", job.set.name, job.variant.name, job.seed),
        data: trained_on(plan, job.set, hashes),
    };
    let trainings: Vec<Training> = jobs.iter().map(training).collect();
    let recipe = |i: usize| {
        let Job { set, found, variant, seed } = &jobs[i];
        Ok(Recipe { config: plan.config(set, found, variant, *seed)?, control: variant.control() })
    };
    runner(stop).train(&trainings, dir, recipe)
}

/// Scores every network on the test split of its set; one that has changed since it was scored, or whose faces have, again. `hashes`
/// are those of the check.
///
/// # Errors
/// When a network or a face cannot be read, and when it is stopped.
pub(super) fn scores(
    plan: &RealPlan,
    all: &[Candidate],
    [out, dir]: [&Path; 2],
    hashes: &BTreeMap<String, String>,
    stop: &Arc<AtomicBool>,
) -> Result<()> {
    let (mut wanted, mut networks) = (Vec::new(), Vec::new());
    for job in jobs(plan, all) {
        let title = format!("{}, {}, seed {}", job.set.name, job.variant.slug, job.seed);
        let weights = match plan.from {
            Origin::Weights => fetched(out, job.set)?,
            Origin::Scratch => trained(plan, out, &job, hashes)?,
        };
        match weights {
            Some(weights) => networks.push(Network { slug: job.slug(), title, weights }),
            None if plan.from == Origin::Weights => continue,
            None => {
                // Its best network so far is there, and is not what the recipe makes.
                println!("{title}: not scored, its training is not finished");
                continue;
            }
        }
        wanted.push(job);
    }
    let data = |job: &Job<'_>| hashes.get(&hash_name(job.set, Split::Test)).cloned().unwrap_or_default();
    runner(stop).score(
        &networks,
        dir,
        |i, scores: &Scores, hash| scores.weights_hash == hash && scores.data_hash == data(&wanted[i]),
        |i, weights_hash| {
            let job = &wanted[i];
            let scores = score(plan, job.set, job.found, &networks[i].weights, job.seed)?;
            Ok(Scores { weights_hash, data_hash: data(job), ..scores })
        },
    )
}

/// The folder of a set's weights; `None` where the stage before could have none.
fn fetched(out: &Path, set: &RealSet) -> Result<Option<PathBuf>> {
    let weights = out.join("fetch").join(set.key);
    if !weights.is_dir() && !weights.with_extension("txt").exists() {
        bail!("{}: no weights there; run without --skip fetch, with --resume", weights.display())
    }
    Ok(weights.is_dir().then_some(weights))
}

/// The folder of a training's best network; `None` while it is not finished.
fn trained(
    plan: &RealPlan,
    out: &Path,
    job: &Job<'_>,
    hashes: &BTreeMap<String, String>,
) -> Result<Option<PathBuf>> {
    let folder = out.join("train").join(job.slug());
    if !runner::is_done(&folder) {
        return Ok(None);
    }
    runner::same_data(&folder, &trained_on(plan, job.set, hashes))?;
    Ok(Some(folder.join("best")))
}
