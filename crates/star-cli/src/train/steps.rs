//! The steps of one epoch.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use indicatif::ProgressBar;
use star_data::loader::Batch;
use star_model::checkpoint;
use star_predict::tensors;

use super::metrics::{Seen, StepRecord};
use super::objective::{Share, TERMS};
use super::optimizer::Gradients;
use super::{Options, Run};

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
            let group: Result<Vec<Batch>, _> = loaded.by_ref().take(count).collect();
            let group = self.collective.agree(group.map_err(Into::into))?;
            if group.is_empty() {
                break;
            }
            let epoch = self.position.epoch;
            let done = epoch as f64 + self.position.batch as f64 / batches as f64;
            let rate = self.config.schedule.rate(done, self.config.epochs);
            let seen = self.step(&group, rate)?;
            self.position.batch = loaded.position();
            let Some(seen) = seen else { continue };
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
                if let Some(log) = &mut self.log {
                    log.step(&record)?;
                }
                if let Some(events) = &mut self.events {
                    events.step(&record)?;
                }
            }
            let stop = self.collective.any(options.stop.load(Ordering::SeqCst))?;
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
        self.tell_of_loading(waited, begun.elapsed(), bar);
        self.finish_epoch(bar, options.quiet)?;
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

    /// One step of the optimiser on the mean gradient of some batches, of each of which every rank has a part. `None` where there was
    /// nothing to learn from on some rank.
    pub(super) fn step(&mut self, group: &[Batch], rate: f64) -> Result<Option<Seen>> {
        let mut gradients = Gradients::default();
        let mut terms = vec![0.0; TERMS.len()];
        let parts = self.parts(group)?;
        let share = 1.0 / parts.iter().flatten().count().max(1) as f64;
        if parts.iter().all(Option::is_none) {
            return Ok(None);
        }
        for (batch, part) in group.iter().zip(parts) {
            let Some(part) = part else { continue };
            let tensors = tensors::batch(batch, self.model.input(), self.dtype, &self.device)?;
            let images = tensors.images.to_dtype(self.config.precision.activations())?;
            let stages = self.model.forward_t(&images, true)?;
            let loss = self.objective.loss(&stages, &tensors, part)?;
            drop(stages);
            // On the host: Metal has no f64.
            let value =
                |term: &Tensor| term.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_scalar::<f64>();
            let mut values = loss.terms.iter().map(value).collect::<candle_core::Result<Vec<f64>>>()?;
            self.collective.sum(&mut values)?;
            terms.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
            if !terms[0].is_finite() {
                return Err(self.study("the loss", batch));
            }
            gradients.add(&self.trainable, loss.total.backward()?)?;
        }
        gradients.gather(self.collective.as_ref())?;
        let norm = share * gradients.norm()?;
        if let (false, Some(batch)) = (norm.is_finite(), group.last()) {
            return Err(self.study("the gradient", batch));
        }
        let clip = self.config.clip_norm.map_or(1.0, |most| (most / norm.max(f64::MIN_POSITIVE)).min(1.0));
        self.optimizer.step(&gradients, rate, share * clip)?;
        self.ema.update(&self.parameters)?;
        Ok(Some(Seen { terms, gradient_norm: norm }))
    }

    /// How much of each batch's loss falls to this rank; `None` for a batch of which some rank has no face that could be read, and which
    /// all pass over: batch norms need everybody.
    fn parts(&self, group: &[Batch]) -> Result<Vec<Option<Share>>> {
        if self.collective.ranks() == 1 {
            return Ok(vec![Some(Share::WHOLE); group.len()]);
        }
        let mass = |batch: &Batch| batch.weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
        let own: Vec<[f64; 3]> = group
            .iter()
            .map(|batch| [mass(batch), batch.batch as f64, f64::from(u8::from(batch.batch == 0))])
            .collect();
        let mut all = own.concat();
        self.collective.sum(&mut all)?;
        let part = |([mass, faces, _], all): (&[f64; 3], &[f64])| {
            // Where no landmark has a weight the loss is 0, whatever its share.
            let landmarks = if all[0] > 0.0 { mass / all[0] } else { 1.0 };
            (all[2] == 0.0).then(|| Share { landmarks, maps: faces / all[1] })
        };
        Ok(own.iter().zip(all.chunks_exact(3)).map(part).collect())
    }

    /// The error of a step that cannot be taken; its batch is saved so that somebody can look at it.
    fn study(&self, what: &str, batch: &Batch) -> anyhow::Error {
        let faces: Vec<String> =
            batch.indices.iter().map(|&i| self.faces.source(i).display().to_string()).collect();
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
        self.collective.known(anyhow::anyhow!(
            "{what} is not finite at step {} (epoch {}) on samples {:?} ({}); {kept}; states \
             saved before are kept. Look at these samples, lower schedule.learning_rate, or set clip_norm",
            self.position.step + 1,
            self.position.epoch + 1,
            batch.indices,
            faces.join(", ")
        ))
    }
}
