//! Products of bytes chosen for weights on a data set: ranges from samples of what they read, and which products they spoil.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device};
use star_data::loader::{Loader, LoaderConfig};
use star_data::{Dataset, Scheme};
use star_eval::{Normalizer, nme};
use star_model::checkpoint::Folder;
use star_model::{CompileOptions, CompiledModel, Precision, Quantization, QuantizationSamples};
use star_predict::{Predictor, tensors};

use super::metric_set::normalizer;
use super::{Labels, Scored, Slice, run_over};

/// Share of the NME that products of bytes may add.
pub const MOST_LOSS: f64 = 0.01;

/// Fraction of the normalizer by which products of bytes may move landmarks on average where there are no labels. An independent error of s
/// beside an NME of e adds s^2 / 2e: 0.3 % beside 2.7 % come to 0.6 % of the NME, less than [`MOST_LOSS`].
pub const MOST_SHIFT: f64 = 0.003;

/// What products of bytes are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossBound {
    /// The distance from labels: it may grow by [`MOST_LOSS`] of itself.
    Nme,
    /// The distance from the landmarks in `f32`, of a data set whose points are those: it may be [`MOST_SHIFT`].
    Shift,
}

/// Faces whose activations are sampled, spread over the data set.
const SAMPLED: usize = 64;

/// Chooses the ranges of the activations of `folder`'s network on `dataset`, and leaves as many 1x1 convolutions out, those first that move
/// landmarks most by themselves, as it takes to stay within `bound`. `each` is told what is done.
///
/// # Errors
/// When a sample cannot be read, no face has a length to measure by, or the network fails.
pub fn quantize(
    folder: &Folder,
    scheme: &Scheme,
    dataset: &dyn Dataset,
    bound: LossBound,
    fitted_on: &str,
    each: &mut dyn FnMut(&str),
) -> Result<Quantization> {
    let (normalizer, _) = normalizer(scheme, None)?;
    let with = |precision, quantization: Option<&Quantization>| -> Result<Predictor> {
        let mut folder = folder.clone();
        folder.config.quantization = quantization.cloned();
        let options = CompileOptions { precision, ..CompileOptions::default() };
        Predictor::from_folder(&folder, &Device::Cpu, &options)
    };
    let score = |predictor: &Predictor, dataset: &dyn Dataset| {
        run_over(predictor, dataset, Predictor::BATCH_SIZE, Labels::AsAnnotated, |_| {})
    };
    // One convolution by itself is tried on a few: there may be hundreds.
    let few = Slice::new(dataset, 0..dataset.len().min(SAMPLED));
    each("landmarks in f32");
    let plain = score(&with(Precision::F32, None)?, dataset)?;
    let measure = Measure::new(&normalizer, &plain, dataset)?;
    let before = match bound {
        LossBound::Nme => Some(measure.nme(&plain)?),
        LossBound::Shift => None,
    };
    each("ranges of activations");
    let ranges = sampled(folder, dataset)?.ranges();
    ensure!(!ranges.is_empty(), "scheme `{}`: the network has no 1x1 convolution to quantise", scheme.name);
    let mut found =
        Quantization { ranges, fitted_on: fitted_on.into(), nme_fractions: None, shift_fraction: 0.0 };
    let mut worst: Option<Vec<String>> = None;
    let mut out = 1;
    loop {
        each(&format!("landmarks with {} convolutions of bytes", found.ranges.len()));
        let scored = score(&with(Precision::Int8, Some(&found))?, dataset)?;
        found.shift_fraction = measure.shift(&plain, &scored)?;
        let within = match before {
            Some(before) => {
                let after = measure.nme(&scored)?;
                found.nme_fractions = Some([before, after]);
                after <= before * (1.0 + MOST_LOSS)
            }
            None => found.shift_fraction <= MOST_SHIFT,
        };
        if within || found.ranges.is_empty() {
            return Ok(found);
        }
        let worst = match &mut worst {
            Some(worst) => worst,
            empty => {
                let mut shifts = Vec::new();
                for (i, (name, range)) in found.ranges.iter().enumerate() {
                    each(&format!("{name} by itself ({} of {})", i + 1, found.ranges.len()));
                    let alone = [(name.clone(), range.clone())].into_iter().collect();
                    let alone = Quantization { ranges: alone, ..found.clone() };
                    let scored = score(&with(Precision::Int8, Some(&alone))?, &few)?;
                    shifts.push((measure.shift(&plain, &scored)?, name.clone()));
                }
                shifts.sort_by(|a, b| a.0.total_cmp(&b.0));
                empty.insert(shifts.into_iter().map(|(_, name)| name).collect())
            }
        };
        for name in worst.split_off(worst.len().saturating_sub(out)) {
            found.ranges.remove(&name);
        }
        out *= 2;
    }
}

/// What the network reads in `f32` on some of the faces of `dataset`.
fn sampled(folder: &Folder, dataset: &dyn Dataset) -> Result<QuantizationSamples> {
    let model = CompiledModel::from_folder(folder, &CompileOptions::default())?;
    let input = &folder.config.input;
    let config = LoaderConfig {
        face_scale: input.face_scale.into(),
        ..LoaderConfig::evaluation(Predictor::BATCH_SIZE, input.image_size)
    };
    let mut samples = QuantizationSamples::default();
    let every = (dataset.len() / SAMPLED).max(1);
    std::thread::scope(|scope| {
        for (i, batch) in Loader::scoped(scope, dataset, config)?.epoch(0, 0).enumerate() {
            if i % every == 0 {
                let images =
                    tensors::images(&batch?.images, input.image_size, input, DType::F32, &Device::Cpu)?;
                model.sample(&images, &mut samples)?;
            }
        }
        Ok(samples)
    })
}

/// The lengths that errors on the faces of a data set are divided by; those without one are not measured.
struct Measure {
    lengths: Vec<Option<f64>>,
}

impl Measure {
    fn new(normalizer: &Normalizer, scored: &[Scored], dataset: &dyn Dataset) -> Result<Self> {
        let length = |face: &Scored| {
            let case = super::case(face, dataset.annotation(face.index)?);
            Ok(normalizer.length_of(&case).ok())
        };
        let lengths: Vec<Option<f64>> = scored.iter().map(length).collect::<Result<_>>()?;
        ensure!(lengths.iter().any(Option::is_some), "no face has a length to measure errors by");
        Ok(Self { lengths })
    }

    fn mean(&self, faces: usize, of: impl Fn(usize, f64) -> star_eval::Result<f64>) -> Result<f64> {
        let measured: Vec<f64> = self.lengths[..faces]
            .iter()
            .enumerate()
            .filter_map(|(i, length)| length.map(|length| of(i, length)))
            .collect::<Result<_, _>>()
            .context("a face without landmarks")?;
        Ok(measured.iter().sum::<f64>() / measured.len() as f64)
    }

    fn nme(&self, scored: &[Scored]) -> Result<f64> {
        self.mean(scored.len(), |i, length| {
            let Scored { landmarks, truth, weights, .. } = &scored[i];
            nme(&landmarks.points, truth, Some(weights), length)
        })
    }

    fn shift(&self, plain: &[Scored], scored: &[Scored]) -> Result<f64> {
        self.mean(scored.len(), |i, length| {
            nme(&scored[i].landmarks.points, &plain[i].landmarks.points, None, length)
        })
    }
}
