//! From the detector's boxes to the landmark-tight boxes that networks are trained on.

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use star_data::{Dataset, FaceBox};
use star_predict::detector::{Candidate, FaceDetector, overlap};

use super::sets::{self, Folders};

/// Overlap with the true box above which a detection is of the face.
const SAME_FACE: f32 = 0.3;

/// Where to look for faces.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    folders: Folders,
}

/// The landmark-tight square against the detector's box, in geometric means of that box's sides.
struct Fit {
    side: f32,
    right: f32,
    down: f32,
    /// Overlap of the tight square with what `FaceDetector::landmark_box` makes of the detector's.
    overlap: f32,
}

/// Prints medians and quartiles, a line a set.
///
/// # Errors
/// Names what cannot be read.
pub(super) fn run(args: &Args) -> Result<()> {
    let detector = FaceDetector::new(FaceDetector::MIN_SCORE)?;
    println!("median (quartiles), in sizes of the detector's box; overlap after the map that is built in");
    for set in std::iter::once(sets::training(&args.folders.data)?).chain(args.folders.all()?) {
        let fits: Vec<Option<Fit>> = (0..set.dataset.len())
            .into_par_iter()
            .map(|i| fit(&detector, &set.dataset, i))
            .collect::<Result<_>>()
            .with_context(|| set.name.clone())?;
        let found: Vec<Fit> = fits.into_iter().flatten().collect();
        ensure!(!found.is_empty(), "{}: no face found", set.name);
        let of = |value: fn(&Fit) -> f32| quartiles(found.iter().map(value).collect());
        println!(
            "{}: {} of {} found; side {}, right {}, down {}, overlap {}",
            set.name,
            found.len(),
            set.dataset.len(),
            of(|f| f.side),
            of(|f| f.right),
            of(|f| f.down),
            of(|f| f.overlap)
        );
    }
    Ok(())
}

/// The detection that is of the face of sample `index`; `None` where there is none.
fn fit(detector: &FaceDetector, dataset: &dyn Dataset, index: usize) -> Result<Option<Fit>> {
    let sample = dataset.get(index)?;
    let tight = square(&sample.face);
    let shared = |found: &Candidate| overlap(&found.face_box, &tight);
    let best = detector.candidates(&sample.image)?.into_iter().max_by(|a, b| shared(a).total_cmp(&shared(b)));
    Ok(best.filter(|found| shared(found) > SAME_FACE).map(|found| {
        let (centre, size) = (found.face_box.centre(), found.size());
        let [right, down] = [0, 1].map(|axis| (tight.centre()[axis] - centre[axis]) / size);
        let mapped = FaceDetector::landmark_box(&found);
        Fit { side: tight.side() / size, right, down, overlap: overlap(&mapped, &tight) }
    }))
}

/// The square that a crop is made of.
fn square(face: &FaceBox) -> FaceBox {
    let ([x, y], side) = (face.centre(), face.side());
    FaceBox { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side }
}

fn quartiles(mut values: Vec<f32>) -> String {
    values.sort_by(f32::total_cmp);
    let at = |share: usize| values[(values.len() - 1) * share / 4];
    format!("{:.3} ({:.3} to {:.3})", at(2), at(1), at(3))
}
