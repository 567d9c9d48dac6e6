//! Scores of a network: against people, against the consensus of the annotators, against detectors that labelled nothing it saw.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use star_data::formats::tsv;
use star_data::{Dataset, Scheme};
use star_eval::{Case, Covariance, Evaluation, Normalizer, Setting, along_across};
use star_model::CompileOptions;
use star_model::checkpoint::Folder;
use star_predict::Predictor;
use star_train::evaluate::metric_set::curves;
use star_train::evaluate::{self, Labels as Moved, Scored};
use star_train::records::{self, Record};

use super::annotators::{self, EYES, Part, Portrait};
use super::design::{Design, Job};
use super::labels::SCORED;
use super::spread::{self, Agreement, Frame, MeanCovariances};
use crate::default_model::sets::{self, SCHEME, TestSet};
use crate::machine::{sha256, sha256_of};

/// Faces a batch.
const BATCH: usize = 16;
/// Residuals are kept in this part of the inter-ocular distance.
const STEP: f64 = 1e-5;
/// Threshold of a failure rate that is not reported; a setting needs one.
const THRESHOLD: f64 = 0.10;

/// Errors on one set, fractions of the inter-ocular distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Errors {
    pub(super) faces: usize,
    pub(super) nme: f64,
    /// Root mean square along the edges of the scheme and across them, by the tangent of the truth.
    pub(super) along: f64,
    pub(super) across: f64,
    /// Landmarks compared on edges, of all faces, and those left out.
    pub(super) on_edges: usize,
    pub(super) left_out: usize,
}

/// The figures of one training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) job: Job,
    /// SHA-256 of the weights.
    pub(super) weights: String,
    /// SHA-256 of all that is scored on.
    pub(super) scored: String,
    /// Seconds of training, validation apart.
    pub(super) seconds: f64,
    /// Of the epoch whose weights are kept, against labels like those trained on.
    pub(super) validation: f64,
    /// People by hand: the second half is scored on, the first is what weights were chosen by.
    pub(super) human: Errors,
    pub(super) tuning: Errors,
    /// Portraits: against the annotators' consensus and against the weights in the program.
    pub(super) consensus: Errors,
    pub(super) builtin: Errors,
    /// Photographs with dlib's landmarks, where they are at hand.
    pub(super) dlib: Option<Errors>,
    /// Mean predicted covariance `xx, xy, yy` of each landmark on the portraits in the frame of the face, squared inter-ocular distances.
    pub(super) covariances: Vec<[f64; 3]>,
    /// Their agreement with how the annotators differ, as they are and without what each does on every face.
    pub(super) agreement: [Agreement; 2],
    /// On people of the second half: signed errors along and across at each landmark on an edge, in [`STEP`]s.
    pub(super) residuals: Vec<[i32; 2]>,
}

impl Measured {
    /// [`Measured::covariances`] as star-eval takes them.
    pub(super) fn predicted(&self) -> Vec<Covariance> {
        self.covariances.iter().map(|&[xx, xy, yy]| Covariance { xx, xy, yy }).collect()
    }

    /// [`Measured::residuals`] as fractions of the inter-ocular distance.
    pub(super) fn errors(&self) -> impl Iterator<Item = [f64; 2]> {
        self.residuals.iter().map(|residual| residual.map(|v| f64::from(v) * STEP))
    }
}

/// What networks are scored on.
pub(super) struct Sets {
    /// SHA-256 of its files of labels.
    pub(super) hash: String,
    scheme: Scheme,
    human: TestSet,
    tuning: TestSet,
    portraits: Vec<Portrait>,
    valid: Arc<dyn Dataset>,
    /// The landmarks of the weights in the program on the portraits.
    builtin: Vec<Vec<[f32; 2]>>,
    dlib: Option<TestSet>,
    /// How the annotators differ on the portraits, as they are and without what each does on every face.
    pub(super) disagreement: [Vec<Covariance>; 2],
}

