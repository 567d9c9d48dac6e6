//! `star.Tracker`: faces of a video by their numbers.

use std::sync::Mutex;

use numpy::PyReadonlyArray3;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use star_predict::smooth::SmoothConfig;
use star_predict::track::TrackConfig;

use crate::face::Face;
use crate::predictor::{Predictor, rgb};
use crate::value_error;

/// Follows faces through a video.
#[pyclass(frozen, module = "star")]
pub(crate) struct Tracker {
    predictor: Py<Predictor>,
    state: Mutex<star_predict::track::Tracker>,
}

#[pymethods]
impl Tracker {
    #[new]
    #[pyo3(signature = (predictor, *, smooth = false))]
    fn new(predictor: Py<Predictor>, smooth: bool) -> PyResult<Self> {
        let smooth = smooth.then(SmoothConfig::default);
        let state = star_predict::track::Tracker::new(TrackConfig { smooth, ..TrackConfig::default() });
        Ok(Self { predictor, state: Mutex::new(state.map_err(|error| value_error(&error))?) })
    }

    fn __call__(
        &self,
        py: Python<'_>,
        image: PyReadonlyArray3<'_, u8>,
        seconds: f64,
    ) -> PyResult<Vec<(usize, Face)>> {
        let image = rgb(&image)?;
        let predictor = self.predictor.get();
        let found = py.detach(|| {
            let mut state =
                self.state.lock().map_err(|_| PyRuntimeError::new_err("an earlier frame failed"))?;
            state.frame(&predictor.0, &image, seconds).map_err(|error| value_error(&error))
        })?;
        found.into_iter().map(|found| Ok((found.track, Face::new(py, found.face)?))).collect()
    }
}
