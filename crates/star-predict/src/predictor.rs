//! A network with what is needed to run it on faces in images.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};
use image::RgbImage;
use star_data::affine::Affine;
use star_data::crop::Crop;
use star_data::scheme_map::SchemeMap;
use star_data::{FaceBox, Scheme, warp};
use star_model::checkpoint::Folder;
use star_model::{CompileOptions, CompiledModel, InputSpec, LandmarkModel};

use crate::confidence::ConfidenceModel;
use crate::detector::{Detection, Detector, FaceDetector};
use crate::landmarks::{self, Decoded, Face, Landmarks};
use crate::level;
use crate::pose::PoseEstimator;
use crate::turn::Turn;
use crate::{tensors, weights};

/// How many times the odds of what was found upright a turned face must have to be taken instead, and how much more evidence where the
/// landmarks' confidence is known: what was found upright may be several faces.
const SURER: f32 = 6.0;
const MORE_EVIDENCE: f32 = 0.1;

/// [`ConfidenceModel::evidence`] of landmarks from which on an image is not turned to look for others, and below which a face's crop is
/// turned by quarters: faces that stand upright have at least 0.85.
const SURE: f32 = 0.85;
const UNSURE: f64 = 0.7;

/// [`ConfidenceModel::evidence`] of the landmarks below which what the detector found is no face, and how much more it takes where the detector
/// is not sure at all. Some heads turned by 60 degrees have less than 0.3, but the detector is sure of them.
const NO_FACE: f64 = 0.18;
const DOUBT: f64 = 0.4;

/// Degrees of the eyes' slope in a crop beyond which it is turned upright, and how often. On 212 faces whose box is known, turned by 45 degrees,
/// the mean NME falls from 2.8 to 2.3 %, by 60 from 3.8 to 2.2 (`cargo xtask default-model detection`); turning at 8 degrees gave no more.
const TILT: f64 = 15.0;
const ROUNDS: usize = 2;

/// Finds faces and their landmarks in images. One predictor serves many threads.
pub struct Predictor {
    network: Network,
    device: Device,
    dtype: DType,
    batch_size: usize,
    /// Whether images without a sure upright face are turned.
    turned: bool,
    /// Whether crops of tilted faces are turned upright.
    upright: bool,
    scheme: Option<Scheme>,
    /// For keypoints whose place on a head is known.
    pose: Option<PoseEstimator>,
    /// What becomes of the network's keypoints.
    map: Option<SchemeMap>,
    /// What standard deviations are multiplied by, a factor a keypoint; empty where nothing is known of it.
    spread_scales: Vec<f32>,
    /// How sure a landmark is, of the network's own keypoints.
    confidence: Option<ConfidenceModel>,
    /// The embedded one is read when it is first needed: whoever gives boxes needs none.
    detector: OnceLock<Box<dyn Detector>>,
}

enum Network {
    /// On the CPU in f32: landmarks without a map being written.
    Compiled(Box<CompiledModel>),
    Layers(Box<dyn LandmarkModel>),
}

impl Predictor {
    /// Faces that go through the network together, unless [`Predictor::with_batch_size`] says otherwise: more gain little on a CPU.
    pub const BATCH_SIZE: usize = 8;

    /// The weights in this crate, on the CPU: 68 landmarks of faces (`docs/default-model.md` of the project says how good they are).
    ///
    /// # Errors
    /// When this CPU cannot run them.
    #[cfg(feature = "builtin-model")]
    pub fn builtin() -> Result<Self> {
        Self::open(weights::BUILTIN)
    }

    /// The weights that `weights` names, on the CPU: a folder, a weights file or `builtin`; with the feature `hub` also a name of the
    /// registry of published weights, or an address `hf:owner/repo[@revision]/file`, which are fetched once.
    ///
    /// # Errors
    /// When they cannot be read, or are of no known scheme.
    pub fn open(weights: impl AsRef<Path>) -> Result<Self> {
        let (folder, scheme) = weights::open(weights.as_ref(), &Default::default(), &mut ())?;
        let confidence = weights::confidence(weights.as_ref(), scheme.keypoints)?;
        let predictor = Self::from_folder(&folder, &Device::Cpu, &CompileOptions::default())?;
        Ok(predictor.with_scheme(scheme).with_confidence(confidence))
    }

