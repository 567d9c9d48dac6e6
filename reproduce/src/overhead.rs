//! What STAR costs beside its plain distance: time and memory of a training step, each measured in a process of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::synthetic::SyntheticConfig;
use star_train::config::{Options, SourceSection, TrainConfig};

use super::document::Section;
use super::machine::Machine;
use super::variant::Variant;

/// File of the measurements in the folder of the report.
const FILE: &str = "overhead.json";
/// Steps timed in a process.
const STEPS: usize = 5;
/// Processes of each loss, alternated.
const ROUNDS: usize = 3;

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Overhead {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Cost>,
}

/// One network under one loss.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) network: String,
    pub(crate) loss: String,
    /// Median over all steps of all processes.
    pub(crate) step_seconds: f64,
    /// Largest resident size of a process, median over processes; `None` where the system does not tell.
    pub(crate) peak_bytes: Option<f64>,
}

/// The networks that are measured: side of the input, batch, stacks.
const NETWORKS: [(&str, usize, usize, usize); 2] = [
    ("published hourglass, 256 px, batch of 4", 256, 4, 4),
    ("one stack of the published width, 128 px, batch of 8", 128, 8, 1),
];

fn config(network: usize, variant: &Variant) -> Result<TrainConfig> {
    let (_, side, batch, stacks) = *NETWORKS.get(network).context("no such network")?;
    let mut config: TrainConfig = toml::from_str(&TrainConfig::example()?)?;
    config.data.train = SourceSection::Synthetic(SyntheticConfig {
        count: 2 * batch,
        image_size: 160,
        ..SyntheticConfig::default()
    });
    config.data.holdout = 0.5;
    config.batch_size = batch;
    (config.model.image_size, config.model.stacks) = (side, stacks);
    variant.apply(&mut config);
    Ok(config)
}

/// What a process prints about one network and loss (`0-star`).
///
/// # Errors
/// When there is no such network or a step fails.
pub(crate) fn child(what: &str) -> Result<()> {
    let (network, slug) = what.split_once('-').context("expected NETWORK-LOSS")?;
    let variant = if slug == "star" { Variant::star() } else { Variant::plain() };
    star_train::memory::keep_freed();
    let prepared = config(network.parse()?, &variant)?.prepare(Path::new("."), Options::default())?;
    let times = prepared.trainer.step_times(&prepared.train, &prepared.validation, STEPS)?;
    let measured = (times.seconds, times.peak_bytes);
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Measures into the folder of a report where that is `asked` for; else what an earlier run measured there, if any.
///
/// # Errors
/// When a measurement fails or a file cannot be written or read.
pub(crate) fn of(asked: bool, dir: &Path) -> Result<Option<Overhead>> {
    let path = dir.join(FILE);
    if asked {
        let measured = measure()?;
        star_predict::files::make_dir(dir)?;
        star_predict::files::write_atomic(&path, serde_json::to_string_pretty(&measured)?.as_bytes())?;
        return Ok(Some(measured));
    }
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    serde_json::from_str(&text).map(Some).with_context(|| path.display().to_string())
}

/// Measures every network under both losses, in alternation.
///
/// # Errors
/// When a process fails.
fn measure() -> Result<Overhead> {
    let program = std::env::current_exe().context("the path of this program")?;
    let losses = [Variant::plain(), Variant::star()];
    let mut rows = Vec::new();
    for (network, (name, ..)) in NETWORKS.iter().enumerate() {
        let mut seen: [(Vec<f64>, Vec<f64>); 2] = Default::default();
        for _ in 0..ROUNDS {
            for (variant, (times, peaks)) in losses.iter().zip(&mut seen) {
                let what = format!("{network}-{}", variant.slug);
                println!("overhead: {name}, {}", variant.name);
                let output = Command::new(&program)
                    .args(["step-cost", &what])
                    // The offline profile keeps itself to one.
                    .env_remove("RAYON_NUM_THREADS")
                    .output()
                    .context("starting a process to measure in")?;
                ensure!(
                    output.status.success(),
                    "{what}: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                let (seconds, peak): (Vec<f64>, Option<f64>) = serde_json::from_slice(&output.stdout)?;
                times.extend(seconds);
                peaks.extend(peak);
            }
        }
        for (variant, (times, peaks)) in losses.iter().zip(seen) {
            rows.push(Cost {
                network: (*name).to_string(),
                loss: variant.name.clone(),
                step_seconds: median(times).unwrap_or(f64::NAN),
                peak_bytes: median(peaks),
            });
        }
    }
    Ok(Overhead { machine: Machine::this(), rows })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The measurements as a part of a report.
pub(crate) fn section(overhead: Option<&Overhead>) -> Section {
    let mut section = Section::new("overhead", "What STAR costs: time and memory of a step");
    let Some(overhead) = overhead else {
        section.text("Not measured: --overhead measures it, on a machine with nothing beside it.");
        return section;
    };
    section.text(format!(
        "Medians of {} steps in {ROUNDS} processes of each loss, alternated, on {} ({} cores).",
        ROUNDS * STEPS,
        overhead.machine.processor,
        overhead.machine.cores
    ));
    let plain = |cost: &Cost| overhead.rows.iter().find(|row| row.network == cost.network);
    let rows = overhead.rows.iter().map(|cost| {
        let ratio = |of: fn(&Cost) -> Option<f64>| match (of(cost), plain(cost).and_then(of)) {
            (Some(value), Some(base)) => format!("{:.3}", value / base),
            _ => "-".to_string(),
        };
        vec![
            format!("{}, {}", cost.network, cost.loss),
            format!("{:.3}", cost.step_seconds),
            ratio(|cost| Some(cost.step_seconds)),
            cost.peak_bytes.map_or("-".to_string(), |bytes| format!("{:.2}", bytes / 1e9)),
            ratio(|cost| cost.peak_bytes),
        ]
    });
    section.table(
        &["network and loss", "step, s", "over plain", "peak memory, GB", "over plain"],
        rows.collect(),
    );
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_is_told_beside_the_plain_loss() {
        let cost = |loss: &str, step_seconds: f64, bytes: f64| Cost {
            network: "net".into(),
            loss: loss.into(),
            step_seconds,
            peak_bytes: Some(bytes),
        };
        let rows = vec![cost("smooth-L1", 2.0, 1e9), cost("STAR", 2.1, 1.1e9)];
        let overhead = Overhead { machine: Machine::this(), rows };
        let document = super::super::document::Document {
            title: "t".into(),
            lead: vec![],
            warnings: vec![],
            sections: vec![section(Some(&overhead)), section(None)],
        };
        let text = document.to_markdown();
        assert!(text.contains("| net, STAR | 2.100 | 1.050 | 1.10 | 1.100 |"), "{text}");
        assert!(text.contains("--overhead measures it"));
        for network in 0..NETWORKS.len() {
            config(network, &Variant::star()).unwrap().validate().unwrap();
        }
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    }
}
