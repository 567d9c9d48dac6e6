//! `star eval`: a network over a data set, and what is written of it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use star_data::FaceBox;
use star_eval::Case;
use star_model::CompileOptions;
use star_predict::records::{self, FaceRecord};
use star_predict::{Face, Predictor, files};
use star_train::evaluate::{self, Labels, Scored, boxes};

use crate::args::EvalArgs;
use crate::{data, identity, output, progress, report, setting, source, weights};

/// Name of the subset that is none.
const WHOLE: &str = "full";

/// Runs `star eval`.
///
/// # Errors
/// When weights or data cannot be read, or the results not written.
pub(crate) fn run(args: &EvalArgs) -> Result<()> {
    let files = data::inputs::files(&args.source)?;
    let inputs: Vec<&Path> =
        files.iter().map(PathBuf::as_path).chain([args.weights.weights.as_path()]).collect();
    report::claim(&args.report, &args.metrics, &inputs)?;
    args.predictions.iter().try_for_each(|path| output::claim(path, &inputs))?;
    let (folder, scheme) = weights::open(&args.weights)?;
    let subset = Some(args.metrics.subset.as_str()).filter(|name| *name != WHOLE);
    let opened = source::open_subset(&args.source, &scheme, subset)?;
    let dataset = opened.dataset;
    let written: Vec<PathBuf> = args.metrics.json.iter().chain(&args.predictions).cloned().collect();
    data::inputs::claim_images(&written, dataset.as_ref())?;
    let device = args.weights.device.open()?;
    let predictor = Predictor::from_folder(&folder, &device, &CompileOptions::default())?
        .with_batch_size(args.weights.batch_size)
        .with_confidence(weights::confidence(&args.weights, &scheme)?);
    let identity = identity::of_weights(&args.weights.weights, &folder)?;
    drop(folder);
    let mut setting = setting::setting(&args.metrics, &scheme, args.source.place())?;
    setting.dataset = args.metrics.dataset.clone().unwrap_or_else(|| source::name(&args.source));
    setting.notes.extend(opened.notes);
    // Before the network runs for hours: is the folder for the report to be had?
    if let Some(dir) = &args.report.report {
        files::make_dir(dir)?;
    }
    let bar = progress::bar(dataset.len(), "faces");
    let scored =
        evaluate::run_over(&predictor, &dataset, args.weights.batch_size, Labels::AsAnnotated, |done| {
            bar.set_position(done as u64)
        })?;
    bar.finish_and_clear();
    let case = |face: &Scored| Ok(evaluate::case(face, dataset.annotation(face.index)?));
    let cases: Vec<Case> = scored.iter().map(case).collect::<Result<_>>()?;
    if let Some(path) = &args.predictions {
        let mut predicted = Vec::with_capacity(scored.len());
        for (face, case) in scored.iter().zip(&cases) {
            // Points without an extent, such as a single one, have no box but the annotation's.
            let tight = match FaceBox::around(&face.truth) {
                Ok(tight) => tight,
                Err(_) => dataset.annotation(face.index)?.face,
            };
            let landmarks = face.landmarks.clone().into();
            let found = Face { face_box: tight, score: None, landmarks, pose: None };
            let record = FaceRecord::new(Path::new(&case.name), &scheme.name, &found);
            predicted.push(FaceRecord { row: Some(face.index), ..record });
        }
        output::write_text(path, &records::to_json(&predicted)?)?;
    }
    let wanted = report::Wanted {
        args: &args.report,
        metrics: &args.metrics,
        scheme: &scheme,
        setting: &setting,
        identity,
    };
    let boxes = match args.box_sensitivity {
        Some(count) => {
            let bar = progress::bar(count.min(dataset.len()), "faces with other crops");
            let each = |done| bar.set_position(done as u64);
            let measured = boxes::measure(&predictor, &dataset, &setting, count, each)?;
            bar.finish_and_clear();
            Some(measured)
        }
        None => None,
    };
    wanted.deliver(&cases, boxes, predictor.confidence(), |i| Ok(dataset.get(scored[i].index)?.image))
}
