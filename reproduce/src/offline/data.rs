//! Hashes of the synthetic sets, by which two runs are known to have seen the same.

use std::collections::BTreeMap;

use anyhow::Result;
use sha2::{Digest, Sha256};
use star_data::synthetic::{self, SyntheticConfig};

use super::design::{Design, Job};
use crate::variant::Variant;

/// Images of a set that are hashed: enough to tell it from others.
const HASHED: usize = 24;

/// SHA-256 of the first images and labels of the sets of the first seed, by name.
///
/// # Errors
/// When an image cannot be made.
pub(crate) fn hashes(design: &Design) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for block in &design.blocks {
        let (cell, regime) = (block.cell, &design.regime);
        let name = |set: &str| format!("{}, {}, {set}", cell.subjects(), cell.name());
        let job = Job { cell, variant: Variant::plain(), seed: 0 };
        found.insert(name("scored, exact labels"), hash(design.test(&job))?);
        let train = cell.images(regime.budget(cell.subject).train, regime.sets.train, regime.image_side);
        found.insert(name("training, seed 0"), hash(train)?);
    }
    Ok(found)
}

fn hash(config: SyntheticConfig) -> Result<String> {
    let set = synthetic::open(config)?;
    let mut hash = Sha256::new();
    for index in 0..set.len().min(HASHED) {
        let sample = set.get(index)?;
        hash.update(sample.image.as_raw());
        sample.points.iter().flatten().for_each(|v| hash.update(v.to_le_bytes()));
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::design::Kind;
    use super::*;

    #[test]
    fn images_and_labels_of_every_cell_have_hashes_of_their_own() {
        let design = Design::new(Kind::Thorough, None, None);
        let found = hashes(&design).unwrap();
        // Leaves in four cells, faces in two. Cells of the same images are scored on the same: two kinds of leaves, two of faces.
        let training: BTreeSet<&String> =
            found.iter().filter(|(name, _)| name.contains("training")).map(|(_, hash)| hash).collect();
        let scored: BTreeSet<&String> =
            found.iter().filter(|(name, _)| name.contains("scored")).map(|(_, hash)| hash).collect();
        assert_eq!((found.len(), training.len(), scored.len()), (12, 6, 4), "{found:?}");
        assert_eq!(found, hashes(&design).unwrap());
    }
}
