#![doc = include_str!("../README.md")]

mod face;
mod metrics;
mod predictor;
mod tracker;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use star_predict::failure;

/// An error of what a caller handed in.
fn value_error(error: &anyhow::Error) -> PyErr {
    PyValueError::new_err(failure::describe(error))
}

/// An error of the work itself.
fn runtime_error(error: &anyhow::Error) -> PyErr {
    PyRuntimeError::new_err(failure::describe(error))
}

/// The native part of `star`.
#[pymodule]
fn star_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<face::Pose>()?;
    module.add_class::<face::Face>()?;
    module.add_class::<predictor::Predictor>()?;
    module.add_class::<tracker::Tracker>()?;
    module.add_function(wrap_pyfunction!(metrics::nme, module)?)
}