    /// Runs `model` on `device` in `dtype`, layer by layer.
    pub fn new(model: impl LandmarkModel + 'static, dtype: DType, device: &Device) -> Self {
        Self {
            network: Network::Layers(Box::new(model)),
            device: device.clone(),
            dtype,
            batch_size: Self::BATCH_SIZE,
            turned: false,
            upright: true,
            scheme: None,
            pose: None,
            map: None,
            spread_scales: Vec::new(),
            confidence: None,
            detector: OnceLock::new(),
        }
    }

    /// The fastest way to run the network of `folder` on `device` in f32: compiled on the CPU, layer by layer elsewhere. Covariances are
    /// calibrated where the folder says how.
    ///
    /// # Errors
    /// When the network cannot be built.
    pub fn from_folder(folder: &Folder, device: &Device, options: &CompileOptions) -> Result<Self> {
        let calibration = folder.config.calibration.as_ref();
        let spread_scales =
            calibration.map(|calibration| calibration.keypoint_scales.clone()).unwrap_or_default();
        if !device.is_cpu() {
            let layers = Self::new(folder.model(DType::F32, device)?, DType::F32, device);
            return Ok(Self { spread_scales, ..layers });
        }
        let compiled = CompiledModel::from_folder(folder, options)?;
        Ok(Self {
            network: Network::Compiled(Box::new(compiled)),
            device: Device::Cpu,
            dtype: DType::F32,
            batch_size: Self::BATCH_SIZE,
            turned: false,
            upright: true,
            scheme: None,
            pose: None,
            map: None,
            spread_scales,
            confidence: None,
            detector: OnceLock::new(),
        })
    }

    /// With another detector than the embedded one.
    #[must_use]
    pub fn with_detector(mut self, detector: impl Detector + 'static) -> Self {
        self.detector = OnceLock::from(Box::new(detector) as Box<dyn Detector>);
        self
    }

    /// With `size` faces at a time through the network, at least one.
    #[must_use]
    pub fn with_batch_size(mut self, size: usize) -> Self {
        self.batch_size = size.max(1);
        self
    }

    /// Looks for faces in an image turned by every eighth of a full turn where what is found upright is not sure: by its landmarks' confidence,
    /// or by the detector ([`Detector::sure_score`]) where that is not known. The turn with the surest face is taken. Such an image takes some
    /// nine times as long, 0.15 s instead of 0.02 s for 640 x 480 pixels without a face on one core.
    #[must_use]
    pub fn with_turned(mut self, turned: bool) -> Self {
        self.turned = turned;
        self
    }

    /// Whether a face that the network is not sure of is predicted in again in its crop turned by quarters, and one whose eyes are found to
    /// slope by more than 15 degrees in a crop turned by that much, and the surer look taken; on unless it is switched off here. Networks are
    /// trained on faces that are nearly upright. It takes a scheme that names the eyes ([`Predictor::with_scheme`]) and weights that say how
    /// sure they are ([`Predictor::with_confidence`]).
    #[must_use]
    pub fn with_upright(mut self, upright: bool) -> Self {
        self.upright = upright;
        self
    }

