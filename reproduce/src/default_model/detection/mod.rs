//! Faces found and false alarms on images of many kinds, by the ways that the program has of looking for faces.

mod scenes;
mod tilt;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::{FaceBox, atomic};
use star_predict::detector::overlap;
use star_predict::{Predictor, files};

use super::sets::{self, Folders, TestSet};
use crate::machine::Machine;
use crate::report;
pub(super) use scenes::Scene;
use scenes::SceneSet;
use tilt::Tilt;

/// Overlap with the true square from which a detection is of the face.
const SAME_FACE: f32 = 0.3;
/// Pixels across of small faces.
const FACES: [u16; 3] = [64, 40, 24];
/// Degrees that portraits are turned by.
const TURNS: [u16; 9] = [0, 15, 30, 45, 60, 90, 120, 150, 180];
/// Per cent of the face that is missing.
const MISSING: [u8; 3] = [10, 20, 30];
/// Of the portraits, one in so many is changed.
const EVERY: usize = 5;
/// Images of crowds of a size, of textures.
const CROWDS: usize = 10;
const TEXTURES: usize = 60;

/// Where to look for faces.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    folders: Folders,
    /// Folder of heads that `default-model heads` drew by another seed than those that were trained on
    #[arg(long, value_name = "DIR")]
    heads: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Measured {
    /// SHA-256 of the weights.
    weights: String,
    machine: Machine,
    /// The ways of looking, in the order of [`Row::found`].
    ways: Vec<String>,
    rows: Vec<Row>,
    tilts: Vec<Tilt>,
}

/// What was found in the images of a set.
#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    images: usize,
    faces: usize,
    found: Vec<Found>,
}

/// By one way of looking.
#[derive(Default, Serialize, Deserialize)]
struct Found {
    faces: usize,
    /// Detections that are of no face, or of one that was found already.
    false_alarms: usize,
    /// Milliseconds of computing an image, on one thread; mean.
    milliseconds: f64,
}

/// Measures and writes the page.
///
/// # Errors
/// Names the file that cannot be read or written.
pub(super) fn run(args: &Args) -> Result<()> {
    let ways =
        [("upright", Predictor::builtin()?), ("any rotation", Predictor::builtin()?.with_turned(true))];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let outcome = pool.install(|| -> Result<Measured> {
        let mut rows = Vec::new();
        for set in all(args)? {
            let row = row(&set, &ways)?;
            println!("{}", line(&row));
            rows.push(row);
        }
        Ok(Measured {
            weights: sets::builtin_hash(),
            machine: Machine::this(),
            ways: ways.iter().map(|(name, _)| name.to_string()).collect(),
            rows,
            tilts: tilt::measure(&args.folders.data)?,
        })
    })?;
    let out = super::results();
    files::make_dir(&out)?;
    let write = |name: &str, text: &str| atomic::write(&out.join(name), text.as_bytes());
    write("detection.json", &serde_json::to_string(&outcome)?)?;
    let text = report::text("default_model/detection.md", &outcome)?;
    write("detection.md", &text)?;
    println!("{text}");
    Ok(())
}

/// Every set.
pub(super) fn all(args: &Args) -> Result<Vec<SceneSet>> {
    let data = &args.folders.data;
    let mut all: Vec<SceneSet> = args.folders.all()?.iter().map(scenes::of).collect();
    for face in FACES {
        all.push(scenes::of(&sets::shrunk(data, face)?));
    }
    if let Some(heads) = &args.heads {
        all.extend(scenes::by_subset(&sets::heads(heads)?)?);
    }
    let portraits: TestSet = sets::validation(data)?;
    all.extend(TURNS.map(|degrees| scenes::rotated(&portraits, EVERY, degrees)));
    all.extend(MISSING.map(|percent| scenes::cut(&portraits, EVERY, percent)));
    all.extend(FACES.map(|face| scenes::crowds(&portraits, CROWDS, face.into())));
    all.extend([scenes::faceless(&portraits, EVERY), scenes::shuffled(&portraits, EVERY)]);
    all.push(scenes::textures(TEXTURES));
    Ok(all)
}

