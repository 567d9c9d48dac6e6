//! `star.nme`: the normalised mean error of one face.

use numpy::PyReadonlyArray2;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use star_data::Scheme;
use star_data::scheme::DefaultNormalizer;
use star_eval::Normalizer;

/// Normalised mean error of one face, a fraction.
#[pyfunction]
#[pyo3(signature = (predicted, truth, length = None, *, scheme = None))]
pub(crate) fn nme(
    predicted: PyReadonlyArray2<'_, f32>,
    truth: PyReadonlyArray2<'_, f32>,
    length: Option<f64>,
    scheme: Option<&str>,
) -> PyResult<f64> {
    let (predicted, truth) = (points("predicted", &predicted)?, points("truth", &truth)?);
    let wrong = |error: star_eval::Error| PyValueError::new_err(error.to_string());
    let length = match (length, scheme) {
        (Some(length), None) => length,
        (None, Some(name)) => normalizer(name)?.length(&truth).map_err(wrong)?,
        _ => return Err(PyValueError::new_err("expected either a length in pixels or the name of a scheme")),
    };
    star_eval::nme(&predicted, &truth, None, length).map_err(wrong)
}

fn normalizer(name: &str) -> PyResult<Normalizer> {
    let scheme = Scheme::asked(name).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let between = match scheme.normalizer {
        DefaultNormalizer::InterOcular => scheme.inter_ocular,
        DefaultNormalizer::InterPupil => scheme.inter_pupil,
        DefaultNormalizer::BoxDiagonal | DefaultNormalizer::StatedBoxDiagonal => None,
    };
    Ok(match between {
        Some([a, b]) => Normalizer::Between(a, b),
        None => Normalizer::BoxDiagonal(Vec::new()),
    })
}

fn points(name: &str, array: &PyReadonlyArray2<'_, f32>) -> PyResult<Vec<[f32; 2]>> {
    let array = array.as_array();
    let (keypoints, axes) = array.dim();
    if axes != 2 {
        return Err(PyValueError::new_err(format!("{name}: expected [K, 2], got [{keypoints}, {axes}]")));
    }
    Ok(array.rows().into_iter().map(|row| [row[0], row[1]]).collect())
}
