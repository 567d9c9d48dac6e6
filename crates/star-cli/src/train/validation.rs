//! The end of an epoch: scores, checkpoints, curves, state.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::DType;
use indicatif::ProgressBar;
use star_data::Dataset;
use star_data::dataset::Subset;
use star_data::loader::Part;
use star_eval::{Evaluation, Report};
use star_model::CompileOptions;
use star_model::checkpoint::{Folder, FolderConfig, Provenance, Tensors};
use star_predict::{Ellipse, Predictor};

use super::metrics::EpochRecord;
use super::objective::TERMS;
use super::state::{Best, Position, State};
use super::table::Table;
use super::{Run, curves, picture};
use crate::evaluate;

impl Run<'_> {
    /// Scores the weights and their average, keeps the better, and saves everything: all ranks score, rank 0 saves.
    pub(super) fn finish_epoch(&mut self, bar: &ProgressBar, quiet: bool) -> Result<()> {
        let epoch = self.position.epoch;
        let (net, eigenvalues) = self.validate(&self.parameters.tensors())?;
        let (ema, _) = self.validate(self.ema.tensors())?;
        let nme = |report: &Report| report.nme_mean_fraction.unwrap_or(f64::INFINITY);
        let (use_ema, nme) = if nme(&ema) < nme(&net) { (true, nme(&ema)) } else { (false, nme(&net)) };
        if nme.is_finite() && self.position.best.as_ref().is_none_or(|best| nme < best.nme) {
            self.position.best = Some(Best { epoch, nme, ema: use_ema });
        }
        let written = if self.collective.leads() {
            let record = self.write_epoch(&net, &ema, eigenvalues);
            record.map(|record| {
                if !quiet {
                    let line = record.line(self.config.epochs, &self.setting.normalizer_name);
                    bar.suspend(|| eprintln!("{line}"));
                }
            })
        } else {
            Ok(())
        };
        self.collective.agree(written)?;
        self.position = Position {
            epoch: epoch + 1,
            batch: 0,
            sums: vec![0.0; TERMS.len()],
            best: self.position.best.clone(),
            ..self.position
        };
        self.save_state()
    }

    /// Folders of weights, logs and curves of the epoch that has just been scored.
    fn write_epoch(&mut self, net: &Report, ema: &Report, eigenvalues: [f64; 2]) -> Result<EpochRecord> {
        let (epoch, batches) = (self.position.epoch, self.train.batches_per_epoch());
        if let Some(best) = self.position.best.as_ref().filter(|best| best.epoch == epoch) {
            let (tensors, which) = match best.ema {
                true => (self.ema.tensors().clone(), "net_ema"),
                false => (self.parameters.tensors(), "net"),
            };
            self.save_folder("best", tensors, which)?;
        }
        self.save_folder("last", self.parameters.tensors(), "net")?;
        let means: Vec<f64> = self.position.sums.iter().map(|sum| sum / batches as f64).collect();
        let rate = self.config.schedule.rate(epoch as f64, self.config.epochs);
        let record = EpochRecord {
            validation_eigenvalues: Some(eigenvalues),
            ..EpochRecord::new(&self.position, rate, &means, net, ema)
        };
        if let Some(log) = &mut self.log {
            log.epoch(&record)?;
        }
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
        Ok(record)
    }

    /// Scores weights on the validation faces, of which each rank has the network see its part; also the mean eigenvalues of what
    /// they predict, see [`EpochRecord::validation_eigenvalues`].
    fn validate(&self, tensors: &Tensors) -> Result<(Report, [f64; 2])> {
        let predictor = self.predictor(tensors)?;
        let part = Part { index: self.collective.rank(), count: self.collective.ranks() };
        let part = part.of(self.validation.len());
        let own: Arc<dyn Dataset> = Arc::new(Subset::new(self.validation.clone(), part.clone().collect()));
        let found = evaluate::run_over(&predictor, own, self.validation_batch, |_| ())?;
        let mut table = Table::new(self.validation.len(), self.scheme.keypoints);
        // Sums of the smaller and of the larger eigenvalues, and their number.
        let mut spread = vec![0.0; 3];
        for (row, face) in part.zip(&found) {
            table.set(row, &face.landmarks.points, &face.truth, &face.weights);
            for ellipse in face.landmarks.covariances.iter().copied().map(Ellipse::from_covariance) {
                let variance = |deviation: f32| (f64::from(deviation) / face.unit).powi(2);
                let more = [variance(ellipse.minor), variance(ellipse.major), 1.0];
                spread.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
        self.collective.sum(&mut spread)?;
        self.collective.sum(&mut table.values)?;
        let mut evaluation = Evaluation::new(self.setting.clone())?;
        for row in 0..self.validation.len() {
            let (points, truth, weights) = table.row(row);
            evaluation.add(format!("row {row}"), Some(&points), &truth, Some(&weights))?;
        }
        Ok((evaluation.report()?, [spread[0] / spread[2], spread[1] / spread[2]]))
    }

    /// The network on these weights: compiled on a CPU in `f32`, layer by layer elsewhere.
    fn predictor(&self, tensors: &Tensors) -> Result<Predictor> {
        if self.dtype == DType::F32 {
            let folder = self.folder(tensors.clone(), "net")?;
            return Predictor::from_folder(&folder, &self.device, &CompileOptions::default());
        }
        let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        let vb = candle_nn::VarBuilder::from_tensors(tensors, self.dtype, &self.device);
        Ok(Predictor::new(self.architecture.build(vb)?, self.dtype, &self.device))
    }

    fn folder(&self, tensors: Tensors, which: &str) -> Result<Folder> {
        let provenance = Provenance {
            source: format!("trained: epoch {}, seed {}", self.position.epoch + 1, self.config.seed),
            which: which.to_string(),
            written_by: star_predict::weights::WRITTEN_BY.to_string(),
        };
        let config = FolderConfig::new(self.architecture.clone(), &self.scheme.name, provenance);
        Ok(Folder::new(config, tensors)?)
    }

    fn save_folder(&self, name: &str, tensors: Tensors, which: &str) -> Result<()> {
        let dir: PathBuf = self.out.join(name);
        self.folder(tensors, which)?.save(&dir).with_context(|| format!("saving {}", dir.display()))
    }

    /// Saves the state on rank 0; an error there is one on all ranks, which must all be here.
    pub(super) fn save_state(&mut self) -> Result<()> {
        let saved = if self.collective.leads() { self.write_state() } else { Ok(()) };
        self.collective.agree(saved)
    }

    fn write_state(&mut self) -> Result<()> {
        if let Some(log) = &mut self.log {
            log.flush()?;
        }
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
