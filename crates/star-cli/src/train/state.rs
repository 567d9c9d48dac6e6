//! A run's state on disk: everything that a resumed run needs to end with the same weights.
//!
//! `OUT/state/step-N/` holds weights, average, optimiser moments and a description. A state is written under a
//! temporary name and renamed when whole, so whatever bears the final name can be trusted; the last two are kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use star_model::checkpoint::{self, Tensors, Which};

use crate::output;

/// States kept on disk.
const KEEP: usize = 2;

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epoch under way, counted from 0.
    pub epoch: usize,
    /// Batches of it that are done.
    pub batch: usize,
    /// Optimiser steps since the start.
    pub step: usize,
    /// Sums of the loss terms over the batches done in this epoch.
    pub sums: Vec<f64>,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// The best validation of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Mean NME as a fraction.
    pub nme: f64,
    /// Whether the moving average was better than the weights themselves.
    pub ema: bool,
}

/// Everything that a state holds.
pub struct State {
    /// Where the run is.
    pub position: Position,
    /// Weights and running statistics.
    pub model: Tensors,
    /// Their moving average.
    pub ema: Tensors,
    /// Optimiser moments.
    pub moments: Tensors,
}

fn folder(out: &Path) -> PathBuf {
    out.join("state")
}

/// Step numbers of the whole states in `out`, ascending.
fn steps(out: &Path) -> Vec<usize> {
    let Ok(entries) = std::fs::read_dir(folder(out)) else { return Vec::new() };
    let number = |name: std::ffi::OsString| name.to_str()?.strip_prefix("step-")?.parse().ok();
    let mut steps: Vec<usize> = entries.flatten().filter_map(|entry| number(entry.file_name())).collect();
    steps.sort_unstable();
    steps
}

/// Whether `out` holds a state to go on from.
pub fn exists(out: &Path) -> bool {
    !steps(out).is_empty()
}

impl State {
    /// Writes the state and forgets all but the last two.
    ///
    /// # Errors
    /// Names what could not be written; earlier states are then untouched.
    pub fn save(&self, out: &Path) -> Result<()> {
        let states = folder(out);
        let name = format!("step-{:08}", self.position.step);
        let (temporary, whole) = (states.join(format!(".{name}.tmp")), states.join(&name));
        let write = || -> Result<()> {
            if temporary.exists() {
                std::fs::remove_dir_all(&temporary)?;
            }
            std::fs::create_dir_all(&temporary)?;
            for (file, tensors) in [("model", &self.model), ("ema", &self.ema), ("moments", &self.moments)] {
                checkpoint::save_safetensors(tensors, &temporary.join(file).with_extension("safetensors"))?;
            }
            let position = serde_json::to_string_pretty(&self.position)?;
            output::write_renamed(&temporary.join("position.json"), position.as_bytes())?;
            if whole.exists() {
                std::fs::remove_dir_all(&whole)?;
            }
            std::fs::rename(&temporary, &whole)?;
            Ok(())
        };
        write().with_context(|| format!("saving the state {}", whole.display()))?;
        let steps = steps(out);
        for step in &steps[..steps.len().saturating_sub(KEEP)] {
            let old = states.join(format!("step-{step:08}"));
            std::fs::remove_dir_all(&old)
                .with_context(|| format!("removing the old state {}", old.display()))?;
        }
        Ok(())
    }

    /// Reads the newest state that is whole; a damaged one is reported and the one before it taken.
    ///
    /// # Errors
    /// When there is none.
    pub fn load(out: &Path) -> Result<Self> {
        let mut problems = Vec::new();
        for step in steps(out).into_iter().rev() {
            let dir = folder(out).join(format!("step-{step:08}"));
            match Self::read(&dir) {
                Ok(state) => {
                    for problem in &problems {
                        eprintln!("warning: {problem}; going on from the state before it");
                    }
                    return Ok(state);
                }
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
        if problems.is_empty() {
            bail!("{}: no state to resume from; start without --resume", out.display())
        }
        bail!("no state can be resumed from:\n  {}", problems.join("\n  "))
    }

    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("position.json");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let position = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let tensors = |name: &str| -> Result<Tensors> {
            Ok(checkpoint::read(&dir.join(name).with_extension("safetensors"), Which::Net)?)
        };
        Ok(Self { position, model: tensors("model")?, ema: tensors("ema")?, moments: tensors("moments")? })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn state(step: usize) -> State {
        let tensors =
            || Tensors::from([("w".to_string(), Tensor::new(&[step as f32], &Device::Cpu).unwrap())]);
        let position = Position { step, ..Default::default() };
        State { position, model: tensors(), ema: tensors(), moments: tensors() }
    }

    #[test]
    fn the_last_two_states_are_kept_and_the_newest_whole_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for step in [1, 2, 3] {
            state(step).save(dir.path()).unwrap();
        }
        assert_eq!(steps(dir.path()), [2, 3]);
        assert_eq!(State::load(dir.path()).unwrap().position.step, 3);
        let newest = folder(dir.path()).join("step-00000003/model.safetensors");
        let bytes = std::fs::read(&newest).unwrap();
        std::fs::write(&newest, &bytes[..bytes.len() - 2]).unwrap();
        assert_eq!(State::load(dir.path()).unwrap().position.step, 2);
    }

    #[test]
    fn half_a_state_is_never_taken_for_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder(dir.path()).join(".step-00000009.tmp")).unwrap();
        assert!(!exists(dir.path()));
        assert!(State::load(dir.path()).err().unwrap().to_string().contains("without --resume"));
    }
}
