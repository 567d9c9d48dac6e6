//! Landmarks of tilted faces whose box is known, with and without turning their crops upright.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::{Dataset, Sample};
use star_eval::{Normalizer, nme};
use star_predict::Predictor;
use star_train::evaluate::metric_set;

use super::super::sets::{self, TestSet};
use super::{Watch, scenes};

/// Degrees.
const ROLLS: [u16; 8] = [0, 10, 15, 20, 30, 45, 60, 90];
/// Of the portraits, one in so many.
const EVERY: usize = 3;

/// Faces of a set turned by so many degrees.
#[derive(Serialize, Deserialize)]
pub(super) struct Tilt {
    name: String,
    degrees: u16,
    faces: usize,
    /// In the crop as the box says.
    plain: Landmarks,
    /// In crops turned upright.
    upright: Landmarks,
}

/// Errors of landmarks.
#[derive(Default, Serialize, Deserialize)]
struct Landmarks {
    /// Mean NME in per cent of the distance between the outer eye corners.
    nme: f64,
    /// Faces above 10 %, in per cent.
    failures: f64,
    /// Milliseconds of computing a face, on one thread; mean.
    milliseconds: f64,
}

/// Measures every set at every roll.
///
/// # Errors
/// Names the file that cannot be read.
pub(super) fn measure(data: &Path) -> Result<Vec<Tilt>> {
    let (plain, upright) = (Predictor::builtin()?.with_upright(false), Predictor::builtin()?);
    let sets =
        [(sets::human(data, true)?, 1), (sets::human(data, false)?, 1), (sets::validation(data)?, EVERY)];
    let mut tilts = Vec::new();
    for (set, every) in &sets {
        let (normalizer, _) = metric_set::normalizer(set.dataset.scheme(), None)?;
        for degrees in ROLLS {
            let [mut a, mut b] = [Landmarks::default(), Landmarks::default()];
            let mut faces = 0;
            // Each face to one side or the other.
            for (i, sign) in (0..set.dataset.len()).step_by(*every).zip([1.0, -1.0].into_iter().cycle()) {
                let sample = scenes::turned(set.dataset.get(i)?, sign * f64::from(degrees))?;
                a.add(&plain, &normalizer, &sample)?;
                b.add(&upright, &normalizer, &sample)?;
                faces += 1;
            }
            tilts.push(Tilt {
                name: of(set, *every),
                degrees,
                faces,
                plain: a.over(faces),
                upright: b.over(faces),
            });
            let Tilt { name, plain, upright, .. } = &tilts[tilts.len() - 1];
            println!(
                "{name}, turned by {degrees}: NME {:.2} %, {:.1} % fail, {:.1} ms; upright {:.2} %, {:.1} % fail, {:.1} ms",
                plain.nme,
                plain.failures,
                plain.milliseconds,
                upright.nme,
                upright.failures,
                upright.milliseconds
            );
        }
    }
    Ok(tilts)
}

fn of(set: &TestSet, every: usize) -> String {
    if every == 1 { set.name.clone() } else { format!("{}, one in {every}", set.name) }
}

impl Landmarks {
    fn add(&mut self, predictor: &Predictor, normalizer: &Normalizer, sample: &Sample) -> Result<()> {
        let watch = Watch::start();
        let found = predictor.predict_in(&sample.image, &[sample.face])?;
        self.milliseconds += watch.milliseconds();
        let known = |[x, y]: &[f32; 2]| if x.is_finite() && y.is_finite() { 1.0 } else { 0.0 };
        let weights: Vec<f32> = sample.points.iter().map(known).collect();
        let length = normalizer.length_weighted(&sample.points, Some(&weights))?;
        let error = 100.0 * nme(&found[0].landmarks.points, &sample.points, Some(&weights), length)?;
        self.nme += error;
        self.failures += if error > 10.0 { 100.0 } else { 0.0 };
        Ok(())
    }

    /// The means of what was added for so many faces.
    fn over(self, faces: usize) -> Self {
        let mean = |sum: f64| sum / faces as f64;
        Self { nme: mean(self.nme), failures: mean(self.failures), milliseconds: mean(self.milliseconds) }
    }
}
