//! The steps of one epoch.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use star_data::loader::Batch;
use star_model::checkpoint;
use star_predict::tensors;

use super::Run;
use super::shares::shares;
use crate::objective::TERMS;
use crate::optimizer::Gradients;
use crate::records::{StepFigures, StepRecord};

/// Steps between the step records of `metrics.jsonl`.
const LOG_EVERY: usize = 10;

/// The batch under study where a loss is not finite, in the run's folder.
const BAD_BATCH: &str = "bad-batch.safetensors";

const NO_GRADIENT: &str = "no gradient reaches a variable of the network: an operation between them and the loss has no backward pass \
     (such as candle_nn::ops::softmax_last_dim, where candle_nn::ops::softmax has one), or they are not those it computes with";

/// Share of an epoch spent waiting for samples above which that is said.
const NOTEWORTHY_WAIT: f64 = 0.2;

impl Run<'_> {
    /// Trains to the end of the epoch under way and validates; false where it was stopped before.
    pub(super) fn epoch(&mut self) -> Result<bool> {
        let batches = self.train.batches_per_epoch();
        let interval = Duration::from_secs_f64(self.settings.save_minutes * 60.0);
        let begun = Instant::now();
        let first = self.position.batch;
        let (mut since, mut saved) = (begun, begun);
        let mut loaded = self.train.epoch(self.position.epoch as u64, self.position.batch);
        while self.position.batch < batches {
            let count = self.settings.accumulate.min(batches - self.position.batch);
            let group: Result<Vec<Batch>, _> = loaded.by_ref().take(count).collect();
            let group = self.collective.agree(group.map_err(Into::into))?;
            if group.is_empty() {
                break;
            }
            let epoch = self.position.epoch;
            let done = epoch as f64 + self.position.batch as f64 / batches as f64;
            let rate = self.settings.schedule.rate(done, self.settings.epochs);
            let figures = self.step(&group, rate)?;
            self.position.batch = loaded.position();
            let Some(figures) = figures else { continue };
            self.position.step += 1;
            let steps = group.len() as f64;
            self.position.sums.iter_mut().zip(&figures.terms).for_each(|(sum, term)| *sum += steps * term);
            self.position.seconds += since.elapsed().as_secs_f64();
            since = Instant::now();
            let record = StepRecord::new(epoch, self.position.step, rate, &figures);
            let epochs = self.settings.epochs;
            self.report(|progress| progress.step(&record, epochs));
            if self.position.step.is_multiple_of(LOG_EVERY) {
                if let Some(log) = &mut self.log {
                    log.step(&record)?;
                }
                if let Some(events) = &mut self.events {
                    events.step(&record)?;
                }
            }
            let stop = self.collective.any(self.stop.load(Ordering::SeqCst))?;
            let due = self.collective.leads() && saved.elapsed() >= interval;
            if stop || self.collective.any(due)? {
                self.save_state()?;
                saved = Instant::now();
            }
            if stop {
                return Ok(false);
            }
        }
        let waited = loaded.waited();
        drop(loaded);
        let images = (self.position.batch - first) * self.settings.batch_size;
        let seconds = begun.elapsed().as_secs_f64();
        self.pace = (images > 0 && seconds > 0.0).then(|| images as f64 / seconds);
        self.warn_of_loading(waited, begun.elapsed());
        self.finish_epoch()?;
        Ok(true)
    }

    /// Says which samples were left out because they could not be read, and whether reading them holds the run up; each once a run.
    fn warn_of_loading(&mut self, waited: Duration, whole: Duration) {
        for (index, error) in self.train.unreadable() {
            if self.warned.unreadable.insert(index) {
                self.progress.note(&format!("left out: {error}"));
            }
        }
        let share = waited.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
        if share > NOTEWORTHY_WAIT && !std::mem::replace(&mut self.warned.waiting, true) {
            self.progress.note(&format!(
                "{:.0} % of the epoch went by waiting for samples: more workers, data.loading.cache or `star data pack` help",
                100.0 * share
            ));
        }
    }

    /// One step of the optimiser on the mean gradient of some batches, of each of which every rank has a part. `None` where there was
    /// nothing to learn from on some rank.
    pub(crate) fn step(&mut self, group: &[Batch], rate: f64) -> Result<Option<StepFigures>> {
        let mut gradients = Gradients::default();
        let mut terms = vec![0.0; TERMS.len()];
        let shares = shares(self.collective.as_ref(), group)?;
        let weight = 1.0 / shares.iter().flatten().count().max(1) as f64;
        if shares.iter().all(Option::is_none) {
            return Ok(None);
        }
        let network = &self.network;
        for (batch, share) in group.iter().zip(shares) {
            let Some(share) = share else { continue };
            let tensors = tensors::batch(batch, network.model.input(), network.dtype, &network.device)?;
            let images = tensors.images.to_dtype(network.activations)?;
            let stages = network.model.forward_t(&images, true)?;
            let loss = self.objective.loss(&stages, &tensors, share)?;
            drop(stages);
            // On the host: Metal has no f64.
            let value =
                |term: &Tensor| term.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_scalar::<f64>();
            let mut values = loss.terms.iter().map(value).collect::<candle_core::Result<Vec<f64>>>()?;
            self.collective.all_reduce(&mut values)?;
            terms.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            if !terms[0].is_finite() {
                return Err(self.not_finite("the loss", batch));
            }
            gradients.add(&network.trainable, loss.total.backward()?)?;
        }
        if gradients.is_empty() {
            return Err(self.collective.shared_error(anyhow::anyhow!(NO_GRADIENT)));
        }
        gradients.all_reduce(self.collective.as_ref())?;
        let norm = weight * gradients.norm()?;
        if let (false, Some(batch)) = (norm.is_finite(), group.last()) {
            return Err(self.not_finite("the gradient", batch));
        }
        let clip = self.settings.clip_norm.map_or(1.0, |most| (most / norm.max(f64::MIN_POSITIVE)).min(1.0));
        self.optimizer.step(&gradients, rate, weight * clip)?;
        self.ema.update(&network.parameters)?;
        Ok(Some(StepFigures { terms, gradient_norm: norm }))
    }

    /// The error of a step that cannot be taken; its batch is saved so that somebody can look at it.
    fn not_finite(&self, what: &str, batch: &Batch) -> anyhow::Error {
        let sources: Vec<String> =
            batch.indices.iter().map(|&i| self.samples.source(i).display().to_string()).collect();
        let path = self.out.join(BAD_BATCH);
        let path = match self.collective.rank() {
            0 => path,
            rank => path.with_file_name(format!("bad-batch-of-rank-{rank}.safetensors")),
        };
        let kept = match tensors::as_loaded(batch)
            .and_then(|tensors| checkpoint::save_safetensors(&tensors, &path))
        {
            Ok(()) => format!("the batch is in {}", path.display()),
            Err(error) => format!("the batch could not be saved: {error}"),
        };
        self.collective.shared_error(anyhow::anyhow!(
            "{what} is not finite at step {} (epoch {}) on samples {:?} ({}); {kept}; states \
             saved before are kept. Look at these samples, lower schedule.learning_rate, or set clip_norm",
            self.position.step + 1,
            self.position.epoch + 1,
            batch.indices,
            sources.join(", ")
        ))
    }
}
