//! The end of an epoch: scores, checkpoints, curves, state.

use anyhow::Result;
use star_data::loader::Part;
use star_data::{Dataset, Scheme};
use star_eval::{Case, Evaluation, Report, Setting};
use star_predict::Ellipse;

use super::checkpoint::Which;
use super::table::Table;
use super::{Run, first_sample};
use crate::curves;
use crate::evaluate::{self, Labels, Slice, metric_set};
use crate::objective::TERMS;
use crate::records::EpochRecord;
use crate::settings::Settings;
use crate::state::{Best, Position};

/// Under what validation samples are scored.
pub(super) fn setting(settings: &Settings, scheme: &Scheme) -> Result<Setting> {
    let (normalizer, normalizer_name) = match &settings.normalizer {
        Some(normalizer) => (normalizer.clone(), normalizer.name()),
        None => {
            let (normalizer, name) = metric_set::normalizer(scheme, None)?;
            (normalizer, name.to_string())
        }
    };
    Ok(Setting {
        dataset: "validation".to_string(),
        subset: "full".to_string(),
        normalizer_name,
        normalizer,
        thresholds: vec![settings.threshold.unwrap_or(scheme.threshold)],
        groups: Vec::new(),
        curves: Vec::new(),
        notes: Vec::new(),
    })
}

/// Which validation samples can be scored: those whose normalizer has a length. Looked at before the first step, so that nobody learns it
/// after an epoch.
///
/// # Errors
/// Where none can, naming the first and why.
pub(super) fn measurable(
    samples: &dyn Dataset,
    setting: &Setting,
    note: impl FnOnce(&str),
) -> Result<Vec<bool>> {
    let mut measurable = vec![true; samples.len()];
    let mut first = None;
    for (row, measurable) in measurable.iter_mut().enumerate() {
        if let Err(error) = evaluate::length(&setting.normalizer, &samples.annotation(row)?) {
            *measurable = false;
            first.get_or_insert((row, error));
        }
    }
    let Some((row, error)) = first else { return Ok(measurable) };
    let place = format!("{} (row {row})", samples.source(row).display());
    let without = measurable.iter().filter(|measurable| !**measurable).count();
    if without == samples.len() {
        return Err(anyhow::Error::from(error).context(format!(
            "no validation sample has a {} length to divide errors by, the first {place}; name a normalizer in the scheme that has one",
            setting.normalizer_name
        )));
    }
    note(&format!(
        "{without} of {} validation samples have no {} length and are not scored, the first {place}",
        samples.len(),
        setting.normalizer_name
    ));
    Ok(measurable)
}

impl Run<'_> {
    /// Scores the weights and their average, keeps the better, and saves everything: all ranks score, rank 0 saves.
    pub(super) fn finish_epoch(&mut self) -> Result<()> {
        let epoch = self.position.epoch;
        let (net, eigenvalues) = self.validate(Which::Net)?;
        let (ema, _) = self.validate(Which::Ema)?;
        let nme = |report: &Report| report.nme_mean_fraction.unwrap_or(f64::INFINITY);
        let (use_ema, nme) = if nme(&ema) < nme(&net) { (true, nme(&ema)) } else { (false, nme(&net)) };
        if nme.is_finite() && self.position.best.as_ref().is_none_or(|best| nme < best.nme) {
            self.position.best = Some(Best { epoch, nme, ema: use_ema });
        }
        let written = if self.collective.leads() {
            let record = self.write_epoch(&net, &ema, eigenvalues);
            record.map(|record| self.progress.epoch(&record, self.settings.epochs))
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
            self.save_weights("best", if best.ema { Which::Ema } else { Which::Net })?;
        }
        self.save_weights("last", Which::Net)?;
        let means: Vec<f64> = self.position.sums.iter().map(|sum| sum / batches as f64).collect();
        let rate = self.settings.schedule.rate(epoch as f64, self.settings.epochs);
        let record = EpochRecord {
            validation_eigenvalues: Some(eigenvalues),
            images_per_second: self.pace,
            ..EpochRecord::new(&self.position, rate, &means, net, ema)
        };
        if let Some(log) = &mut self.log {
            log.epoch(&record)?;
        }
        curves::write(self.out)?;
        if let Some(events) = &mut self.events {
            events.epoch(&record, &first_sample::draw(&self.network, self.validation)?)?;
        }
        Ok(record)
    }

    /// Scores weights on the validation samples, of which each rank has the network see its part; also the mean eigenvalues of what
    /// they predict, see [`EpochRecord::validation_eigenvalues`].
    fn validate(&self, which: Which) -> Result<(Report, [f64; 2])> {
        let part = Part { index: self.collective.rank(), count: self.collective.ranks() };
        let part = part.of(self.validation.len());
        let found = self.with_predictor(which, |predictor| {
            let own = Slice::new(self.validation, part.clone());
            evaluate::run_over(predictor, &own, self.validation_batch, Labels::AsAnnotated, |_| ())
        })?;
        let mut table = Table::new(self.validation.len(), self.scheme.keypoints);
        // Sums of the smaller and of the larger eigenvalues, and their number.
        let mut spread = vec![0.0; 3];
        for (row, sample) in part.zip(&found) {
            table.set(row, &sample.landmarks.points, &sample.truth, &sample.weights);
            for ellipse in sample.landmarks.covariances.iter().copied().map(Ellipse::from_covariance) {
                let variance = |deviation: f32| (f64::from(deviation) / sample.unit).powi(2);
                let more = [variance(ellipse.minor), variance(ellipse.major), 1.0];
                spread.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
        self.collective.all_reduce(&mut spread)?;
        self.collective.all_reduce(&mut table.values)?;
        let mut evaluation = Evaluation::new(self.setting.clone())?;
        for row in (0..self.validation.len()).filter(|&row| self.scored[row]) {
            let (points, truth, weights) = table.row(row);
            evaluation.add_case(&Case {
                name: format!("row {row}"),
                predicted: Some(points),
                truth,
                weights: Some(weights),
                stated_sides: evaluate::stated_sides(&self.validation.annotation(row)?),
                ..Case::default()
            })?;
        }
        Ok((evaluation.report()?, [spread[0] / spread[2], spread[1] / spread[2]]))
    }
}
