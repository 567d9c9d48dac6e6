//! Validation samples held out of a training set.

use std::sync::Arc;

use anyhow::{Result, ensure};
use star_data::Dataset;
use star_data::dataset::Subset;

use crate::evaluate::videos;

/// Which samples belong together: they are held out together or not at all, or one would be learnt from the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Together {
    /// Those of one image file; where images have no file of their own, every sample is on its own.
    #[default]
    Image,
    /// Frames of one video.
    Video,
}

/// Splits `samples` by `seed` into those to train on and about `share` of them, at least one, to validate on.
///
/// # Errors
/// When there are too few samples, or all belong together.
pub fn hold_out(
    samples: Arc<dyn Dataset>,
    share: f64,
    seed: u64,
    together: Together,
) -> Result<(Subset, Subset)> {
    ensure!(share > 0.0 && share < 1.0, "holdout: expected a share between 0 and 1, got {share}");
    let count = ((samples.len() as f64 * share).round() as usize).max(1);
    ensure!(
        samples.len() > count,
        "{} samples are too few to hold {count} out for validation",
        samples.len()
    );
    let all = samples.clone();
    let (held, kept) = match together {
        Together::Video => Subset::split_groups(samples, |index| videos::of(&all.source(index)), count, seed),
        Together::Image if all.image_path(0).is_some() => {
            let image = |index| all.image_path(index).unwrap_or_default().to_string_lossy().into_owned();
            Subset::split_groups(samples, image, count, seed)
        }
        // Shards, MATLAB files and synthetic samples: each has an image of its own, as far as is known.
        Together::Image => Subset::split(samples, count, seed),
    };
    ensure!(
        !held.is_empty(),
        "one {}; expected others to hold out for validation, or a validation set",
        match together {
            Together::Video => "video",
            Together::Image => "image",
        }
    );
    Ok((kept, held))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use star_data::Scheme;
    use star_data::formats::tsv::{self, format_row};
    use star_data::synthetic::{SyntheticConfig, SyntheticFaces};

    use super::*;

    #[test]
    fn samples_of_one_image_are_held_out_together() {
        let dir = tempfile::tempdir().unwrap();
        let faces =
            SyntheticFaces::new(SyntheticConfig { count: 12, image_size: 32, ..Default::default() }).unwrap();
        let mut rows = String::new();
        for index in 0..12 {
            let face = faces.get(index).unwrap();
            // Three samples an image, far apart in the list.
            let name = format!("{}.png", index % 4);
            face.image.save(dir.path().join(&name)).unwrap();
            rows += &(format_row(Path::new(&name), &[[0.0; 2]; 5], &face.points, &[]).unwrap() + "\n");
        }
        std::fs::write(dir.path().join("train.tsv"), rows).unwrap();
        let scheme = Scheme::named("wflw98").unwrap();
        let opened = tsv::open(dir.path().join("train.tsv"), dir.path(), scheme).unwrap();
        let samples: Arc<dyn Dataset> = Arc::new(opened);
        for seed in 0..10 {
            let (kept, held) = hold_out(samples.clone(), 0.2, seed, Together::Image).unwrap();
            assert_eq!((kept.len(), held.len()), (9, 3));
            let images =
                |set: &Subset| -> BTreeSet<_> { (0..set.len()).filter_map(|i| set.image_path(i)).collect() };
            assert_eq!((images(&kept).len(), images(&held).len()), (3, 1));
        }
    }
}
