//! From a training file to a trainer and its data.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use star_data::dataset::{Joined, Subset};
use star_data::formats::{Format, Split};
use star_data::{Dataset, Scheme, sampling};
use star_loss::HeatmapLoss;
use star_model::checkpoint::Tensors;
use star_predict::failure;
use star_predict::weights::{self, FetchProgress};

use super::{ModelSection, SourceSection, TrainConfig};
use crate::collective::{Alone, Collective, SharedError};
use crate::holdout::{Together, hold_out};
use crate::progress::Progress;
use crate::run::Outcome;
use crate::trainer::Trainer;

/// The training file that a run was started with, kept in its folder.
const CONFIG_COPY: &str = "config.toml";

/// How a run is to be carried out, beside what its training file says.
pub struct Options {
    /// The ranks that share every batch.
    pub collective: Arc<dyn Collective>,
    /// Go on from the newest state.
    pub resume: bool,
    /// Set from outside to stop after the step under way.
    pub stop: Arc<AtomicBool>,
    /// Who hears how the run goes.
    pub progress: Box<dyn Progress>,
    /// Who hears of weights that are fetched.
    pub fetch: Box<dyn FetchProgress>,
}

/// One process that reports to nobody.
impl Default for Options {
    fn default() -> Self {
        Self {
            collective: Arc::new(Alone),
            resume: false,
            stop: Arc::default(),
            progress: Box::new(()),
            fetch: Box::new(()),
        }
    }
}

/// A trainer and its data.
pub struct Prepared {
    /// The trainer, with every setting of the training file.
    pub trainer: Trainer,
    /// Samples to train on.
    pub train: Arc<dyn Dataset>,
    /// Samples to choose the best epoch by.
    pub validation: Arc<dyn Dataset>,
    config: TrainConfig,
}

impl Prepared {
    /// The same under another loss than that of the training file.
    #[must_use]
    pub fn loss(mut self, loss: impl HeatmapLoss + 'static) -> Self {
        self.trainer = self.trainer.loss(loss);
        self
    }

    /// Trains into the folder `out` and keeps the training file there, see [`Trainer::run`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run(self, out: &Path) -> Result<Outcome> {
        let text = toml::to_string_pretty(&self.config)?;
        self.trainer.keep_file(CONFIG_COPY, text).run(&self.train, &self.validation, out)
    }
}

impl TrainConfig {
    /// Trains what this describes into the folder `out`; relative paths start from `base`.
    ///
    /// # Errors
    /// As [`TrainConfig::prepare`] and [`Trainer::run`].
    pub fn run(&self, base: &Path, out: &Path, options: Options) -> Result<Outcome> {
        self.prepare(base, options)?.run(out)
    }

