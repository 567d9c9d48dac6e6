//! Running a network over a data set and scoring what it finds.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use star_data::loader::{Loader, LoaderConfig};
use star_data::{Dataset, FaceBox};
use star_eval::Case;
use star_model::CompileOptions;
use star_predict::records::{self, FaceRecord};
use star_predict::{Face, Predictor, files};

use crate::args::EvalArgs;
use crate::cases::Scored;
use crate::{boxes, cases, output, plan, progress, report, source, weights};

/// Name of the subset that is none.
const WHOLE: &str = "full";

/// Runs the network over every face of `dataset`, in order, calling `each` after every batch with the number done.
///
/// # Errors
/// When a sample cannot be read, or the network fails.
pub fn run_over(
    predictor: &Predictor,
    dataset: Arc<dyn Dataset>,
    batch_size: usize,
    each: impl FnMut(usize),
) -> Result<Vec<Scored>> {
    run_over_labels(predictor, dataset, batch_size, false, each)
}

/// As [`run_over`]; with `clamp`, labels outside the crop are moved to its border, as the reference does in scoring too.
///
/// # Errors
/// As [`run_over`].
pub fn run_over_labels(
    predictor: &Predictor,
    dataset: Arc<dyn Dataset>,
    batch_size: usize,
    clamp: bool,
    mut each: impl FnMut(usize),
) -> Result<Vec<Scored>> {
    let count = dataset.len();
    let config = LoaderConfig {
        clamp,
        face_scale: predictor.input().face_scale.into(),
        ..LoaderConfig::evaluation(batch_size, predictor.image_size())
    };
    let loader = Loader::new(dataset, config)?;
    let mut scored = Vec::with_capacity(count);
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        let found = predictor.predict_crops(&batch.images, &batch.crops)?;
        let k = batch.keypoints;
        for (i, landmarks) in found.into_iter().enumerate() {
            scored.push(Scored {
                index: batch.indices[i],
                truth: batch.points_in_image(i)?,
                weights: batch.weights[i * k..(i + 1) * k].to_vec(),
                landmarks,
                unit: unit(&batch.crops[i], predictor.image_size())?,
            });
        }
        each(scored.len());
    }
    Ok(scored)
}

/// Half the network's input in pixels of the image that `crop` leads from; crops do not stretch.
fn unit(crop: &star_data::affine::Affine, image_size: usize) -> Result<f64> {
    let [[a, b, _], [c, d, _]] = crop.inverse()?.matrix();
    Ok((a * d - b * c).abs().sqrt() * image_size as f64 / 2.0)
}

/// Runs `star eval`.
///
/// # Errors
/// When weights or data cannot be read, or the results not written.
pub fn run(args: &EvalArgs) -> Result<()> {
    let (folder, scheme) = weights::open(&args.weights)?;
    let subset = Some(args.metrics.subset.as_str()).filter(|name| *name != WHOLE);
    let opened = source::open_subset(&args.source, &scheme, subset)?;
    let dataset = opened.dataset;
    let device = args.weights.device.open()?;
    let predictor = Predictor::from_folder(&folder, &device, &CompileOptions::default())?
        .with_batch_size(args.weights.batch_size);
    drop(folder);
    let mut setting = plan::setting(&args.metrics, &scheme, &args.source.annotations)?;
    setting.dataset = args.metrics.dataset.clone().unwrap_or_else(|| source::name(&args.source));
    setting.notes.extend(opened.notes);
    // Before the network runs for hours: is the folder for the report to be had?
    if let Some(dir) = &args.report.report {
        files::make_dir(dir)?;
    }
    let bar = progress::bar(dataset.len(), "faces");
    let scored =
        run_over(&predictor, dataset.clone(), args.weights.batch_size, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let case = |face: &Scored| Ok(cases::scored(face, dataset.annotation(face.index)?));
    let cases: Vec<Case> = scored.iter().map(case).collect::<Result<_>>()?;
    if let Some(path) = &args.predictions {
        let mut predicted = Vec::with_capacity(scored.len());
        for (face, case) in scored.iter().zip(&cases) {
            let tight = FaceBox::around(&face.truth)?;
            let landmarks = face.landmarks.clone().into();
            let found = Face { face_box: tight, score: None, landmarks, pose: None };
            let record = FaceRecord::new(Path::new(&case.name), &scheme.name, &found);
            predicted.push(FaceRecord { row: Some(face.index), ..record });
        }
        output::write_text(path, &records::to_json(&predicted)?)?;
    }
    let wanted =
        report::Wanted { args: &args.report, metrics: &args.metrics, scheme: &scheme, setting: &setting };
    let boxes = match args.box_sensitivity {
        Some(count) => {
            let bar = progress::bar(count.min(dataset.len()), "faces with other crops");
            let each = |done| bar.set_position(done as u64);
            let measured = boxes::measure(&predictor, dataset.as_ref(), &setting, count, each)?;
            bar.finish_and_clear();
            Some(measured)
        }
        None => None,
    };
    wanted.deliver(&cases, boxes, |i| Ok(dataset.get(scored[i].index)?.image))
}
