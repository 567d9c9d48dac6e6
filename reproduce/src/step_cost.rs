//! What STAR costs beside its plain distance: time and memory of a training step, each measured in a process of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::synthetic::SyntheticConfig;
use star_train::config::{Options, SourceSection, TrainConfig};

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
pub(crate) struct StepCost {
    pub(crate) machine: Machine,
    /// Steps timed of each loss, in how many processes.
    pub(crate) steps: usize,
    pub(crate) processes: usize,
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
pub(crate) fn of(asked: bool, dir: &Path) -> Result<Option<StepCost>> {
    let path = dir.join(FILE);
    if asked {
        let measured = measure()?;
        star_predict::files::make_dir(dir)?;
        star_data::atomic::write(&path, serde_json::to_string_pretty(&measured)?.as_bytes())?;
        return Ok(Some(measured));
    }
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    serde_json::from_str(&text).map(Some).with_context(|| path.display().to_string())
}

/// Measures every network under both losses, in alternation.
///
/// # Errors
/// When a process fails.
fn measure() -> Result<StepCost> {
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
    Ok(StepCost { machine: Machine::this(), steps: ROUNDS * STEPS, processes: ROUNDS, rows })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_can_be_trained() {
        for network in 0..NETWORKS.len() {
            config(network, &Variant::star()).unwrap().validate().unwrap();
        }
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    }
}
