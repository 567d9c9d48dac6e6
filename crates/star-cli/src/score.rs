//! `star score`: predictions against the truth, without a model.

use anyhow::Result;
use star_data::Dataset;
use star_data::formats::tsv;
use star_eval::Case;
use star_predict::{Ellipse, records, weights};
use star_train::evaluate::covariances;
use star_train::evaluate::matching::{Row, match_faces};

use crate::args::ScoreArgs;
use crate::report::{self, Wanted};
use crate::setting;

/// Runs `star score`.
///
/// # Errors
/// When a file cannot be read, or a prediction does not fit the scheme.
pub(crate) fn run(args: &ScoreArgs) -> Result<()> {
    report::claim(&args.report, &args.metrics, &[&args.truth, &args.predictions])?;
    let scheme = weights::scheme(&args.scheme)?;
    let beside = star_data::formats::folder_of(&args.truth);
    let images = args.images.as_deref().unwrap_or(&beside);
    let truth = tsv::open(&args.truth, images, scheme.clone())?;
    let predicted = records::read(&args.predictions, scheme.keypoints, &scheme.name)?;
    let rows: Vec<Row> = truth
        .annotations()
        .iter()
        .map(|row| Row {
            image: row.image.to_string_lossy().into_owned(),
            points: &row.points,
            tags: &row.tags,
        })
        .collect();
    let matched = match_faces(&rows, &predicted);
    let used = matched.iter().flatten().count();
    let setting = setting::setting(&args.metrics, &scheme, &args.truth)?;
    let case = |(row, face): (&Row, &Option<usize>)| {
        let face = face.map(|face| &predicted[face]);
        Case {
            name: row.image.clone(),
            subsets: row.tags.to_vec(),
            truth: row.points.to_vec(),
            predicted: face.map(|face| face.points.clone()),
            covariances: face
                .filter(|f| !f.ellipses.is_empty())
                .map(|f| covariances(f.ellipses.iter().map(Ellipse::covariance))),
            unit: face.map(|face| f64::from(face.face_box.side()) / 2.0),
            ..Default::default()
        }
    };
    let cases: Vec<Case> = rows.iter().zip(&matched).map(case).collect();
    if used < predicted.len() {
        say!(
            "{} of {} predicted faces are of no annotated face and left out",
            predicted.len() - used,
            predicted.len()
        );
    }
    if used < rows.len() {
        say!(
            "{} of {} annotated faces have no prediction: counted as failures",
            rows.len() - used,
            rows.len()
        );
    }
    let wanted = Wanted { args: &args.report, metrics: &args.metrics, scheme: &scheme, setting: &setting };
    wanted.deliver(&cases, None, |i| Ok(truth.get(i)?.image))
}
