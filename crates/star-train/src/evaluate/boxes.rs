//! The same faces scored with the true crop, the detector's and perturbed ones.

use anyhow::{Context, Result, ensure};
use star_data::{Dataset, FaceBox, Sample};
use star_eval::{BoxRow, BoxSensitivity, Setting, nme};
use star_predict::Predictor;
use star_predict::detector::{Detector, FaceDetector, overlap};

/// Crops are moved by these shares of their side,
const SHIFTS: [f64; 5] = [0.0, 0.05, 0.1, 0.15, 0.2];
/// and their side is multiplied by these factors.
const SCALES: [f64; 5] = [0.8, 0.9, 1.0, 1.1, 1.25];
/// Overlap (intersection over union) with the true box above which a detection is of the face.
const SAME_FACE: f32 = 0.3;
/// The golden angle, by which the direction of the shift turns from face to face.
const TURN: f64 = 2.399_963_229_728_653;

/// Measures `faces` of the data set, evenly chosen, calling `each` after every face with the number done.
///
/// # Errors
/// When a sample cannot be read, the network fails, or no face is asked for.
pub fn measure(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    setting: &Setting,
    faces: usize,
    mut each: impl FnMut(usize),
) -> Result<BoxSensitivity> {
    ensure!(faces > 0, "box sensitivity: expected at least 1 face, got 0");
    ensure!(
        dataset.scheme().keypoints > 1,
        "box sensitivity: expected keypoints that span a box, got one keypoint"
    );
    // Those without a length to divide errors by are left out, as they are of every figure.
    let mut measurable = Vec::with_capacity(dataset.len());
    for index in 0..dataset.len() {
        if super::length(&setting.normalizer, &dataset.annotation(index)?).is_ok() {
            measurable.push(index);
        }
    }
    let count = faces.min(measurable.len());
    let detector = FaceDetector::new(FaceDetector::MIN_SCORE)?;
    let mut errors: Vec<Vec<f64>> = vec![Vec::with_capacity(count); 3 + SHIFTS.len() * SCALES.len()];
    for n in 0..count {
        let index = measurable[n * measurable.len() / count];
        let sample = dataset.get(index)?;
        let stated = super::stated_sides(&dataset.annotation(index)?);
        let length = super::length_of(&setting.normalizer, &sample.points, stated)?;
        let found = one(predictor, &sample, n, &detector, length)
            .with_context(|| format!("{} (row {index})", sample.source.display()))?;
        errors.iter_mut().zip(found).for_each(|(list, error)| list.push(error));
        each(n + 1);
    }
    let threshold = setting.thresholds[0];
    let cells = &errors[3..];
    let perturbed: Vec<f64> = cells.iter().flatten().copied().collect();
    let [whole, stated, detected] = [0, 1, 2].map(|i| errors[i].clone());
    let mean = |list: &Vec<f64>| {
        let mean = list.iter().sum::<f64>() / list.len() as f64;
        mean.is_finite().then_some(mean)
    };
    Ok(BoxSensitivity {
        dataset: setting.dataset.clone(),
        subset: if count == dataset.len() {
            setting.subset.clone()
        } else {
            format!("{count} of the {} faces of {}, evenly chosen", dataset.len(), setting.subset)
        },
        normalizer: setting.normalizer_name.clone(),
        threshold_fraction: threshold,
        rows: vec![
            BoxRow::new("true landmarks", whole, threshold)?,
            BoxRow::new("the annotation's box", stated, threshold)?,
            BoxRow::new("face detector", detected, threshold)?,
            BoxRow::new("moved and scaled, all", perturbed, threshold)?,
        ],
        shifts: SHIFTS.to_vec(),
        scales: SCALES.to_vec(),
        grid: cells.chunks(SHIFTS.len()).map(|row| row.iter().map(mean).collect()).collect(),
    })
}

/// Errors of one face: with the true crop, the annotation's, the detector's, then the grid row by row; infinity without a crop.
fn one(
    predictor: &Predictor,
    sample: &Sample,
    n: usize,
    detector: &FaceDetector,
    length: f64,
) -> Result<Vec<f64>> {
    let known: Vec<[f32; 2]> =
        sample.points.iter().filter(|p| p.iter().all(|v| v.is_finite())).copied().collect();
    let tight = FaceBox::around(&known)?;
    let detected = detector
        .detect(&sample.image)?
        .into_iter()
        .map(|found| found.face_box)
        .max_by(|a, b| overlap(a, &tight).total_cmp(&overlap(b, &tight)))
        .filter(|found| overlap(found, &tight) >= SAME_FACE);
    let mut boxes = vec![tight, sample.face];
    boxes.extend(detected);
    let grid = SCALES.iter().flat_map(|scale| SHIFTS.iter().map(move |shift| (*scale, *shift)));
    boxes.extend(grid.map(|(scale, shift)| perturbed(&tight, scale, shift, n)));
    let weights = super::weights(&sample.points);
    let mut errors = Vec::with_capacity(boxes.len() + 1);
    for face in predictor.predict_in(&sample.image, &boxes)? {
        errors.push(nme(&face.landmarks.points, &sample.points, Some(&weights), length)?);
    }
    if detected.is_none() {
        errors.insert(2, f64::INFINITY);
    }
    Ok(errors)
}

