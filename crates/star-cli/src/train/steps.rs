//! The steps of one epoch.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;
use star_data::loader::Batch;
use star_model::checkpoint;

use super::metrics::{Seen, StepRecord};
use super::objective::TERMS;
use super::optimizer::Gradients;
use super::{Options, Run};
use crate::batch;

/// Steps between the step records of `metrics.jsonl`.
const LOG_EVERY: usize = 10;

/// The batch under study where a loss is not finite, in the run's folder.
const BAD_BATCH: &str = "bad-batch.safetensors";

/// Share of an epoch spent waiting for faces above which that is said.
const NOTEWORTHY_WAIT: f64 = 0.2;

impl Run<'_> {
    /// Trains to the end of the epoch under way and validates; false where it was stopped before.
    pub(super) fn epoch(&mut self, bar: &ProgressBar, options: &Options) -> Result<bool> {
        let batches = self.train.batches_per_epoch();
        let interval = Duration::from_secs_f64(self.config.save_minutes * 60.0);
        let begun = Instant::now();
        let (mut since, mut saved) = (begun, begun);
        let mut loaded = self.train.epoch(self.position.epoch as u64, self.position.batch);
        while self.position.batch < batches {
            let count = self.config.accumulate.min(batches - self.position.batch);
            let group: Vec<Batch> = loaded.by_ref().take(count).collect::<Result<_, _>>()?;
            if group.is_empty() {
                break;
            }
            let epoch = self.position.epoch;
            let done = epoch as f64 + self.position.batch as f64 / batches as f64;
            let rate = self.config.schedule.rate(done, self.config.epochs);
            let seen = self.step(&group, rate)?;
            self.position.batch = loaded.position();
            self.position.step += 1;
            let steps = group.len() as f64;
            self.position.sums.iter_mut().zip(&seen.terms).for_each(|(sum, term)| *sum += steps * term);
            self.position.seconds += since.elapsed().as_secs_f64();
            since = Instant::now();
            bar.inc(1);
            bar.set_message(format!(
                "{} epoch {}/{}  loss {:.3}  landmark {:.4}",
                options.label,
                epoch + 1,
                self.config.epochs,
                seen.terms[0],
                seen.terms[1]
            ));
            if self.position.step.is_multiple_of(LOG_EVERY) {
                let record = StepRecord::new(epoch, self.position.step, rate, &seen);
                self.log.step(&record)?;
                if let Some(events) = &mut self.events {
                    events.step(&record)?;
                }
            }
            let stop = options.stop.load(Ordering::SeqCst);
            if stop || saved.elapsed() >= interval {
                self.save_state()?;
                saved = Instant::now();
            }
            if stop {
                return Ok(false);
            }
        }
        let waited = loaded.waited();
        drop(loaded);
        self.tell_of_loading(waited, begun.elapsed(), bar);
        self.finish_epoch(bar)?;
        Ok(true)
    }

    /// Says which faces were left out because they could not be read, and whether reading them holds the run up; each once a run.
    fn tell_of_loading(&mut self, waited: Duration, whole: Duration, bar: &ProgressBar) {
        for (index, trouble) in self.train.unreadable() {
            if self.told.unreadable.insert(index) {
                bar.suspend(|| eprintln!("left out: {trouble}"));
            }
        }
        let share = waited.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
        if share > NOTEWORTHY_WAIT && !std::mem::replace(&mut self.told.waiting, true) {
            bar.suspend(|| {
                eprintln!(
                    "{:.0} % of the epoch went by waiting for faces: more workers, data.loading.cache or `star data pack` help",
                    100.0 * share
                );
            });
        }
    }

    /// One step of the optimiser on the mean gradient of some batches.
    pub(super) fn step(&mut self, group: &[Batch], rate: f64) -> Result<Seen> {
        let mut gradients = Gradients::default();
        let mut terms = vec![0.0; TERMS.len()];
        let share = 1.0 / group.len() as f64;
        for batch in group {
            let tensors = batch::tensors(batch, self.model.input(), self.dtype, &self.device)?;
            let stages = self.model.forward_t(&tensors.images, true)?;
            let loss = self.objective.loss(&stages, &tensors)?;
            drop(stages);
            for (sum, term) in terms.iter_mut().zip(&loss.terms) {
                *sum += share * term.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
            }
            if !terms[0].is_finite() {
                return Err(self.study("the loss", batch));
            }
            gradients.add(&self.trainable, loss.total.backward()?)?;
        }
        let norm = share * gradients.norm()?;
        if let (false, Some(batch)) = (norm.is_finite(), group.last()) {
            return Err(self.study("the gradient", batch));
        }
        let clip = self.config.clip_norm.map_or(1.0, |most| (most / norm.max(f64::MIN_POSITIVE)).min(1.0));
        self.optimizer.step(&gradients, rate, share * clip)?;
        self.ema.update(&self.parameters)?;
        Ok(Seen { terms, gradient_norm: norm })
    }

    /// The error of a step that cannot be taken; its batch is saved so that somebody can look at it.
    fn study(&self, what: &str, batch: &Batch) -> anyhow::Error {
        let faces: Vec<String> =
            batch.indices.iter().map(|&i| self.faces.source(i).display().to_string()).collect();
        let path = self.out.join(BAD_BATCH);
        let kept =
            match batch::as_loaded(batch).and_then(|tensors| checkpoint::save_safetensors(&tensors, &path)) {
                Ok(()) => format!("the batch is in {}", path.display()),
                Err(error) => format!("the batch could not be saved: {error}"),
            };
        anyhow::anyhow!(
            "{what} is not finite at step {} (epoch {}) on samples {:?} ({}); {kept}; states \
             saved before are kept. Look at these samples, lower schedule.learning_rate, or set clip_norm",
            self.position.step + 1,
            self.position.epoch + 1,
            batch.indices,
            faces.join(", ")
        )
    }
}
