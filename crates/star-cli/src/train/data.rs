//! The faces of a run, and how they are loaded.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use star_data::dataset::Subset;
use star_data::formats::{Format, Split};
use star_data::loader::LoaderConfig;
use star_data::{Dataset, Scheme};
use star_model::InputSpec;

use crate::config::{SourceSection, TrainConfig};
use crate::videos;

/// The training faces without those held out, and the validation faces. Faces of one picture file, and frames of one video of 300VW, are
/// held out together or not at all.
pub(super) fn sets(
    config: &TrainConfig,
    base: &Path,
    scheme: &Scheme,
) -> Result<(Arc<dyn Dataset>, Arc<dyn Dataset>)> {
    let loading = &config.data.loading;
    let train =
        loading.cached(config.data.train.open(base, scheme, Split::Train).context("data.train")?, base)?;
    if let Some(source) = &config.data.validation {
        let validation = source.open(base, scheme, Split::Test).context("data.validation")?;
        return Ok((train, loading.cached(validation, base)?));
    }
    let held = ((train.len() as f64 * config.data.holdout).round() as usize).max(1);
    ensure!(
        train.len() > held,
        "data.train: {} faces are too few to hold {held} out for validation",
        train.len()
    );
    let faces = train.clone();
    let video = matches!(config.data.train, SourceSection::Files(Format::Face300vw, _));
    let (held, kept) = if video {
        Subset::split_groups(train, |index| videos::of(&faces.source(index)), held, config.seed)
    } else if train.image_path(0).is_some() {
        let picture = |index| faces.image_path(index).unwrap_or_default().to_string_lossy().into_owned();
        Subset::split_groups(train, picture, held, config.seed)
    } else {
        // Shards, MATLAB files and synthetic faces: every face has a picture of its own, as far as is known.
        Subset::split(train, held, config.seed)
    };
    ensure!(
        !held.is_empty(),
        "data.train: one {}; expected others to hold out for validation, or data.validation",
        if video { "video" } else { "picture" }
    );
    Ok((Arc::new(kept), Arc::new(held)))
}

/// How training faces are prepared for a network with this input; `aux` where it predicts point and edge maps.
pub(super) fn loader_config(config: &TrainConfig, input: &InputSpec, aux: bool) -> LoaderConfig {
    LoaderConfig {
        face_scale: input.face_scale.into(),
        map_size: input.map_size,
        shuffle_buffer: config.data.loading.shuffle_buffer,
        unreadable: config.data.loading.unreadable,
        augmentation: config.augmentation.clone(),
        targets: aux && config.loss.aux_weight > 0.0,
        seed: config.seed,
        workers: config.workers,
        ..LoaderConfig::training(config.batch_size, input.image_size)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use star_data::formats::tsv::format_row;
    use star_data::synthetic::{SyntheticConfig, SyntheticFaces};

    use super::*;

    #[test]
    fn faces_of_one_picture_are_held_out_together() {
        let dir = tempfile::tempdir().unwrap();
        let faces =
            SyntheticFaces::new(SyntheticConfig { count: 12, image_size: 32, ..Default::default() }).unwrap();
        let mut rows = String::new();
        for index in 0..12 {
            let face = faces.get(index).unwrap();
            // Three faces a picture, far apart in the list.
            let name = format!("{}.png", index % 4);
            face.image.save(dir.path().join(&name)).unwrap();
            rows += &(format_row(Path::new(&name), &[[0.0; 2]; 5], &face.points, &[]).unwrap() + "\n");
        }
        std::fs::write(dir.path().join("train.tsv"), rows).unwrap();
        for seed in 0..10 {
            let config: TrainConfig = toml::from_str(&format!(
                "scheme = 'wflw98'\nseed = {seed}\n[data]\nholdout = 0.2\n[data.train]\nformat = 'tsv'\nannotations = 'train.tsv'\n"
            ))
            .unwrap();
            let scheme = Scheme::named("wflw98").unwrap();
            let (kept, held) = sets(&config, dir.path(), &scheme).unwrap();
            assert_eq!((kept.len(), held.len()), (9, 3));
            let pictures = |set: &Arc<dyn Dataset>| -> BTreeSet<_> {
                (0..set.len()).filter_map(|i| set.image_path(i)).collect()
            };
            assert_eq!((pictures(&kept).len(), pictures(&held).len()), (3, 1));
        }
    }
}
