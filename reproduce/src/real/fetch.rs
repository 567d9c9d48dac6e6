//! Weights for the sets of a run.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use star_data::atomic;
use star_model::checkpoint::WEIGHTS_FILE;
use star_predict::weights::{self, Download, FetchProgress, Hints};

use super::check::Candidate;
use super::plan::RealPlan;
use super::sets::RealSet;
use crate::args::Profile;
use crate::machine::sha256;

/// Fetches weights for every set that is there and keeps them as folders below `dir`; a reason where there are none.
///
/// # Errors
/// Where a single set is asked for and has no weights.
pub(crate) fn fetch(
    plan: &RealPlan,
    all: &[Candidate],
    dir: &Path,
    hashes: &mut BTreeMap<String, String>,
) -> Result<()> {
    for set in all.iter().filter(|candidate| candidate.found.is_ok()).map(|candidate| candidate.set) {
        let (folder, reason) = (dir.join(set.key), dir.join(format!("{}.txt", set.key)));
        if !folder.is_dir() {
            let fetched = match plan.weights(set) {
                None => Err(anyhow::anyhow!(
                    "no published weights are known for {}: give your own with --weights {}=FILE, or train with --from scratch",
                    set.name,
                    set.key
                )),
                Some(name) => {
                    keep(&name, set, &folder).with_context(|| format!("weights `{name}` for {}", set.name))
                }
            };
            if let Err(error) = fetched {
                if plan.profile != Profile::All {
                    return Err(error);
                }
                let reason_text = star_predict::failure::describe(&error);
                println!("{}: {reason_text}", set.name);
                atomic::write(&reason, reason_text.as_bytes())?;
                continue;
            }
        }
        if reason.exists() {
            std::fs::remove_file(&reason).with_context(|| reason.display().to_string())?;
        }
        hashes.insert(format!("weights for {}", set.name), sha256(&folder.join(WEIGHTS_FILE))?);
    }
    Ok(())
}

fn keep(name: &str, set: &RealSet, folder: &Path) -> Result<()> {
    let hints = Hints { scheme: Some(set.scheme.to_string()), ..Default::default() };
    let (opened, _) = weights::open(Path::new(name), &hints, &mut Notice)?;
    let config = &opened.config;
    println!("{}: {name} from {} ({})", set.name, config.provenance.source, config.architecture);
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)?;
    }
    opened.save(&unfinished)?;
    std::fs::rename(&unfinished, folder)?;
    Ok(())
}

/// Prints what is downloaded and under which terms.
struct Notice;

impl FetchProgress for Notice {
    fn begin(&mut self, Download { address, bytes, source, licence, notice }: &Download) {
        println!("fetching {address} ({:.1} MB)", *bytes as f64 / 1e6);
        if let (Some(source), Some(licence)) = (source, licence) {
            println!("  {source}; licence: {licence}");
        }
        notice.iter().for_each(|notice| println!("  {notice}"));
    }

    fn advance(&mut self, _: u64, _: u64) {}

    fn end(&mut self) {}
}
