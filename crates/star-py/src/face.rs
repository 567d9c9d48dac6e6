//! Faces as Python sees them.

use numpy::ndarray::{Array2, Array3};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3};
use pyo3::prelude::*;

/// How a head is turned, in degrees.
#[pyclass(frozen, module = "star")]
pub(crate) struct Pose(star_predict::Pose);

#[pymethods]
impl Pose {
    #[getter]
    fn yaw(&self) -> f32 {
        self.0.yaw
    }

    #[getter]
    fn pitch(&self) -> f32 {
        self.0.pitch
    }

    #[getter]
    fn roll(&self) -> f32 {
        self.0.roll
    }

    #[getter]
    fn deviations(&self) -> (f32, f32, f32) {
        self.0.deviations.into()
    }

    fn __repr__(&self) -> String {
        let star_predict::Pose { yaw, pitch, roll, deviations: [a, b, c] } = self.0;
        format!("Pose(yaw={yaw:.1}+-{a:.1}, pitch={pitch:.1}+-{b:.1}, roll={roll:.1}+-{c:.1})")
    }
}

/// A face in an image.
#[pyclass(frozen, module = "star")]
pub(crate) struct Face {
    #[pyo3(get, name = "box")]
    face_box: (f32, f32, f32, f32),
    #[pyo3(get)]
    score: Option<f32>,
    #[pyo3(get)]
    points: Py<PyArray2<f32>>,
    #[pyo3(get)]
    covariances: Py<PyArray3<f32>>,
    #[pyo3(get)]
    confidence: Option<Py<PyArray1<f32>>>,
    #[pyo3(get)]
    pose: Option<Py<Pose>>,
}

#[pymethods]
impl Face {
    fn __repr__(&self) -> String {
        let (x, y, width, height) = self.face_box;
        format!("Face(box=({x:.0}, {y:.0}, {width:.0}, {height:.0}), score={:?})", self.score)
    }
}

impl Face {
    /// Hands a face over; its numbers are moved.
    pub(crate) fn new(py: Python<'_>, face: star_predict::Face) -> PyResult<Self> {
        let b = face.face_box;
        let landmarks = face.landmarks;
        let keypoints = landmarks.points.len();
        let shape =
            |error: numpy::ndarray::ShapeError| pyo3::exceptions::PyRuntimeError::new_err(error.to_string());
        let points =
            Array2::from_shape_vec((keypoints, 2), landmarks.points.into_flattened()).map_err(shape)?;
        let covariances: Vec<f32> =
            landmarks.covariances.iter().flat_map(|&[xx, xy, yy]| [xx, xy, xy, yy]).collect();
        let covariances = Array3::from_shape_vec((keypoints, 2, 2), covariances).map_err(shape)?;
        let confidence = (!landmarks.confidence.is_empty()).then_some(landmarks.confidence);
        Ok(Self {
            face_box: (b.x, b.y, b.width, b.height),
            score: face.score,
            points: points.into_pyarray(py).unbind(),
            covariances: covariances.into_pyarray(py).unbind(),
            confidence: confidence.map(|values| values.into_pyarray(py).unbind()),
            pose: face.pose.map(|pose| Py::new(py, Pose(pose))).transpose()?,
        })
    }
}
