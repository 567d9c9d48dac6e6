//! A network with what is needed to run it on faces in images.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use image::RgbImage;
use star_data::affine::Affine;
use star_data::{FaceBox, Scheme, warp};
use star_model::checkpoint::Folder;
use star_model::{CompileOptions, CompiledModel, InputSpec, LandmarkModel};

use crate::detector::{Detector, FrontalDetector};
use crate::landmarks::{self, Decoded, Face};
use crate::{tensors, weights};

/// Finds faces and their landmarks in images. One predictor serves many threads.
pub struct Predictor {
    network: Network,
    device: Device,
    dtype: DType,
    batch_size: usize,
    scheme: Option<Scheme>,
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

    /// The weights that `weights` names, on the CPU: a folder or a weights file; with the feature `hub` also a name of the
    /// registry of published weights, or an address `hf:owner/repo[@revision]/file`, which are fetched once.
    ///
    /// # Errors
    /// When they cannot be read, or are of no known scheme.
    pub fn open(weights: impl AsRef<Path>) -> Result<Self> {
        let (folder, scheme) = weights::open(weights.as_ref(), &Default::default(), &mut ())?;
        let predictor = Self::from_folder(&folder, &Device::Cpu, &CompileOptions::default())?;
        Ok(predictor.with_scheme(scheme))
    }

    /// Runs `model` on `device` in `dtype`, layer by layer.
    pub fn new(model: impl LandmarkModel + 'static, dtype: DType, device: &Device) -> Self {
        Self {
            network: Network::Layers(Box::new(model)),
            device: device.clone(),
            dtype,
            batch_size: Self::BATCH_SIZE,
            scheme: None,
            detector: OnceLock::new(),
        }
    }

    /// The fastest way to run the network of `folder` on `device` in f32: compiled on the CPU, layer by layer elsewhere.
    ///
    /// # Errors
    /// When the network cannot be built.
    pub fn from_folder(folder: &Folder, device: &Device, options: &CompileOptions) -> Result<Self> {
        if !device.is_cpu() {
            return Ok(Self::new(folder.model(DType::F32, device)?, DType::F32, device));
        }
        let compiled = CompiledModel::from_folder(folder, options)?;
        Ok(Self {
            network: Network::Compiled(Box::new(compiled)),
            device: Device::Cpu,
            dtype: DType::F32,
            batch_size: Self::BATCH_SIZE,
            scheme: None,
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

    /// Keeps `scheme` for [`Predictor::scheme`].
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = Some(scheme);
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

    /// The faces that the detector finds, with their landmarks; the embedded detector goes from left to right.
    ///
    /// # Errors
    /// When the detector or the network fails.
    pub fn predict(&self, image: &RgbImage) -> Result<Vec<Face>> {
        let found = self.detector()?.detect(image)?;
        let boxes: Vec<FaceBox> = found.iter().map(|found| found.face_box).collect();
        let mut faces = self.predict_in(image, &boxes)?;
        for (face, found) in faces.iter_mut().zip(&found) {
            face.score = Some(found.score);
        }
        Ok(faces)
    }

    /// Landmarks of the faces in `boxes`, which are landmark-tight and in pixels of the image; one face a box, in their order.
    ///
    /// # Errors
    /// When a box is empty, or the network fails.
    pub fn predict_in(&self, image: &RgbImage, boxes: &[FaceBox]) -> Result<Vec<Face>> {
        let crop = tensors::crop(self.input());
        let mut faces = Vec::with_capacity(boxes.len());
        for chunk in boxes.chunks(self.batch_size) {
            let transforms: Vec<Affine> =
                chunk.iter().map(|face| crop.transform(face)).collect::<Result<_, _>>()?;
            let mut pixels = Vec::with_capacity(chunk.len() * 3 * self.image_size().pow(2));
            for transform in &transforms {
                pixels.extend_from_slice(warp::warp(image, transform, self.image_size())?.as_raw());
            }
            let found = self.predict_crops(&pixels, &transforms)?;
            faces.extend(chunk.iter().zip(found).map(|(face_box, decoded)| Face {
                face_box: *face_box,
                score: None,
                landmarks: decoded.into(),
                pose: None,
            }));
        }
        Ok(faces)
    }

    /// Landmarks of crops given as RGB bytes `[B, S, S, 3]`, each made by its transform from image to crop.
    ///
    /// # Errors
    /// When the bytes do not fit, or the network fails.
    pub fn predict_crops(&self, pixels: &[u8], transforms: &[Affine]) -> Result<Vec<Decoded>> {
        let images = tensors::images(pixels, self.image_size(), self.input(), self.dtype, &self.device)?;
        match &self.network {
            Network::Compiled(model) => {
                let found = model.moments(&images)?;
                landmarks::decode_moments(&found.means, &found.covariances, transforms, self.image_size())
            }
            Network::Layers(model) => {
                let stages = model.forward_t(&images, false)?;
                let last = stages.last().context("the network returned no stage")?;
                landmarks::decode(&last.heatmaps, transforms, self.image_size())
            }
        }
    }

    fn detector(&self) -> Result<&dyn Detector> {
        if let Some(detector) = self.detector.get() {
            return Ok(&**detector);
        }
        let embedded = FrontalDetector::new(FrontalDetector::MIN_SCORE)?;
        // Two threads may both have read it; one of the two is kept.
        Ok(&**self.detector.get_or_init(|| Box::new(embedded)))
    }
}
