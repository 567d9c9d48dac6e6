//! From the detector's squares to the landmark-tight boxes that networks are trained on.

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use star_data::{Dataset, FaceBox};
use star_predict::detector::{FrontalDetector, overlap};

use super::sets::{self, Folders};

/// Overlap with the true box above which a detection is of the face.
const SAME_FACE: f32 = 0.3;

/// Where to look for faces.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    folders: Folders,
}

/// The landmark-tight square against the detector's, in sides of the detector's.
struct Fit {
    side: f32,
    right: f32,
    down: f32,
    /// Overlap of the tight square with what `FrontalDetector::landmark_box` makes of the detector's.
    overlap: f32,
}

/// Prints medians and quartiles, a line a set.
///
/// # Errors
/// Names what cannot be read.
pub(super) fn run(args: &Args) -> Result<()> {
    let detector = FrontalDetector::new(FrontalDetector::MIN_SCORE)?;
    println!("median (quartiles), in sides of the detector's square; overlap after the map that is built in");
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
fn fit(detector: &FrontalDetector, dataset: &dyn Dataset, index: usize) -> Result<Option<Fit>> {
    let sample = dataset.get(index)?;
    let tight = square(&sample.face);
    let squares = detector.squares(&sample.image).into_iter().map(|(square, _)| square);
    let best = squares.max_by(|a, b| overlap(a, &tight).total_cmp(&overlap(b, &tight)));
    Ok(best.filter(|found| overlap(found, &tight) > SAME_FACE).map(|found| {
        let [right, down] = [0, 1].map(|axis| (tight.centre()[axis] - found.centre()[axis]) / found.side());
        let mapped = FrontalDetector::landmark_box(&found);
        Fit { side: tight.side() / found.side(), right, down, overlap: overlap(&mapped, &tight) }
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