impl Sets {
    /// Everything below `data`, with the labels that were written into `labels`; photographs of dlib's where they lie beside it.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub(super) fn open(data: &Path, labels: &Path) -> Result<Self> {
        let scheme = Scheme::named(SCHEME)?;
        let valid = Arc::new(tsv::open(labels.join(SCORED), data, scheme.clone())?);
        let portraits = annotators::portraits(data, Part::Valid)?.kept;
        let same = valid.len() == portraits.len();
        ensure!(same, "{}: of other portraits; run without --skip check", labels.join(SCORED).display());
        let found = evaluate::run_over(&Predictor::builtin()?, &valid, BATCH, Moved::AsAnnotated, |_| ())?;
        let photographs = data.with_file_name("real-faces");
        let dlib = photographs.join("dlib").is_dir().then(|| sets::dlib(&photographs)).transpose()?;
        let mut files = vec![labels.join(SCORED)];
        if dlib.is_some() {
            files.extend(["train.tsv", "test.tsv"].map(|file| photographs.join("dlib").join(file)));
        }
        let mut hashes: Vec<String> = files.iter().map(|file| sha256(file)).collect::<Result<_>>()?;
        hashes.extend(annotators::hashes(data)?.into_values());
        Ok(Self {
            hash: sha256_of(hashes.concat().as_bytes()),
            human: sets::human(data, true)?,
            tuning: sets::human(data, false)?,
            disagreement: spread::disagreement(&portraits),
            builtin: found.into_iter().map(|face| face.landmarks.points).collect(),
            scheme,
            portraits,
            valid,
            dlib,
        })
    }

    fn setting(&self) -> Setting {
        let [left, right] = EYES.map(|k| vec![k]);
        Setting {
            dataset: "faces".into(),
            subset: "full".into(),
            normalizer_name: "inter-ocular".into(),
            normalizer: Normalizer::Between(left, right),
            thresholds: vec![THRESHOLD],
            groups: Vec::new(),
            curves: curves(&self.scheme),
            notes: Vec::new(),
        }
    }

    fn errors(&self, cases: &[Case]) -> Result<Errors> {
        let mut evaluation = Evaluation::new(self.setting())?;
        for case in cases {
            evaluation.add_case(case).with_context(|| case.name.clone())?;
        }
        let report = evaluation.report()?;
        let edges = report.edges.context("no landmark is on an edge")?;
        Ok(Errors {
            faces: report.images,
            nme: report.nme_mean_fraction.context("a prediction is not finite")?,
            along: edges.all.along_rms_fraction,
            across: edges.all.across_rms_fraction,
            on_edges: edges.keypoints,
            left_out: edges.left_out,
        })
    }

    /// The annotators against people would need them to run on people; the weights in the program can: their errors on the second half.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(super) fn of_builtin(&self) -> Result<Errors> {
        self.errors(&self.human.cases(&Predictor::builtin()?)?)
    }

    fn against(&self, found: &[Scored], truth: impl Fn(usize) -> Vec<[f32; 2]>) -> Result<Errors> {
        let case = |face: &Scored| Case {
            name: self.portraits[face.index].about.image.to_string_lossy().into_owned(),
            truth: truth(face.index),
            predicted: Some(face.landmarks.points.clone()),
            ..Case::default()
        };
        self.errors(&found.iter().map(case).collect::<Vec<_>>())
    }

    fn covariances(&self, found: &[Scored]) -> Vec<Covariance> {
        let mut mean = MeanCovariances::default();
        for face in found {
            if let Some(frame) = Frame::of(&self.portraits[face.index].consensus) {
                let own = evaluate::covariances(face.landmarks.covariances.iter().copied());
                mean.add(own.into_iter().map(|covariance| frame.covariance(covariance)));
            }
        }
        mean.mean()
    }

    fn residuals(&self, cases: &[Case]) -> Result<Vec<[i32; 2]>> {
        let Setting { normalizer, curves, .. } = self.setting();
        let mut residuals = Vec::new();
        for case in cases {
            let predicted = case.predicted.as_deref().unwrap_or_default();
            let (weights, length) = (case.weights.as_deref(), normalizer.length_of(case)?);
            let split = along_across(predicted, &case.truth, weights, &curves, length)?;
            residuals.extend(split.into_iter().flatten().map(|s| s.map(|v| (v / STEP).round() as i32)));
        }
        Ok(residuals)
    }

    /// Scores `dir/best`, the training of `job`, whose weights have the hash `weights`.
    ///
    /// # Errors
    /// When the training is not there or not finished.
    pub(super) fn measure(
        &self,
        design: &Design,
        job: &Job,
        dir: &Path,
        weights: String,
    ) -> Result<Measured> {
        let folder = Folder::load(&dir.join("best"))?;
        let predictor = Predictor::from_folder(&folder, &Device::Cpu, &CompileOptions::default())?;
        let people = self.human.cases(&predictor)?;
        let found = evaluate::run_over(&predictor, &self.valid, BATCH, Moved::AsAnnotated, |_| ())?;
        let covariances = self.covariances(&found);
        let (mut seconds, mut validation, mut epochs) = (0.0, f64::INFINITY, 0);
        for record in records::read(&dir.join("metrics.jsonl"))? {
            if let Record::Epoch(epoch) = record {
                let own = [epoch.validation_nme, epoch.validation_nme_ema].into_iter().flatten();
                validation = own.fold(validation, f64::min);
                (seconds, epochs) = (epoch.seconds, epochs + 1);
            }
        }
        let (dir, wanted) = (dir.display(), design.epochs);
        ensure!(epochs == wanted, "{dir}: {epochs} of {wanted} epochs are trained; run with --resume");
        let dlib = |set: &TestSet| self.errors(&set.cases(&predictor)?);
        Ok(Measured {
            job: job.clone(),
            weights,
            scored: self.hash.clone(),
            seconds,
            validation,
            human: self.errors(&people)?,
            tuning: self.errors(&self.tuning.cases(&predictor)?)?,
            consensus: self.against(&found, |i| self.portraits[i].consensus.clone())?,
            builtin: self.against(&found, |i| self.builtin[i].clone())?,
            dlib: self.dlib.as_ref().map(dlib).transpose()?,
            agreement: [0, 1].map(|i| spread::agreement(&covariances, &self.disagreement[i])),
            covariances: covariances.iter().map(|c| [c.xx, c.xy, c.yy]).collect(),
            residuals: self.residuals(&people)?,
        })
    }
}
