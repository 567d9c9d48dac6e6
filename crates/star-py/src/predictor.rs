//! `star.Predictor`: images as NumPy arrays to faces.

use std::path::PathBuf;

use candle_core::Device;
use image::RgbImage;
use numpy::PyReadonlyArray3;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use star_data::FaceBox;
use star_model::CompileOptions;
use star_predict::detector::FaceDetector;
use star_predict::{records, weights};

use crate::face::Face;
use crate::{runtime_error, value_error};

/// Finds faces and their landmarks.
#[pyclass(frozen, module = "star")]
pub(crate) struct Predictor(pub(crate) star_predict::Predictor);

#[pymethods]
impl Predictor {
    #[new]
    #[pyo3(signature = (weights = PathBuf::from(weights::BUILTIN), *, min_score = FaceDetector::MIN_SCORE, any_rotation = false, threads = None))]
    fn new(
        py: Python<'_>,
        weights: PathBuf,
        min_score: f64,
        any_rotation: bool,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let open = || -> anyhow::Result<star_predict::Predictor> {
            let (folder, scheme) = weights::open(&weights, &Default::default(), &mut ())?;
            let confidence = weights::confidence(&weights, scheme.keypoints)?;
            let options = CompileOptions { threads, ..CompileOptions::default() };
            Ok(star_predict::Predictor::from_folder(&folder, &Device::Cpu, &options)?
                .with_scheme(scheme)
                .with_confidence(confidence)
                .with_turned(any_rotation)
                .with_detector(FaceDetector::new(min_score)?))
        };
        py.detach(open).map(Self).map_err(|error| value_error(&error))
    }

    #[pyo3(signature = (image, boxes = None))]
    fn __call__(
        &self,
        py: Python<'_>,
        image: PyReadonlyArray3<'_, u8>,
        boxes: Option<Vec<(f32, f32, f32, f32)>>,
    ) -> PyResult<Vec<Face>> {
        let image = rgb(&image)?;
        let found = match boxes {
            None => py.detach(|| self.0.predict(&image)).map_err(|error| runtime_error(&error))?,
            Some(boxes) => {
                let boxes: Vec<FaceBox> =
                    boxes.into_iter().map(|(x, y, width, height)| FaceBox { x, y, width, height }).collect();
                py.detach(|| self.0.predict_in(&image, &boxes)).map_err(|error| value_error(&error))?
            }
        };
        found.into_iter().map(|face| Face::new(py, face)).collect()
    }

    #[pyo3(signature = (image, boxes = None))]
    fn predict(
        &self,
        py: Python<'_>,
        image: PyReadonlyArray3<'_, u8>,
        boxes: Option<Vec<(f32, f32, f32, f32)>>,
    ) -> PyResult<Vec<Face>> {
        self.__call__(py, image, boxes)
    }

    #[getter]
    fn scheme(&self) -> Option<&str> {
        self.0.scheme().map(|scheme| scheme.name.as_str())
    }

    #[getter]
    fn keypoints(&self) -> Vec<(String, String)> {
        let keypoints = self.0.scheme().map(records::keypoints).unwrap_or_default();
        keypoints.into_iter().map(|keypoint| (keypoint.name, keypoint.group)).collect()
    }
}

/// One copy of an image, whatever its strides.
pub(crate) fn rgb(image: &PyReadonlyArray3<'_, u8>) -> PyResult<RgbImage> {
    let array = image.as_array();
    let (height, width, channels) = array.dim();
    if channels != 3 || height == 0 || width == 0 {
        return Err(PyValueError::new_err(format!(
            "image: expected [height, width, 3] bytes, red, green and blue, got [{height}, {width}, {channels}]"
        )));
    }
    let pixels = match array.as_slice() {
        Some(pixels) => pixels.to_vec(),
        None => array.iter().copied().collect(),
    };
    let sides = (u32::try_from(width), u32::try_from(height));
    let (Ok(width), Ok(height)) = sides else { return Err(PyValueError::new_err("image: too large")) };
    RgbImage::from_raw(width, height, pixels).ok_or_else(|| PyValueError::new_err("image: too large"))
}