    /// The trainer for keypoints of `scheme`, without data and without weights to start from.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn trainer(&self, scheme: &Scheme) -> Result<Trainer> {
        let architecture = self.model.architecture(scheme).context("model")?;
        let trainer = Trainer::from_architecture(architecture, self.loss.loss(scheme)?);
        Ok(trainer.settings(self.settings()).description(self.description(scheme)?))
    }

    /// The trainer and its data; relative paths start from `base`.
    ///
    /// # Errors
    /// Names the field that is out of range, or the data or weights that cannot be used. Where several ranks train, an error on one
    /// is one on all.
    pub fn prepare(&self, base: &Path, options: Options) -> Result<Prepared> {
        let collective = options.collective.clone();
        let prepared = self.prepare_on_rank(base, options);
        if let Err(error) = &prepared
            && !error.is::<SharedError>()
        {
            collective.abort(&failure::describe(error));
        }
        prepared
    }

    fn prepare_on_rank(&self, base: &Path, mut options: Options) -> Result<Prepared> {
        self.validate()?;
        let collective = &options.collective;
        let scheme = collective.agree(self.scheme(base))?;
        let mut trainer = self.trainer(&scheme)?;
        trainer.validate()?;
        let mut note = |text: &str| options.progress.note(text);
        let (train, validation) = collective.agree(self.data(base, &scheme, &mut note))?;
        if let Some(from) = self.init_from.as_ref().filter(|_| !options.resume) {
            let read: Result<Option<Tensors>> = match collective.leads() {
                true => weights::tensors(from, base, options.fetch.as_mut()).map(Some).context("init_from"),
                false => Ok(None),
            };
            let tensors = collective.tensors_from_first(collective.agree(read)?)?;
            let name = format!("init_from: {}", from.display());
            trainer = trainer.start_from(name, tensors.unwrap_or_default());
        }
        if options.resume {
            trainer = trainer.resume();
        }
        let trainer = trainer.collective(options.collective).stop(options.stop);
        Ok(Prepared {
            trainer: trainer.boxed_progress(options.progress),
            train,
            validation,
            config: self.clone(),
        })
    }

    /// Samples to train on, each as often as its weight says, and to validate on.
    fn data(
        &self,
        base: &Path,
        scheme: &Scheme,
        note: &mut dyn FnMut(&str),
    ) -> Result<(Arc<dyn Dataset>, Arc<dyn Dataset>)> {
        let (train, validation) = self.split(base, scheme, note)?;
        let Some(path) = &self.data.weights else { return Ok((train, validation)) };
        let weights = sampling::read_weights(&base.join(path), &train).context("data.weights")?;
        let indices = sampling::repeated(&weights, self.seed);
        note(&format!("{} images, {} samples an epoch", train.len(), indices.len()));
        Ok((Arc::new(Subset::new(train, indices)), validation))
    }

    /// Samples to train on and to validate on, each once.
    fn split(
        &self,
        base: &Path,
        scheme: &Scheme,
        note: &mut dyn FnMut(&str),
    ) -> Result<(Arc<dyn Dataset>, Arc<dyn Dataset>)> {
        let loading = &self.data.loading;
        let mut train = self.data.train.open(base, scheme, Split::Train, note).context("data.train")?;
        if !self.data.more.is_empty() {
            let mut parts = vec![train];
            for (i, source) in self.data.more.iter().enumerate() {
                let more = source.open(base, scheme, Split::Train, note);
                parts.push(more.with_context(|| format!("data.more[{i}]"))?);
            }
            train = Arc::new(Joined::new(parts).context("data.more")?);
        }
        let train = loading.cached(train, base)?;
        if let Some(source) = &self.data.validation {
            let validation = source.open(base, scheme, Split::Test, note).context("data.validation")?;
            return Ok((train, loading.cached(validation, base)?));
        }
        let together = match self.data.train {
            SourceSection::Files(Format::Face300vw, _) => Together::Video,
            _ => Together::Image,
        };
        let (kept, held) = hold_out(train, self.data.holdout, self.seed, together).context("data.train")?;
        Ok((Arc::new(kept), Arc::new(held)))
    }

    /// What a resumed run must have in common beside its settings.
    fn description(&self, scheme: &Scheme) -> Result<serde_json::Value> {
        let model = ModelSection { attention: Some(self.model.attends(scheme)), ..self.model.clone() };
        Ok(serde_json::json!({
            "scheme": self.scheme,
            "init_from": self.init_from,
            "data": self.data,
            "model": model,
            "loss": self.loss,
        }))
    }
}

#[cfg(test)]
mod tests {
    use star_data::synthetic::{SyntheticConfig, SyntheticFaces};

    use super::super::DataSection;
    use super::*;

    #[test]
    fn training_images_come_as_often_as_their_weights_say_and_validation_images_once() {
        let dir = tempfile::tempdir().unwrap();
        let faces =
            SyntheticFaces::new(SyntheticConfig { count: 8, image_size: 32, ..Default::default() }).unwrap();
        let mut rows = String::new();
        for index in 0..8 {
            let face = faces.get(index).unwrap();
            let name = format!("{}_{index}.png", if index % 2 == 0 { "rare" } else { "common" });
            face.image.save(dir.path().join(&name)).unwrap();
            let row =
                star_data::formats::tsv::format_row(Path::new(&name), &[[0.0; 2]; 5], &face.points, &[]);
            rows += &(row.unwrap() + "\n");
        }
        std::fs::write(dir.path().join("faces.tsv"), rows).unwrap();
        std::fs::write(dir.path().join("weights.csv"), "image,weight\nrare_*,3\ncommon_1.png,0\n").unwrap();
        let config: TrainConfig = toml::from_str(
            "scheme = 'wflw98'\n[data]\nweights = 'weights.csv'\n\
             [data.train]\nformat = 'tsv'\nannotations = 'faces.tsv'\n\
             [data.validation]\nformat = 'tsv'\nannotations = 'faces.tsv'\n",
        )
        .unwrap();
        let prepared = config.prepare(dir.path(), Options::default()).unwrap();
        // four rare images three times, three common ones once, one never
        assert_eq!((prepared.train.len(), prepared.validation.len()), (15, 8));
        let of = |index: usize| prepared.train.image_path(index).unwrap().file_name().unwrap().to_owned();
        assert_eq!([of(0), of(2), of(3)], ["rare_0.png", "rare_0.png", "rare_2.png"]);
        let more = [config.data.train.clone(), config.data.train.clone()].to_vec();
        let more = TrainConfig { data: DataSection { more, weights: None, ..config.data.clone() }, ..config };
        let prepared = more.prepare(dir.path(), Options::default()).unwrap();
        assert_eq!((prepared.train.len(), prepared.validation.len()), (24, 8));
    }
}
