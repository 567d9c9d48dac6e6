//! The faces of a run, and how they are loaded.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use star_data::dataset::Subset;
use star_data::formats::Split;
use star_data::loader::LoaderConfig;
use star_data::{Dataset, Scheme};
use star_model::InputSpec;

use crate::config::{SourceSection, TrainConfig};
use crate::videos;

/// The training faces without those held out, and the validation faces. Faces of one picture, and frames of one video, are held out
/// together or not at all.
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
    let video = matches!(config.data.train, SourceSection::Face300vw(_));
    let faces = train.clone();
    let scene = move |index: usize| match (video, faces.picture(index)) {
        (true, _) => videos::of(&faces.source(index)),
        (false, Some(file)) => file.to_string_lossy().into_owned(),
        (false, None) => format!("{index:08}"),
    };
    let (held, kept) = Subset::split_groups(train, scene, held, config.seed);
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
        shuffle: true,
        shuffle_buffer: config.data.loading.shuffle_buffer,
        unreadable: config.data.loading.unreadable,
        drop_last: true,
        augmentation: config.augmentation.clone(),
        targets: aux && config.loss.aux_weight > 0.0,
        clamp: true,
        seed: config.seed,
        workers: config.workers,
        ..LoaderConfig::evaluation(config.batch_size, input.image_size)
    }
}
