//! The files that trainings read: portraits drawn for a seed, under the labels of annotators drawn for them or of the consensus.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use star_data::atomic;
use star_predict::files;

use super::annotators::{self, ANNOTATORS, Part, Portrait, Portraits};
use super::design::{Design, Labels, Use, file};
use crate::machine::sha256_of;

/// The portraits that are scored, in the boxes of the consensus.
pub(super) const SCORED: &str = "valid.tsv";

/// Writes every file of the design into `folder` and returns their hashes by their names.
///
/// # Errors
/// When labels cannot be read, or there are fewer portraits than a training needs.
pub(super) fn write(design: &Design, data: &Path, folder: &Path) -> Result<BTreeMap<String, String>> {
    files::make_dir(folder)?;
    let pool = annotators::portraits(data, Part::Train)?;
    let scored = annotators::portraits(data, Part::Valid)?;
    for (name, Portraits { kept, unfound, gross }) in [("train", &pool), ("valid", &scored)] {
        println!(
            "{name}: {} portraits; left out: {unfound} that a detector did not find, {gross} that one grossly mistook",
            kept.len()
        );
    }
    let needed = design.train + design.validation;
    ensure!(pool.kept.len() >= needed, "train.tsv: expected {needed} portraits, got {}", pool.kept.len());
    let mut hashes = BTreeMap::new();
    let mut add = |name: String, rows: Vec<String>| -> Result<()> {
        let text = rows.join("\n") + "\n";
        hashes.insert(name.clone(), sha256_of(text.as_bytes()));
        atomic::write(&folder.join(&name), text.as_bytes()).with_context(|| name)
    };
    let consensus = |portrait: &Portrait| annotators::row(portrait, &portrait.consensus);
    add(SCORED.to_owned(), scored.kept.iter().map(consensus).collect::<Result<_>>()?)?;
    for seed in design.drawn() {
        for (labels, of, rows) in draw(design, &pool.kept, seed)? {
            add(file(seed, labels, of), rows)?;
        }
    }
    Ok(hashes)
}

/// The rows of a seed. Both kinds of labels have the same images in the same order.
fn draw(design: &Design, pool: &[Portrait], seed: u64) -> Result<Vec<(Labels, Use, Vec<String>)>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..pool.len()).collect();
    order.shuffle(&mut rng);
    let drawn: Vec<(&Portrait, usize)> = order[..design.train + design.validation]
        .iter()
        .map(|&i| (&pool[i], rng.random_range(0..ANNOTATORS.len())))
        .collect();
    let (train, validation) = drawn.split_at(design.train);
    let mut files = Vec::new();
    for labels in Labels::ALL {
        for (of, part) in [(Use::Train, train), (Use::Validation, validation)] {
            let row = |(portrait, annotator): &(&Portrait, usize)| {
                let points = match labels {
                    Labels::Annotator => &portrait.labels[*annotator],
                    Labels::Consensus => &portrait.consensus,
                };
                annotators::row(portrait, points)
            };
            files.push((labels, of, part.iter().map(row).collect::<Result<_>>()?));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::annotators::tests::folder;
    use super::*;

    #[test]
    fn a_seed_has_the_same_images_under_both_labels_and_other_seeds_have_others() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        let one = annotators::portraits(dir.path(), Part::Train).unwrap().kept.remove(0);
        let pool: Vec<Portrait> = (0..40)
            .map(|i| {
                let mut portrait = one.clone();
                portrait.about.image = format!("{i}.jpg").into();
                portrait
            })
            .collect();
        let design = Design { train: 20, validation: 5, ..Design::new(false, Some(2), None) };
        let files = draw(&design, &pool, 1).unwrap();
        let column = |file: usize, i: usize| -> Vec<String> {
            files[file].2.iter().map(|row| row.split('\t').nth(i).unwrap().to_owned()).collect()
        };
        assert_eq!(files.iter().map(|f| f.2.len()).collect::<Vec<_>>(), [20, 5, 20, 5]);
        assert_eq!(column(0, 0), column(2, 0));
        // Four annotators label twenty images, all of whose consensus is one.
        let distinct =
            |labels: Vec<String>| labels.into_iter().collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!((distinct(column(0, 2)), distinct(column(2, 2))), (4, 1));
        assert!(column(0, 0).iter().all(|image| !column(1, 0).contains(image)));
        assert_eq!(draw(&design, &pool, 1).unwrap()[0].2, files[0].2);
        assert_ne!(draw(&design, &pool, 2).unwrap()[0].2, files[0].2);
    }

    #[test]
    fn too_few_portraits_are_said_before_anything_is_trained() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        let message =
            write(&Design::new(false, None, None), dir.path(), &dir.path().join("out")).unwrap_err();
        assert!(message.to_string().contains("expected 528 portraits, got 1"), "{message}");
    }
}
