//! Hashes of the synthetic sets, by which two runs are known to have seen the same.

use std::collections::BTreeMap;

use anyhow::Result;
use sha2::{Digest, Sha256};
use star_data::synthetic::{self, Subject, SyntheticConfig};
use star_train::config::SourceSection;

use super::design::{Design, Job, subject_name};
use crate::variant::Variant;

/// SHA-256 of the images and labels of every set, by name.
///
/// # Errors
/// When an image cannot be made.
pub(crate) fn hashes(design: &Design) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for subject in [Subject::Face, Subject::Hand] {
        let name = subject_name(subject);
        found.insert(format!("{name}s, test, exact labels"), hash(design.test(subject))?);
        for &strength in design.strengths(subject) {
            for seed in 0..design.seeds_of(subject) {
                let job = Job { subject, strength, variant: Variant::plain(), seed };
                let data = design.config(&job).data;
                for (use_, source) in [("training", Some(data.train)), ("validation", data.validation)] {
                    if let Some(SourceSection::Synthetic(config)) = source {
                        let set = format!("{name}s, {use_}, strength {strength}, seed {seed}");
                        found.insert(set, hash(config)?);
                    }
                }
            }
        }
    }
    Ok(found)
}

fn hash(config: SyntheticConfig) -> Result<String> {
    let set = synthetic::open(config)?;
    let mut hash = Sha256::new();
    for index in 0..set.len() {
        let sample = set.get(index)?;
        hash.update(sample.image.as_raw());
        sample.points.iter().flatten().for_each(|v| hash.update(v.to_le_bytes()));
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_and_seed_change_labels_and_so_the_hash() {
        let mut design = Design::new(false, Some(2), None);
        let regime = &mut design.regime;
        (regime.faces.train, regime.hands.train, regime.validation, regime.test) = (6, 6, 3, 4);
        let found = hashes(&design).unwrap();
        let distinct: std::collections::BTreeSet<&String> = found.values().collect();
        // A test set each; training and validation under two seeds, of faces at three strengths, of hands at one.
        let sets = 2 + 2 * 2 * (3 + 1);
        assert_eq!((found.len(), distinct.len()), (sets, sets), "{found:?}");
        assert_eq!(found, hashes(&design).unwrap());
    }
}
