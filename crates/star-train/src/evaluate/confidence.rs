//! Confidence fitted on a data set, and whether it holds on another.

use anyhow::{Context, Result, bail};
use star_data::Scheme;
use star_data::scheme::DefaultNormalizer;
use star_eval::calibration::{Confidence, ConfidenceSummary};
use star_eval::{Case, Normalizer, keypoint_errors};
use star_predict::confidence::{ConfidenceModel, Examples};

/// What small errors are measured by: the scheme's own normalizer, which predicted landmarks must span too.
///
/// # Errors
/// For one keypoint, which spans nothing, and for a scheme whose normalizer has no keypoints.
fn ends(scheme: &Scheme) -> Result<(Option<[Vec<usize>; 2]>, &'static str)> {
    let between = |ends: &Option<[Vec<usize>; 2]>, name| match ends {
        Some(ends) => Ok((Some(ends.clone()), name)),
        None => bail!("scheme `{}`: has no {name} keypoints", scheme.name),
    };
    match scheme.normalizer {
        _ if scheme.keypoints < 2 => bail!("confidence: expected keypoints that span a length, got one"),
        DefaultNormalizer::InterOcular => between(&scheme.inter_ocular, "inter-ocular"),
        DefaultNormalizer::InterPupil => between(&scheme.inter_pupil, "inter-pupil"),
        DefaultNormalizer::BoxDiagonal | DefaultNormalizer::StatedBoxDiagonal => Ok((None, "box diagonal")),
    }
}

fn normalizer(ends: Option<&[Vec<usize>; 2]>) -> Normalizer {
    match ends {
        Some([a, b]) => Normalizer::Between(a.clone(), b.clone()),
        None => Normalizer::BoxDiagonal(Vec::new()),
    }
}

/// What a confidence model of `scheme` is fitted on: every case with a prediction and a normalizer of some length. Visibility is taken
/// from cases that hold some landmark that is hidden or some that is not.
///
/// # Errors
/// When a case does not fit the scheme.
pub fn examples(scheme: &Scheme, threshold: f64, cases: &[Case]) -> Result<Examples> {
    let (ends, _) = ends(scheme)?;
    let normalizer = normalizer(ends.as_ref());
    let mut examples = Examples::new(scheme.keypoints, threshold, ends)?;
    for case in cases {
        let Some((points, covariances)) = case.with_covariances() else { continue };
        let Ok(length) = normalizer.length_of(case) else { continue };
        let covariances: Vec<[f64; 3]> = covariances.iter().map(|c| [c.xx, c.xy, c.yy]).collect();
        examples
            .add(points, &covariances, &case.truth, case.weights.as_deref(), case.visible.as_deref(), length)
            .with_context(|| case.name.clone())?;
    }
    Ok(examples)
}

/// The model that fits `examples`, which were made for `scheme`.
///
/// # Errors
/// As [`Examples::fit`].
pub fn fit(scheme: &Scheme, examples: &Examples, fitted_on: &str) -> Result<ConfidenceModel> {
    examples.fit(ends(scheme)?.1, fitted_on)
}

/// How well a model would do on images it has not seen, by cross-validation in five folds.
///
/// # Errors
/// As [`Examples::cross_validate`].
pub fn cross_validate(examples: &Examples, threshold: f64) -> Result<ConfidenceSummary> {
    let mut set = Confidence::default();
    for (confidence, small) in examples.cross_validate(FOLDS)? {
        set.add(confidence, small)?;
    }
    Ok(set.summary(threshold)?)
}

/// Parts of a cross-validation.
pub const FOLDS: usize = 5;

/// How the confidences of `cases`, which `model` predicted, compare with their errors; `None` where no case carries any.
///
/// # Errors
/// When a case does not fit.
pub fn summary(model: &ConfidenceModel, cases: &[Case]) -> Result<Option<ConfidenceSummary>> {
    let normalizer = normalizer(model.ends.as_ref());
    let mut set = Confidence::default();
    for case in cases {
        let (Some(points), Some(confidence)) = (&case.predicted, &case.confidence) else { continue };
        let Ok(length) = normalizer.length_of(case) else { continue };
        let errors = keypoint_errors(points, &case.truth, case.weights.as_deref(), length)?;
        let counts = |k: usize| case.weights.as_ref().is_none_or(|weights| weights[k] > 0.0);
        let errors: Vec<Option<f64>> =
            errors.into_iter().enumerate().map(|(k, error)| counts(k).then_some(error)).collect();
        set.add_errors(confidence, &errors, model.threshold)?;
    }
    match set.summary(model.threshold) {
        Err(star_eval::Error::Empty { .. }) => Ok(None),
        other => Ok(Some(other?)),
    }
}

#[cfg(test)]
mod tests {
    use star_eval::Covariance;
    use star_predict::confidence::THRESHOLD;

    use super::*;

    #[test]
    fn a_model_says_how_often_landmarks_of_such_ellipses_were_near() {
        let scheme = Scheme::new("square", 4);
        let truth = vec![[0.0, 0.0], [60.0, 0.0], [60.0, 80.0], [0.0, 80.0]];
        // Diagonal 100, so that 5 pixels count as small: half of the faces are off by 2 and say so, half by 9.
        let mut cases: Vec<Case> = (0..60)
            .map(|i| {
                let off = if i % 2 == 0 { 2.0 } else { 9.0 };
                Case {
                    predicted: Some(truth.iter().map(|[x, y]| [x + off, *y]).collect()),
                    covariances: Some(vec![Covariance::from_axes(off.into(), off.into(), 0.0); 4]),
                    truth: truth.clone(),
                    ..Case::default()
                }
            })
            .collect();
        let examples = examples(&scheme, THRESHOLD, &cases).unwrap();
        assert_eq!(examples.faces(), 60);
        let model = fit(&scheme, &examples, "sixty squares").unwrap();
        assert_eq!((model.normalizer.as_str(), model.ends.is_none()), ("box diagonal", true));
        assert_eq!(summary(&model, &cases).unwrap(), None);
        for case in &mut cases {
            let covariances: Vec<[f64; 3]> =
                case.covariances.iter().flatten().map(|c| [c.xx, c.xy, c.yy]).collect();
            let confidence = model.confidence(case.predicted.as_ref().unwrap(), &covariances);
            case.confidence = Some(confidence);
        }
        let found = summary(&model, &cases).unwrap().unwrap();
        assert_eq!((found.pairs, found.observed), (240, 0.5));
        assert!(found.brier < 0.05 && found.calibration_error < 0.2, "{found:?}");
    }
}
