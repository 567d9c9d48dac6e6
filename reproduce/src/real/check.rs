//! The data sets of a run: found, looked at and hashed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use star_data::atomic;
use star_data::formats::{Compat, Format, Split};

use super::plan::RealPlan;
use super::sets::{Located, RealSet};
use crate::args::Origin;

/// A set with where it was found, or why it has no figures.
pub(crate) struct Candidate {
    pub(crate) set: &'static RealSet,
    pub(crate) found: Result<Located, String>,
}

/// Looks for every set of the plan.
///
/// # Errors
/// When none of them is there and faces are `needed`, saying where each was looked for and what it must look like.
pub(crate) fn candidates(plan: &RealPlan, needed: bool) -> Result<Vec<Candidate>> {
    let look = |set: &'static RealSet| Candidate {
        set,
        found: set.locate(plan.data(), plan.compat).ok_or_else(|| set.missing(plan.data())),
    };
    let all: Vec<Candidate> = RealSet::of(plan.profile).into_iter().map(look).collect();
    let missing: Vec<&str> =
        all.iter().filter_map(|candidate| candidate.found.as_ref().err().map(String::as_str)).collect();
    if needed && missing.len() == all.len() {
        bail!("{}", missing.join("\n"))
    }
    for text in missing.iter().filter(|_| needed) {
        println!("{text}");
    }
    Ok(all)
}

/// What the check found of a set, kept for the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) faces: usize,
    pub(crate) published: Option<usize>,
    pub(crate) notes: Vec<String>,
}

/// Looks at every image and row of the splits that are needed, and hashes them.
///
/// # Errors
/// Names the first problem of a set, and `star data check` for the others.
pub(crate) fn check(
    plan: &RealPlan,
    all: &[Candidate],
    dir: &Path,
    hashes: &mut BTreeMap<String, String>,
) -> Result<()> {
    for Candidate { set, found } in all {
        let Ok(found) = found else { continue };
        let mut splits = vec![Split::Test];
        if plan.from == Origin::Scratch {
            splits.push(Split::Train);
        }
        for split in splits {
            let opened = found
                .open(set, split, plan.compat)
                .with_context(|| format!("{} {split}; `star data check` names every problem", set.name))?;
            let report = star_data::check::check(opened.dataset.as_ref(), &|_| ());
            let faces = opened.dataset.len();
            let published = set.published(split, "full");
            println!(
                "{} {split}: {faces} faces{}, {} images",
                set.name,
                published.filter(|p| *p != faces).map(|p| format!(" (published: {p})")).unwrap_or_default(),
                report.images
            );
            let mut notes = opened.notes;
            if let Some(problem) = report.problems.first() {
                notes.push(format!(
                    "{} problems in the images, the first: {problem}; `star data check` names them all",
                    report.problems.len()
                ));
            }
            hashes.insert(hash_name(set, split), report.hash);
            if split == Split::Test {
                if plan.compat == Compat::Reference && found.format() != Format::Tsv {
                    notes.push(
                        "compat reference: only the published test.tsv tells which row the reference loses; every row is scored"
                            .to_string(),
                    );
                }
                let checked = Checked { faces, published, notes };
                let path = dir.join(format!("{}.json", set.key));
                atomic::write(&path, serde_json::to_string_pretty(&checked)?.as_bytes())?;
            }
        }
    }
    Ok(())
}

/// What the hash of a split is called in `run.json`.
pub(super) fn hash_name(set: &RealSet, split: Split) -> String {
    format!("{} {split}", set.name)
}
