//! The end of an epoch: scores, checkpoints, curves, state.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::DType;
use indicatif::ProgressBar;
use star_eval::{Evaluation, Report};
use star_model::CompileOptions;
use star_model::checkpoint::{Folder, FolderConfig, Provenance, Tensors};

use super::metrics::EpochRecord;
use super::objective::TERMS;
use super::state::{Best, Position, State};
use super::{Run, curves, picture};
use crate::landmarks::Predictor;
use crate::{evaluate, weights};

impl Run<'_> {
    /// Scores the weights and their average, keeps the better, and saves everything.
    pub(super) fn finish_epoch(&mut self, bar: &ProgressBar) -> Result<()> {
        let epoch = self.position.epoch;
        let batches = self.train.batches_per_epoch();
        let net = self.validate(&self.parameters.tensors())?;
        let ema = self.validate(self.ema.tensors())?;
        let nme = |report: &Report| report.nme_mean_fraction.unwrap_or(f64::INFINITY);
        let (use_ema, nme) = if nme(&ema) < nme(&net) { (true, nme(&ema)) } else { (false, nme(&net)) };
        if self.position.best.as_ref().is_none_or(|best| nme < best.nme) {
            self.position.best = Some(Best { epoch, nme, ema: use_ema });
            let tensors = if use_ema { self.ema.tensors().clone() } else { self.parameters.tensors() };
            self.save_folder("best", tensors, if use_ema { "net_ema" } else { "net" })?;
        }
        self.save_folder("last", self.parameters.tensors(), "net")?;
        let means: Vec<f64> = self.position.sums.iter().map(|sum| sum / batches as f64).collect();
        let rate = self.config.schedule.rate(epoch as f64, self.config.epochs);
        let record = EpochRecord::new(&self.position, rate, &means, &net, &ema);
        self.log.epoch(&record)?;
        curves::write(self.out)?;
        if self.events.is_some() {
            let drawn = picture::first_face(
                self.model.as_ref(),
                self.validation.as_ref(),
                &self.scheme,
                self.dtype,
                &self.device,
            )?;
            if let Some(events) = &mut self.events {
                events.epoch(&record, &drawn)?;
            }
        }
        bar.suspend(|| eprintln!("{}", record.line(self.config.epochs, &self.setting.ruler_name)));
        self.position = Position {
            epoch: epoch + 1,
            batch: 0,
            sums: vec![0.0; TERMS.len()],
            best: self.position.best.clone(),
            ..self.position
        };
        self.save_state()
    }

    /// Scores weights on the validation faces.
    fn validate(&self, tensors: &Tensors) -> Result<Report> {
        let predictor = self.predictor(tensors)?;
        let mut evaluation = Evaluation::new(self.setting.clone())?;
        for face in evaluate::run_over(&predictor, self.validation.clone(), self.config.batch_size, |_| ())? {
            let name = format!("row {}", face.index);
            evaluation.add(name, Some(&face.landmarks.points), &face.truth, Some(&face.weights))?;
        }
        Ok(evaluation.report()?)
    }

    /// The network on these weights: compiled on a CPU in `f32`, layer by layer elsewhere.
    fn predictor(&self, tensors: &Tensors) -> Result<Predictor> {
        if self.dtype == DType::F32 {
            let folder = self.folder(tensors.clone(), "net")?;
            return Predictor::fastest(&folder, &self.device, &CompileOptions::default());
        }
        let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        let vb = candle_nn::VarBuilder::from_tensors(tensors, self.dtype, &self.device);
        Ok(Predictor::new(self.architecture.build(vb)?, self.dtype, &self.device))
    }

    fn folder(&self, tensors: Tensors, which: &str) -> Result<Folder> {
        let provenance = Provenance {
            source: format!("trained: epoch {}, seed {}", self.position.epoch + 1, self.config.seed),
            which: which.to_string(),
            written_by: weights::WRITTEN_BY.to_string(),
        };
        let config = FolderConfig::new(self.architecture.clone(), &self.scheme.name, provenance);
        Ok(Folder::new(config, tensors)?)
    }

    fn save_folder(&self, name: &str, tensors: Tensors, which: &str) -> Result<()> {
        let dir: PathBuf = self.out.join(name);
        self.folder(tensors, which)?.save(&dir).with_context(|| format!("saving {}", dir.display()))
    }

    pub(super) fn save_state(&mut self) -> Result<()> {
        self.log.flush()?;
        if let Some(events) = &mut self.events {
            events.flush()?;
        }
        State {
            position: self.position.clone(),
            model: self.parameters.tensors(),
            ema: self.ema.tensors().clone(),
            optimizer: self.optimizer.state(),
        }
        .save(self.out)
    }
}
