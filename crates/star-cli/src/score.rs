//! `star score`: predictions against the truth, without a model.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use star_data::formats::tsv;
use star_data::scheme_map::{Detail, Mapped, SchemeMap};
use star_data::{Annotation, Dataset, Scheme};
use star_eval::Case;
use star_predict::{Ellipse, records, weights};
use star_train::evaluate::matching::{Row, match_faces};
use star_train::evaluate::{covariances, stated_sides};

use crate::args::{MapName, ScoreArgs, TargetName};
use crate::report::{self, Wanted};
use crate::{identity, setting};

/// Runs `star score`.
///
/// # Errors
/// When a file cannot be read, or a prediction does not fit the scheme.
pub(crate) fn run(args: &ScoreArgs) -> Result<()> {
    report::claim(&args.report, &args.metrics, &[&args.truth, &args.predictions])?;
    let mut scheme = weights::scheme(&args.scheme)?;
    let beside = star_data::formats::folder_of(&args.truth);
    let images = args.images.as_deref().unwrap_or(&beside);
    let detail = args.map.map(MapName::detail).or(args.target.map(|TargetName::Ibug68| Detail::Blend));
    let map = detail.map(SchemeMap::wflw_to_300w).transpose()?;
    if let Some(map) = map.as_ref().filter(|map| map.from().name == scheme.name) {
        scheme = map.to().clone();
    }
    if let Some(map) = map.as_ref().filter(|map| map.to().keypoints != scheme.keypoints) {
        bail!(
            "--map-98-to-68, --as: expected --scheme of {} points, such as `{}`, got `{}` with {}",
            map.to().keypoints,
            map.to().name,
            scheme.name,
            scheme.keypoints
        )
    }
    let truth = truth(args, images, &scheme, map.as_ref())?;
    let annotations: Vec<Annotation> =
        (0..truth.len()).map(|row| truth.annotation(row)).collect::<Result<_, _>>()?;
    let predicted = match &map {
        Some(map) => records::read_mapped(&args.predictions, map)?,
        None => records::read(&args.predictions, scheme.keypoints, &scheme.name)?,
    };
    let rows: Vec<Row> = annotations
        .iter()
        .map(|row| Row {
            image: row.image.to_string_lossy().into_owned(),
            points: &row.points,
            side: row.face.side().into(),
            tags: &row.tags,
        })
        .collect();
    let matched = match_faces(&rows, &predicted);
    let used = matched.iter().flatten().count();
    let setting = setting::setting(&args.metrics, &scheme, &args.truth)?;
    let case = |((row, annotation), face): ((&Row, &Annotation), &Option<usize>)| {
        let face = face.map(|face| &predicted[face]);
        Case {
            name: row.image.clone(),
            subsets: row.tags.to_vec(),
            truth: row.points.to_vec(),
            predicted: face.map(|face| face.points.clone()),
            covariances: face
                .filter(|f| !f.ellipses.is_empty())
                .map(|f| covariances(f.ellipses.iter().map(Ellipse::covariance))),
            stated_sides: stated_sides(annotation),
            unit: face.map(|face| f64::from(face.face_box.side()) / 2.0),
            ..Default::default()
        }
    };
    let cases: Vec<Case> = rows.iter().zip(&annotations).zip(&matched).map(case).collect();
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
    let wanted = Wanted {
        args: &args.report,
        metrics: &args.metrics,
        scheme: &scheme,
        setting: &setting,
        identity: identity::of_predictions(&args.predictions),
    };
    wanted.deliver(&cases, None, None, |i| Ok(truth.get(i)?.image))
}

/// The true landmarks; those of a file with the points that `map` takes are mapped.
fn truth(
    args: &ScoreArgs,
    images: &Path,
    scheme: &Scheme,
    map: Option<&SchemeMap>,
) -> Result<Arc<dyn Dataset>> {
    let own = tsv::open(&args.truth, images, scheme.clone());
    let Some(map) = map else { return Ok(Arc::new(own?)) };
    let error = match own {
        Ok(own) => return Ok(Arc::new(own)),
        Err(error) => error,
    };
    // Which of the two counts the file has, the error of the one or of the other says.
    match tsv::open(&args.truth, images, map.from().clone()) {
        Ok(wide) => Ok(Arc::new(Mapped::new(wide, map.clone())?)),
        Err(wide) if error.to_string().contains(&format!("got {} numbers", 2 * map.from().keypoints)) => {
            Err(wide.into())
        }
        Err(_) => Err(error.into()),
    }
}
