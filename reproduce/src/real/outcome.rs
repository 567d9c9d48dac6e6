//! What became of every set: checked, fetched, scored.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use star_data::formats::Split;

use super::check::{Candidate, Checked};
use super::plan::RealPlan;
use super::scores::{Scores, SetOutcome};
use crate::spread::spread;
use crate::variant::Variant;

/// What became of every set.
///
/// # Errors
/// When a file that a stage left is not what it should be.
pub(crate) fn outcomes(plan: &RealPlan, all: &[Candidate], out: &Path) -> Result<Vec<SetOutcome>> {
    let mut found = Vec::new();
    for Candidate { set, found: located } in all {
        let mut outcome = SetOutcome {
            key: set.key.to_string(),
            name: set.name.to_string(),
            reason: None,
            faces: None,
            published: set.published(Split::Test, "full"),
            notes: Vec::new(),
            runs: BTreeMap::new(),
            stability: None,
        };
        let checked = out.join("check").join(format!("{}.json", set.key));
        if let Ok(text) = std::fs::read_to_string(&checked) {
            let checked: Checked =
                serde_json::from_str(&text).with_context(|| checked.display().to_string())?;
            (outcome.faces, outcome.notes) = (Some(checked.faces), checked.notes);
        }
        let reason = out.join("fetch").join(format!("{}.txt", set.key));
        for variant in plan.variants() {
            for seed in 0..plan.seeds {
                let path = out.join("eval").join(format!("{}.json", RealPlan::slug(set, &variant, seed)));
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                let scores: Scores =
                    serde_json::from_str(&text).with_context(|| path.display().to_string())?;
                outcome.runs.entry(variant.slug.clone()).or_default().push(scores);
            }
        }
        if outcome.runs.is_empty() {
            outcome.reason = Some(match (std::fs::read_to_string(&reason), located) {
                (Ok(text), _) => text,
                (Err(_), Err(_)) => format!("{} is not below --data", set.name),
                (Err(_), Ok(_)) => "no network of it was scored".to_string(),
            });
        }
        if let Some(star) = outcome.runs.get(&Variant::star().slug) {
            let faces = star.iter().map(|run| run.predicted.len()).min().unwrap_or(0);
            // Of the faces that all found.
            let found =
                |face: usize| star.iter().map(|run| run.predicted[face].as_deref()).collect::<Option<_>>();
            outcome.stability = spread((0..faces).filter_map(found))?;
        }
        outcome.runs.values_mut().flatten().for_each(|scores| scores.predicted.clear());
        found.push(outcome);
    }
    Ok(found)
}
