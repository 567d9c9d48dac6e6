//! How far estimated head poses are from those of rendered heads.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::atomic;
use star_predict::{Pose, Predictor, files};

use super::sets;
use crate::report;

/// Yaws, degrees, between which heads are measured together.
const BANDS: [f32; 4] = [0.0, 15.0, 30.0, 45.0];
const LAST: f32 = 60.0;

/// Which heads.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of heads that `default-model heads` drew by another seed than those that were trained on
    #[arg(long, value_name = "DIR")]
    heads: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Measured {
    /// SHA-256 of the weights.
    weights: String,
    bands: Vec<Band>,
}

/// Errors of the heads of some yaws: of yaw, pitch and roll in degrees.
#[derive(Serialize, Deserialize)]
struct Band {
    name: String,
    heads: usize,
    mean: [f64; 3],
    median: [f64; 3],
    tenth_worst: [f64; 3],
    bias: [f64; 3],
    /// Root mean square of error over the deviation that was stated.
    in_deviations: [f64; 3],
}

#[derive(Deserialize)]
struct Truth {
    image: PathBuf,
    yaw: f32,
    pitch: f32,
    roll: f32,
}

/// Measures and writes the page.
///
/// # Errors
/// Names the file that cannot be read or written.
pub(super) fn run(args: &Args) -> Result<()> {
    let predictor = Predictor::builtin()?;
    let truths = truths(&args.heads)?;
    let set = sets::heads(&args.heads)?;
    let mut found: Vec<([f32; 3], Pose)> = Vec::new();
    for i in 0..set.dataset.len() {
        let sample = set.dataset.get(i)?;
        let truth = truths.iter().find(|truth| sample.source.ends_with(&truth.image));
        let truth = truth.with_context(|| format!("{}: no pose", sample.source.display()))?;
        let faces = predictor.predict_in(&sample.image, &[sample.face])?;
        let pose = faces[0].pose.with_context(|| format!("{}: no pose found", sample.source.display()))?;
        found.push(([truth.yaw, truth.pitch, truth.roll], pose));
    }
    let of = |name: String, low: f32, high: f32| {
        let chosen: Vec<_> =
            found.iter().filter(|(truth, _)| (low..high).contains(&truth[0].abs())).copied().collect();
        band(name, &chosen)
    };
    let mut bands = Vec::new();
    for (i, low) in BANDS.into_iter().enumerate() {
        let high = BANDS.get(i + 1).copied().unwrap_or(LAST);
        bands.push(of(format!("{low} to {high}"), low, high)?);
    }
    bands.push(of("0 to 45, all".into(), 0.0, 45.0)?);
    let outcome = Measured { weights: sets::builtin_hash(), bands };
    let out = super::results();
    files::make_dir(&out)?;
    let write = |name: &str, text: &str| atomic::write(&out.join(name), text.as_bytes());
    write("pose.json", &serde_json::to_string(&outcome)?)?;
    let text = report::text("default_model/pose.md", &outcome)?;
    write("pose.md", &text)?;
    println!("{text}");
    Ok(())
}

fn truths(heads: &Path) -> Result<Vec<Truth>> {
    let path = heads.join("poses.csv");
    let rows = csv::Reader::from_path(&path).and_then(|mut reader| reader.deserialize().collect());
    rows.with_context(|| path.display().to_string())
}

fn band(name: String, found: &[([f32; 3], Pose)]) -> Result<Band> {
    ensure!(!found.is_empty(), "yaw {name}: no head");
    let errors = |axis: usize| -> Vec<f64> {
        let of = |(truth, pose): &([f32; 3], Pose)| {
            f64::from([pose.yaw, pose.pitch, pose.roll][axis]) - f64::from(truth[axis])
        };
        found.iter().map(of).collect()
    };
    let count = found.len() as f64;
    let sorted = |axis: usize| {
        let mut errors: Vec<f64> = errors(axis).into_iter().map(f64::abs).collect();
        errors.sort_by(f64::total_cmp);
        errors
    };
    let deviations = |axis: usize| {
        let squares = errors(axis);
        let squares = squares.iter().zip(found);
        squares.map(|(e, (_, pose))| (e / f64::from(pose.deviations[axis])).powi(2)).sum::<f64>() / count
    };
    Ok(Band {
        name,
        heads: found.len(),
        mean: [0, 1, 2].map(|axis| sorted(axis).iter().sum::<f64>() / count),
        median: [0, 1, 2].map(|axis| sorted(axis)[found.len() / 2]),
        tenth_worst: [0, 1, 2].map(|axis| sorted(axis)[found.len() * 9 / 10]),
        bias: [0, 1, 2].map(|axis| errors(axis).iter().sum::<f64>() / count),
        in_deviations: [0, 1, 2].map(|axis| deviations(axis).sqrt()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place;

    #[test]
    fn the_committed_page_is_what_the_template_makes_and_heads_turned_by_up_to_45_degrees_are_within_three() {
        let text = place::read("docs/results/default-model/pose.json").unwrap();
        let measured: Measured = serde_json::from_str(&text).unwrap();
        assert_eq!(
            report::text("default_model/pose.md", &measured).unwrap(),
            place::read("docs/results/default-model/pose.md").unwrap()
        );
        assert_eq!(
            sets::builtin_hash(),
            measured.weights,
            "measure again: the weights in the program are others"
        );
        assert!(measured.bands.last().unwrap().mean.iter().all(|error| *error < 3.0));
    }
}
