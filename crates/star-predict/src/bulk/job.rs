//! One shard: its images through detector and network, its faces into a file.

use std::path::Path;

use anyhow::{Context, Result, bail};
use star_data::decode;
use star_model::CompileOptions;

use super::item::{ImageSource, Item, Items};
use super::place::Place;
use super::rows::{Found, Rows};
use super::{About, BoxSource, BulkConfig, BulkProgress, Counts, Network, table, tar};
use crate::detector::FaceDetector;
use crate::parallel::{map_ordered, unwound};
use crate::{Face, Predictor, failure};

/// What all shards have in common.
pub(super) struct Job<'a> {
    predictor: Predictor,
    config: &'a BulkConfig,
    workers: usize,
    about: Vec<(&'static str, String)>,
}

/// Why a shard has no results.
pub(super) enum ShardError {
    /// It cannot be read to its end.
    Input(anyhow::Error),
    /// Its results cannot be written.
    Output(anyhow::Error),
}

impl<'a> Job<'a> {
    /// Sets the network up: one image a thread on a CPU, one after the other on a card.
    ///
    /// # Errors
    /// When the network cannot be built, or a setting is out of range.
    pub(super) fn new(config: &'a BulkConfig, network: &Network, about: &About) -> Result<Self> {
        let device = config.device.open()?;
        let workers = if device.is_cpu() { rayon::current_num_threads().max(1) } else { 1 };
        let options = CompileOptions { threads: Some(1), ..CompileOptions::default() };
        Ok(Self {
            predictor: Predictor::from_folder(network.folder, &device, &options)?
                .with_batch_size(config.batch_size)
                .with_scheme(network.scheme.clone())
                .with_confidence(network.confidence.cloned())
                .with_detector(FaceDetector::new(config.min_score)?),
            config,
            workers,
            about: vec![("scheme", about.scheme.clone()), ("weights", about.weights.clone())],
        })
    }

    /// Does the shard `name` and puts the faces under `result`.
    ///
    /// # Errors
    /// [`ShardError`], and then there is nothing under `result`.
    pub(super) fn shard(
        &self,
        from: &dyn Place,
        name: &str,
        to: &dyn Place,
        result: &str,
        progress: &mut dyn BulkProgress,
    ) -> Result<Counts, ShardError> {
        let local = from.fetch(name).map_err(ShardError::Input)?;
        let items = items(local.path(), name, &from.label(name), self.config.image_column.as_deref())
            .map_err(ShardError::Input)?;
        let file = to.begin().map_err(ShardError::Output)?;
        let (mut counts, mut full) = (Counts::default(), None);
        let mut rows = Rows::new(file, &self.about).map_err(ShardError::Output)?;
        let work = |row: usize, item: Item| {
            let found = self.one(from, &item).map_err(|error| failure::describe(&error));
            (item.name, row, found)
        };
        let outcome = map_ordered(items, self.workers, work, |(image, row, found)| {
            counts.images += 1;
            match &found {
                Ok(faces) => counts.faces += faces.len(),
                Err(_) => counts.unusable += 1,
            }
            progress.images(name, counts.images);
            rows.image(&image, row, &found).or_else(|error| {
                full = Some(error);
                bail!("the results cannot be written")
            })
        });
        if let Some(error) = full {
            return Err(ShardError::Output(error.context(format!("writing {}", to.label(result)))));
        }
        outcome.map_err(ShardError::Input)?;
        let write =
            || to.put(result, rows.finish()?).with_context(|| format!("writing {}", to.label(result)));
        write().map_err(ShardError::Output)?;
        Ok(counts)
    }

    /// Faces of one image. A panic becomes an error: one image of millions must not end the job.
    fn one(&self, from: &dyn Place, item: &Item) -> Result<Vec<Found>> {
        let hidden = |face: Face| Found { occluded: self.predictor.occluded(&face.landmarks), face };
        unwound(|| Ok(self.faces(from, item)?.into_iter().map(hidden).collect()))
            .unwrap_or_else(|_| bail!("{}: a fault of this program while it worked on the image", item.name))
    }

    fn faces(&self, from: &dyn Place, item: &Item) -> Result<Vec<Face>> {
        let read;
        let bytes = match &item.source {
            ImageSource::Bytes(bytes) => bytes,
            ImageSource::Named(name) => {
                read = from.read(name)?;
                &read
            }
            ImageSource::Missing(reason) => bail!("{reason}"),
        };
        let name = Path::new(&item.name);
        let given = item.boxes.as_ref().filter(|_| self.config.boxes == BoxSource::Input);
        // Boxes were drawn on the pixels as they are stored; a detector wants faces upright.
        match given {
            Some(boxes) => self.predictor.predict_in(&decode::decode_bytes(bytes, name)?, boxes),
            None => self.predictor.predict(&decode::decode_bytes_oriented(bytes, name)?),
        }
    }
}

/// The images of the shard `path`, whose `name` tells its format.
///
/// # Errors
/// When it cannot be opened, or is no shard.
pub(super) fn items(path: &Path, name: &str, label: &str, column: Option<&str>) -> Result<Items> {
    if name.ends_with(".tar") { tar::open(path, label) } else { table::open(path, label, column) }
}
