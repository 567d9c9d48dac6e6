//! One shard: its pictures through detector and network, its faces into a file.

use std::ops::AddAssign;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use star_data::decode;
use star_model::CompileOptions;
use star_model::checkpoint::Folder;
use star_predict::detector::FrontalDetector;
use star_predict::{Face, Predictor, failure};

use super::item::{Item, Items, Picture};
use super::ordered::ordered;
use super::place::Place;
use super::rows::Rows;
use super::{About, table, tar};
use crate::args::PredictArgs;

/// What all shards have in common.
pub(super) struct Job<'a> {
    predictor: Predictor,
    args: &'a PredictArgs,
    workers: usize,
    about: Vec<(&'static str, String)>,
}

/// What was found in some pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) pictures: usize,
    pub(super) faces: usize,
    /// Pictures that could not be used.
    pub(super) errors: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.pictures += other.pictures;
        self.faces += other.faces;
        self.errors += other.errors;
    }
}

/// Why a shard has no results.
pub(super) enum Trouble {
    /// It cannot be read to its end.
    Shard(anyhow::Error),
    /// Its results cannot be written.
    Output(anyhow::Error),
}

impl<'a> Job<'a> {
    /// Sets the network up: one picture a thread on a CPU, one after the other on a card.
    ///
    /// # Errors
    /// When the network cannot be built, or a setting is out of range.
    pub(super) fn new(args: &'a PredictArgs, folder: &Folder, about: &About) -> Result<Self> {
        let device = args.weights.device.open()?;
        let workers = if device.is_cpu() { rayon::current_num_threads().max(1) } else { 1 };
        let options = CompileOptions { threads: Some(1), ..CompileOptions::default() };
        Ok(Self {
            predictor: Predictor::from_folder(folder, &device, &options)?
                .with_batch_size(args.weights.batch_size)
                .with_detector(FrontalDetector::new(args.min_score).context("--min-score")?),
            args,
            workers,
            about: vec![("scheme", about.scheme.clone()), ("weights", about.weights.clone())],
        })
    }

    /// Does the shard `name` and puts the faces under `result`.
    ///
    /// # Errors
    /// [`Trouble`], and then there is nothing under `result`.
    pub(super) fn shard(
        &self,
        from: &dyn Place,
        name: &str,
        to: &dyn Place,
        result: &str,
        bar: &ProgressBar,
    ) -> Result<Tally, Trouble> {
        let local = from.fetch(name).map_err(Trouble::Shard)?;
        let items = self.items(name, local.path(), &from.told(name)).map_err(Trouble::Shard)?;
        let file = to.begin().map_err(Trouble::Output)?;
        let (mut tally, mut full) = (Tally::default(), None);
        let mut rows = Rows::new(file, &self.about).map_err(Trouble::Output)?;
        let work = |row: usize, item: Item| {
            let found = self.one(from, &item).map_err(|error| failure::describe(&error));
            (item.name, row, found)
        };
        let outcome = ordered(items, self.workers, work, |(picture, row, found)| {
            tally.pictures += 1;
            match &found {
                Ok(faces) => tally.faces += faces.len(),
                Err(_) => tally.errors += 1,
            }
            bar.set_message(format!("{name}: {} pictures", tally.pictures));
            rows.picture(&picture, row, &found).or_else(|error| {
                full = Some(error);
                bail!("the results cannot be written")
            })
        });
        if let Some(error) = full {
            return Err(Trouble::Output(error.context(format!("writing {}", to.told(result)))));
        }
        outcome.map_err(Trouble::Shard)?;
        let write = || to.put(result, rows.finish()?).with_context(|| format!("writing {}", to.told(result)));
        write().map_err(Trouble::Output)?;
        Ok(tally)
    }

    fn items(&self, name: &str, path: &Path, told: &str) -> Result<Items> {
        let column = self.args.bulk.image_column.as_deref();
        if name.ends_with(".tar") { tar::open(path, told) } else { table::open(path, told, column) }
    }

    /// Faces of one picture. A panic becomes an error: one picture of millions must not end the job.
    fn one(&self, from: &dyn Place, item: &Item) -> Result<Vec<Face>> {
        std::panic::catch_unwind(AssertUnwindSafe(|| self.faces(from, item))).unwrap_or_else(|_| {
            bail!("{}: a fault of this program while it worked on the picture", item.name)
        })
    }

    fn faces(&self, from: &dyn Place, item: &Item) -> Result<Vec<Face>> {
        let read;
        let bytes = match &item.picture {
            Picture::Bytes(bytes) => bytes,
            Picture::Named(name) => {
                read = from.read(name)?;
                &read
            }
            Picture::Missing(reason) => bail!("{reason}"),
        };
        let name = Path::new(&item.name);
        let given = item.boxes.as_ref().filter(|_| !self.args.bulk.detect);
        // Boxes were drawn on the pixels as they are stored; a detector wants faces upright.
        match given {
            Some(boxes) => self.predictor.predict_in(&decode::decode_bytes(bytes, name)?, boxes),
            None => self.predictor.predict(&decode::decode_bytes_oriented(bytes, name)?),
        }
    }
}