/// A square about the box's moved centre; the `n`-th face's direction is its own.
fn perturbed(face: &FaceBox, scale: f64, shift: f64, n: usize) -> FaceBox {
    let (sin, cos) = (n as f64 * TURN).sin_cos();
    let side = f64::from(face.side());
    let centre = face.centre();
    let moved = [f64::from(centre[0]) + shift * side * cos, f64::from(centre[1]) + shift * side * sin];
    FaceBox::from_scale_and_centre((scale * side) as f32 / FaceBox::PIXELS_PER_SCALE, moved.map(|v| v as f32))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use star_data::{Annotation, Scheme};
    use star_model::{InputSpec, LandmarkModel, Stage};

    use super::*;

    #[test]
    fn a_perturbed_box_is_as_far_away_and_as_large_as_asked() {
        let face = FaceBox { x: 10.0, y: 20.0, width: 100.0, height: 80.0 };
        for n in 0..5 {
            let moved = perturbed(&face, 1.25, 0.2, n);
            let [dx, dy] = [0, 1].map(|axis| moved.centre()[axis] - face.centre()[axis]);
            assert!((dx.hypot(dy) - 20.0).abs() < 1e-3 && (moved.side() - 125.0).abs() < 1e-3, "{moved:?}");
        }
        assert_eq!(perturbed(&face, 1.0, 0.0, 3).centre(), face.centre());
    }

    /// Finds every keypoint in the middle of the crop.
    struct Middle(InputSpec);

    impl LandmarkModel for Middle {
        fn forward_t(&self, images: &Tensor, _: bool) -> candle_core::Result<Vec<Stage>> {
            let heatmaps = Tensor::ones((images.dim(0)?, 2, 4, 4), DType::F32, &Device::Cpu)?;
            Ok(vec![Stage { heatmaps, aux: None }])
        }

        fn input(&self) -> &InputSpec {
            &self.0
        }
    }

    /// One face whose image is shrunk after it was annotated.
    struct Shrunk(Scheme, f32);

    impl Dataset for Shrunk {
        fn len(&self) -> usize {
            1
        }

        fn scheme(&self) -> &Scheme {
            &self.0
        }

        fn get(&self, _: usize) -> star_data::Result<Sample> {
            let points = vec![[40.0 * self.1, 60.0 * self.1], [120.0 * self.1, 100.0 * self.1]];
            let side = (160.0 * self.1) as u32;
            Ok(Sample::new(image::RgbImage::new(side, side), points))
        }

        fn annotation(&self, index: usize) -> star_data::Result<Annotation> {
            Shrunk(self.0.clone(), 1.0).get(index).map(|sample| Annotation {
                file: std::sync::Arc::from(sample.source.as_path()),
                line: 1,
                image: sample.source,
                points: sample.points,
                visibility: None,
                stated: None,
                face: sample.face,
                tags: sample.tags,
            })
        }
    }

    #[test]
    fn errors_on_a_shrunk_image_are_divided_by_the_length_of_the_shrunk_face() {
        let predictor = Predictor::new(Middle(InputSpec::reference(16)), DType::F32, &Device::Cpu);
        let scheme = Scheme::new("two", 2);
        let (normalizer, name) = super::super::metric_set::normalizer(&scheme, None).unwrap();
        let setting = Setting {
            dataset: "d".into(),
            subset: "all".into(),
            normalizer,
            normalizer_name: name.into(),
            thresholds: vec![0.1],
            groups: Vec::new(),
            curves: Vec::new(),
            notes: Vec::new(),
        };
        let of = |scale: f32| {
            let found = measure(&predictor, &Shrunk(scheme.clone(), scale), &setting, 1, |_| {}).unwrap();
            found.rows[0].nme_of_found_fraction.unwrap()
        };
        // the middle is half the diagonal from both points, whatever the size
        assert!((of(1.0) - 0.5).abs() < 0.02 && (of(0.25) - 0.5).abs() < 0.05, "{} {}", of(1.0), of(0.25));
    }

    #[test]
    fn the_grid_has_the_unchanged_crop_in_it() {
        assert!(SHIFTS.contains(&0.0) && SCALES.contains(&1.0));
    }
}
