//! Hashes of what is drawn, so that two runs can be known to have seen the same.

use std::collections::BTreeMap;

use anyhow::Result;
use sha2::{Digest, Sha256};
use star_cli::config::SourceSection;
use star_data::synthetic::{self, Subject, SyntheticConfig};

use super::design::Job;
use super::design::{Design, STRENGTHS, subject_name};
use crate::reproduce::variant::Variant;

/// Pictures of each set that are drawn for its hash; a picture depends on its index alone.
const HASHED: usize = 24;

/// SHA-256 of the first pictures and labels of every set, by name.
///
/// # Errors
/// When a picture cannot be drawn.
pub(crate) fn hashes(design: &Design) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for subject in [Subject::Face, Subject::Hand] {
        let name = subject_name(subject);
        found.insert(format!("{name}s, test, exact labels"), hash(design.test(subject))?);
        let strengths = if subject == Subject::Face { &STRENGTHS[..] } else { &design.hand_strengths };
        for &strength in strengths {
            let job = Job { subject, strength, variant: Variant::plain(), seed: 0 };
            if let SourceSection::Synthetic(config) = design.config(&job).data.train {
                found.insert(format!("{name}s, training, strength {strength}"), hash(config)?);
            }
        }
    }
    Ok(found)
}

fn hash(config: SyntheticConfig) -> Result<String> {
    let count = config.count.min(HASHED);
    let set = synthetic::open(config)?;
    let mut hash = Sha256::new();
    for index in 0..count {
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
    fn strength_changes_labels_and_so_the_hash() {
        let found = hashes(&Design::new(false, None, None)).unwrap();
        let distinct: std::collections::BTreeSet<&String> = found.values().collect();
        assert_eq!((found.len(), distinct.len()), (6, 6), "{found:?}");
        assert_eq!(found, hashes(&Design::new(false, None, None)).unwrap());
    }
}