fn row(set: &SceneSet, ways: &[(&str, Predictor)]) -> Result<Row> {
    let mut row = Row { name: set.name.clone(), images: set.count, faces: 0, found: Vec::new() };
    row.found.resize_with(ways.len(), Found::default);
    for index in 0..set.count {
        let scene = set.scene(index)?;
        row.faces += scene.faces.len();
        for ((_, predictor), found) in ways.iter().zip(&mut row.found) {
            let watch = Watch::start();
            let boxes: Vec<FaceBox> =
                predictor.predict(&scene.image)?.into_iter().map(|face| face.face_box).collect();
            found.milliseconds += watch.milliseconds() / set.count as f64;
            let faces = of_faces(&scene, &boxes).into_iter().filter(|face| *face).count();
            found.faces += faces;
            found.false_alarms += boxes.len() - faces;
        }
    }
    Ok(row)
}

/// Which of `boxes` show a face of the scene: the pairs that lie most on one another first, each face and each box once.
pub(super) fn of_faces(scene: &Scene, boxes: &[FaceBox]) -> Vec<bool> {
    let mut pairs = Vec::new();
    for (i, face) in scene.faces.iter().enumerate() {
        pairs.extend(boxes.iter().enumerate().map(|(k, found)| (overlap(face, found), i, k)));
    }
    pairs.retain(|(shared, ..)| *shared > SAME_FACE);
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut seen, mut taken) = (vec![false; scene.faces.len()], vec![false; boxes.len()]);
    for (_, face, found) in pairs {
        if !seen[face] && !taken[found] {
            (seen[face], taken[found]) = (true, true);
        }
    }
    taken
}

/// Time that this thread was computing, where the system tells (Linux), so that other programs do not count; else time that went by.
struct Watch {
    start: Instant,
    computed: Option<f64>,
}

impl Watch {
    fn start() -> Self {
        Self { start: Instant::now(), computed: Self::computed() }
    }

    /// Milliseconds since the start.
    fn milliseconds(&self) -> f64 {
        let computed = self.computed.zip(Self::computed()).map(|(before, now)| now - before);
        computed.unwrap_or_else(|| 1e3 * self.start.elapsed().as_secs_f64())
    }

    /// Milliseconds of this thread so far.
    fn computed() -> Option<f64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
        Some(nanoseconds / 1e6)
    }
}

fn line(row: &Row) -> String {
    let way = |found: &Found| {
        format!("{} found, {} false, {:.1} ms", found.faces, found.false_alarms, found.milliseconds)
    };
    let ways: Vec<String> = row.found.iter().map(way).collect();
    format!("{}: {} images, {} faces; {}", row.name, row.images, row.faces, ways.join("; "))
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::place;

    #[test]
    fn a_face_is_found_once_by_what_lies_most_on_it() {
        let at = |x: f32| FaceBox { x, y: 0.0, width: 10.0, height: 10.0 };
        let scene = Scene { image: RgbImage::new(1, 1), faces: vec![at(0.0), at(8.0)] };
        assert_eq!(of_faces(&scene, &[at(1.0), at(0.0), at(50.0)]), [false, true, false]);
        assert_eq!(of_faces(&scene, &[at(3.0), at(7.0)]), [true, true]);
        assert!(of_faces(&scene, &[]).is_empty());
    }

    #[test]
    fn the_committed_page_is_what_the_template_makes_of_its_figures_and_is_of_the_weights_in_the_program() {
        let text = place::read("docs/results/default-model/detection.json").unwrap();
        let measured: Measured = serde_json::from_str(&text).unwrap();
        assert_eq!(
            report::text("default_model/detection.md", &measured).unwrap(),
            place::read("docs/results/default-model/detection.md").unwrap()
        );
        assert_eq!(
            measured.weights,
            sets::builtin_hash(),
            "measure again: the weights in the program are others"
        );
    }
}
