//! The steps of one epoch.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use star_data::loader::Batch;
use star_model::checkpoint;
use star_predict::tensors::{self, Sent, Uploader};

use super::Run;
use super::feed::{Feed, Group};
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
        let loaded = self.train.epoch(self.position.epoch as u64, self.position.batch);
        let mut feed = Feed::new(loaded, self.settings.accumulate, batches);
        while self.position.batch < batches {
            let Group { batches: group, sent, end } = self.collective.agree(feed.next())?;
            if group.is_empty() {
                break;
            }
            let epoch = self.position.epoch;
            let done = epoch as f64 + self.position.batch as f64 / batches as f64;
            let rate = self.settings.schedule.rate(done, self.settings.epochs);
            let figures = self.step_and(&group, sent, rate, |uploader| feed.load_ahead(uploader))?;
            self.position.batch = end;
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
        let waited = feed.waited();
        drop(feed);
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
        self.step_and(group, None, rate, |_| ())
    }

    /// A step with batches of which the first may have been `sent`, see [`Uploader`]. `meanwhile` is called when the device has been
    /// told of all passes, before it is waited for.
    fn step_and(
        &mut self,
        group: &[Batch],
        mut sent: Option<Sent>,
        rate: f64,
        meanwhile: impl FnOnce(&mut Uploader),
    ) -> Result<Option<StepFigures>> {
        let mut gradients = Gradients::default();
        let mut losses = Vec::new();
        let shares = shares(self.collective.as_ref(), group)?;
        let weight = 1.0 / shares.iter().flatten().count().max(1) as f64;
        if shares.iter().all(Option::is_none) {
            return Ok(None);
        }
        let (network, uploader) = (&self.network, &mut self.uploader);
        for (i, (batch, share)) in group.iter().zip(shares).enumerate() {
            let early = sent.take();
            let Some(share) = share else { continue };
            let early = early.map_or_else(|| uploader.send(batch), Ok)?;
            let tensors = uploader.receive(early, batch)?;
            let stages = network.model.forward_t(&tensors.images, true)?;
            let loss = self.objective.loss(&stages, &tensors, share)?;
            drop((stages, tensors));
            losses.push((batch, loss.terms));
            gradients.add(&network.trainable, loss.total.backward()?)?;
            if let Some(next) = group.get(i + 1).filter(|_| uploader.is_ahead()) {
                sent = Some(uploader.send(next)?);
            }
        }
        meanwhile(uploader);
        let mut values = read(losses.iter().flat_map(|(_, terms)| terms))?;
        self.collective.all_reduce(&mut values)?;
        let mut terms = vec![0.0; TERMS.len()];
        for ((batch, _), values) in losses.iter().zip(values.chunks_exact(TERMS.len())) {
            terms.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            if !terms[0].is_finite() {
                return Err(self.not_finite("the loss", batch));
            }
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
        self.ema.update(&self.network.parameters)?;
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

/// Scalars of one type as numbers; a device is waited for once.
fn read<'a>(scalars: impl Iterator<Item = &'a Tensor>) -> Result<Vec<f64>> {
    let scalars: Vec<&Tensor> = scalars.collect();
    // On the host: Metal has no f64.
    let values = Tensor::stack(&scalars, 0)?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    Ok(values.to_vec1()?)
}