    /// Keeps `scheme` for [`Predictor::scheme`], and estimates the heads' poses where it is known where its landmarks lie on a head.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        // A scheme whose map cannot be made has no pose: no more is lost.
        self.pose = PoseEstimator::of(&scheme).ok().flatten();
        self.scheme = Some(scheme);
        self
    }

    /// Fills [`Landmarks::confidence`] by `model`, which [`weights::confidence`] reads; `None` leaves it empty.
    #[must_use]
    pub fn with_confidence(mut self, model: Option<ConfidenceModel>) -> Self {
        self.confidence = model;
        self
    }

    /// Whether covariances are calibrated, so that errors are as large as they say, instead of as wide as the heatmaps.
    #[must_use]
    pub fn calibrated(&self) -> bool {
        !self.spread_scales.is_empty()
    }

    /// What confidences mean, where there are any.
    pub fn confidence(&self) -> Option<&ConfidenceModel> {
        self.confidence.as_ref()
    }

    /// Which landmarks are more likely hidden than not; `None` where the weights' calibration was not taught it (`star calibrate` on data
    /// that say what is hidden), and for keypoints that are made of others.
    #[must_use]
    pub fn occluded(&self, landmarks: &Landmarks) -> Option<Vec<bool>> {
        let model = self.confidence.as_ref().filter(|_| self.map.is_none())?;
        let covariances: Vec<[f64; 3]> = landmarks.covariances.iter().map(|c| c.map(f64::from)).collect();
        let hidden = model.occlusion(&landmarks.points, &covariances)?;
        Some(hidden.into_iter().map(|probability| probability > 0.5).collect())
    }

    /// Makes the keypoints of another scheme of the network's, such as 68 of 98: landmarks are those of `map`'s target then, and so is
    /// [`Predictor::scheme`].
    #[must_use]
    pub fn with_map(mut self, map: SchemeMap) -> Self {
        if self.scheme.is_some() {
            self = self.with_scheme(map.to().clone());
        }
        self.map = Some(map);
        self
    }

    /// What the keypoints are called and which of them an edge joins; `None` for a bare network.
    pub fn scheme(&self) -> Option<&Scheme> {
        self.scheme.as_ref()
    }

    /// What the network expects of its input.
    pub fn input(&self) -> &InputSpec {
        match &self.network {
            Network::Compiled(model) => model.input(),
            Network::Layers(model) => model.input(),
        }
    }

    /// Side of the network's input in pixels.
    pub fn image_size(&self) -> usize {
        self.input().image_size
    }

    /// The faces that the detector finds, with their landmarks; the embedded detector goes from left to right. What has landmarks of no
    /// confidence is no face and left out.
    ///
    /// # Errors
    /// When the detector or the network fails.
    pub fn predict(&self, image: &RgbImage) -> Result<Vec<Face>> {
        self.predict_by(self.detector()?, self.turned, image)
    }

    /// As [`Predictor::predict`], with the faces that `detector` finds, and turned as [`Predictor::with_turned`] says where `turned`: for one
    /// predictor that is asked in several ways.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub fn predict_by(&self, detector: &dyn Detector, turned: bool, image: &RgbImage) -> Result<Vec<Face>> {
        let found = detector.detect(image)?;
        let mut best = self.detected(image, &Affine::IDENTITY, &found)?;
        let upright = self.surest(&best);
        if !turned || upright.is_some_and(|sure| sure >= self.sure(detector)) {
            return Ok(best);
        }
        let mut most = upright.map(|sure| self.surer(sure));
        for turn in Turn::ALL {
            let turned = turn.of(image)?;
            let found = detector.detect(&turned.image)?;
            let mut faces = self.detected(image, &turned.map, &found)?;
            let sure = self.surest(&faces);
            if sure > most {
                for face in &mut faces {
                    face.face_box = turned.back(&face.face_box)?;
                }
                (best, most) = (faces, sure);
            }
        }
        Ok(best)
    }

    /// How sure the surest of some faces is: by its landmarks where their confidence is known, otherwise by the detector.
    fn surest(&self, faces: &[Face]) -> Option<f32> {
        let sure = |face: &Face| match &self.confidence {
            Some(model) => Some(model.evidence(&face.landmarks.confidence) as f32),
            None => face.score,
        };
        faces.iter().filter_map(sure).max_by(f32::total_cmp)
    }

    /// What the surest face of an image must have so that the image is not turned.
    fn sure(&self, detector: &dyn Detector) -> f32 {
        if self.confidence.is_some() { SURE } else { detector.sure_score() }
    }

    /// What a turned face must have to be taken instead of one that is so sure.
    fn surer(&self, sure: f32) -> f32 {
        if self.confidence.is_some() {
            return sure + MORE_EVIDENCE;
        }
        let odds = SURER * sure / (1.0 - sure).max(f32::MIN_POSITIVE);
        odds / (1.0 + odds)
    }

    /// What the detector finds in an image, upright faces alone.
    ///
    /// # Errors
    /// When the detector fails.
    pub fn detect(&self, image: &RgbImage) -> Result<Vec<Detection>> {
        self.detector()?.detect(image)
    }

    /// The faces that the detector found in the image under `map`.
    fn detected(&self, image: &RgbImage, map: &Affine, found: &[Detection]) -> Result<Vec<Face>> {
        let boxes: Vec<FaceBox> = found.iter().map(|found| found.face_box).collect();
        let mut faces = self.predict_under(image, map, &boxes)?;
        for ((face, placed_anew), found) in faces.iter_mut().zip(found) {
            face.score = Some(found.score);
            // A detector's box about a face that is not upright is a rough one.
            if *placed_anew {
                let points: Vec<[f32; 2]> = face.landmarks.points.iter().map(|p| map.apply(*p)).collect();
                face.face_box = FaceBox::around(&points)?;
            }
        }
        let mut faces: Vec<Face> = faces.into_iter().map(|(face, _)| face).collect();
        if let Some(model) = &self.confidence {
            let least = |score: f32| NO_FACE + DOUBT * f64::from(1.0 - score);
            faces.retain(|face| {
                model.evidence(&face.landmarks.confidence) >= least(face.score.unwrap_or(1.0))
            });
        }
        Ok(faces)
    }

    /// Landmarks of the faces in `boxes`, which are landmark-tight and in pixels of the image; one face a box, in their order.
    ///
    /// # Errors
    /// When a box is empty or lies beside the image, or the network fails.
    pub fn predict_in(&self, image: &RgbImage, boxes: &[FaceBox]) -> Result<Vec<Face>> {
        let [width, height] = [image.width(), image.height()].map(|side| side as f32);
        let beside =
            |b: &&FaceBox| b.x >= width || b.y >= height || b.x + b.width <= 0.0 || b.y + b.height <= 0.0;
        if let Some(FaceBox { x, y, width: w, height: h }) = boxes.iter().find(beside) {
            bail!(
                "box {x},{y},{w},{h}: expected one that shows part of the image, which is {width} x {height} pixels"
            )
        }
        Ok(self.predict_under(image, &Affine::IDENTITY, boxes)?.into_iter().map(|(face, _)| face).collect())
    }

    /// Landmarks, in the image, of faces whose boxes are those of the image under `map`, and whether they were found in another crop than
    /// the box's; one warp leads from the image to the crop.
    fn predict_under(&self, image: &RgbImage, map: &Affine, boxes: &[FaceBox]) -> Result<Vec<(Face, bool)>> {
        let crop = tensors::crop(self.input());
        let mut faces = Vec::with_capacity(boxes.len());
        for chunk in boxes.chunks(self.batch_size) {
            let transforms: Vec<Affine> =
                chunk.iter().map(|face| Ok(map.then(crop.transform(face)?))).collect::<Result<_>>()?;
            let mut found = self.predict_through(image, &transforms)?;
            let mut crops = transforms.clone();
            self.level(image, &crop, &mut crops, &mut found)?;
            let placed_anew = crops.iter().zip(&transforms).map(|(after, before)| after != before);
            faces.extend(chunk.iter().zip(found).zip(placed_anew).map(|((face_box, decoded), anew)| {
                let pose = self.pose.as_ref().and_then(|p| p.estimate(&decoded.points, &decoded.covariances));
                (Face { face_box: *face_box, score: None, pose, landmarks: decoded.into() }, anew)
            }));
        }
        Ok(faces)
    }

    /// Landmarks of faces in the crops that `transforms` lead to.
    fn predict_through(&self, image: &RgbImage, transforms: &[Affine]) -> Result<Vec<Decoded>> {
        let mut pixels = Vec::with_capacity(transforms.len() * 3 * self.image_size().pow(2));
        for transform in transforms {
            pixels.extend_from_slice(warp::warp(image, transform, self.image_size())?.as_raw());
        }
        self.predict_crops(&pixels, transforms)
    }

    /// Looks again at faces that the network is not sure of, in crops turned by quarters, and at those that were found tilted, in crops
    /// turned upright; keeps what is found there where it is surer.
    fn level(
        &self,
        image: &RgbImage,
        crop: &Crop,
        transforms: &mut [Affine],
        found: &mut [Decoded],
    ) -> Result<()> {
        let (true, Some(scheme), Some(model)) = (self.upright, &self.scheme, &self.confidence) else {
            return Ok(());
        };
        let sure = |face: &Decoded| model.evidence(&face.confidence);
        let unsure = (0..found.len()).filter(|&i| sure(&found[i]) < UNSURE);
        let turned: Vec<(usize, Affine)> =
            unsure.flat_map(|i| level::quarters(crop, &transforms[i]).map(|turned| (i, turned))).collect();
        let on_side = self.look_again(image, turned, transforms, found, |face, before| {
            sure(face) >= UNSURE && sure(face) > sure(before)
        })?;
        // A face whose turned crop showed no more is not looked at a second time.
        let mut looked: Vec<usize> = (0..found.len()).collect();
        for round in 0..ROUNDS {
            let mut tilted = Vec::new();
            for i in looked {
                // A box about a face on its side is a rough one: its crop is placed anew whatever the eyes' slope.
                let tilt = if round == 0 && on_side.contains(&i) { 0.0 } else { TILT };
                let level = level::levelled(crop, scheme, &transforms[i], &found[i].points, tilt)?;
                tilted.extend(level.map(|level| (i, level)));
            }
            if tilted.is_empty() {
                return Ok(());
            }
            looked =
                self.look_again(image, tilted, transforms, found, |face, before| sure(face) >= sure(before))?;
        }
        Ok(())
    }

    /// Predicts faces anew through other transforms, and keeps those that are `better`; which those are.
    fn look_again(
        &self,
        image: &RgbImage,
        again: Vec<(usize, Affine)>,
        transforms: &mut [Affine],
        found: &mut [Decoded],
        better: impl Fn(&Decoded, &Decoded) -> bool,
    ) -> Result<Vec<usize>> {
        let mut kept = Vec::new();
        for chunk in again.chunks(self.batch_size) {
            let through: Vec<Affine> = chunk.iter().map(|(_, transform)| *transform).collect();
            for ((i, transform), face) in chunk.iter().zip(self.predict_through(image, &through)?) {
                if better(&face, &found[*i]) {
                    (transforms[*i], found[*i]) = (*transform, face);
                    kept.push(*i);
                }
            }
        }
        Ok(kept)
    }

    /// Landmarks of crops given as RGB bytes `[B, S, S, 3]`, each made by its transform from image to crop.
    ///
    /// # Errors
    /// When the bytes do not fit, or the network fails.
    pub fn predict_crops(&self, pixels: &[u8], transforms: &[Affine]) -> Result<Vec<Decoded>> {
        let images = tensors::images(pixels, self.image_size(), self.input(), self.dtype, &self.device)?;
        let mut faces = match &self.network {
            Network::Compiled(model) => {
                let found = model.moments(&images)?;
                landmarks::decode_moments(&found.means, &found.covariances, transforms, self.image_size())?
            }
            Network::Layers(model) => {
                let stages = model.forward_t(&images, false)?;
                let last = stages.last().context("the network returned no stage")?;
                landmarks::decode(&last.heatmaps, transforms, self.image_size())?
            }
        };
        for face in &mut faces {
            for (covariance, scale) in face.covariances.iter_mut().zip(&self.spread_scales) {
                *covariance = covariance.map(|value| value * f64::from(*scale).powi(2));
            }
            if let Some(model) = &self.confidence {
                face.confidence = model.confidence(&face.points, &face.covariances);
            }
        }
        match &self.map {
            Some(map) => faces.into_iter().map(|face| mapped(&face, map)).collect(),
            None => Ok(faces),
        }
    }

    fn detector(&self) -> Result<&dyn Detector> {
        if let Some(detector) = self.detector.get() {
            return Ok(&**detector);
        }
        let embedded = FaceDetector::new(FaceDetector::MIN_SCORE)?;
        // Two threads may both have read it; one of the two is kept.
        Ok(&**self.detector.get_or_init(|| Box::new(embedded)))
    }
}

/// A face with the keypoints that `map` makes of its own.
fn mapped(face: &Decoded, map: &SchemeMap) -> Result<Decoded> {
    let (from, got) = (map.from(), face.points.len());
    ensure!(
        got == from.keypoints,
        "{} keypoints of `{}` are made of {} of `{}`: these weights have {got}",
        map.to().keypoints,
        map.to().name,
        from.keypoints,
        from.name
    );
    Ok(Decoded {
        points: map.points(&face.points),
        covariances: map.covariances(&face.covariances),
        confidence: if face.confidence.is_empty() { Vec::new() } else { map.least(&face.confidence) },
    })
}
