//! A run's state on disk: everything that a resumed run needs to end with the same weights.
//!
//! `OUT/state/step-N/` holds weights, average, optimiser state and a description, and the checksums of these files. A state is
//! written under a temporary name, brought to disk and renamed when complete; the last two are kept. A file that is not what its
//! checksum says makes the state damaged, and the one before it is taken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use star_data::atomic;
use star_model::checkpoint::{self, Tensors, Which};
use star_predict::failure;

/// States kept on disk.
const KEEP: usize = 2;

/// SHA-256 of every other file of a state, by name.
const CHECKSUMS: &str = "checksums.json";

/// Where the run is.
const POSITION: &str = "position.json";

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
    /// What the optimiser keeps beside each variable.
    pub optimizer: Tensors,
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
            for (part, tensors) in
                [("model", &self.model), ("ema", &self.ema), ("optimizer", &self.optimizer)]
            {
                checkpoint::save_safetensors(tensors, &temporary.join(file_of(part)))?;
            }
            let position = serde_json::to_string_pretty(&self.position)?;
            atomic::write(&temporary.join(POSITION), position.as_bytes())?;
            let sums: BTreeMap<String, String> = files()
                .map(|file| Ok((file.clone(), checksum(&temporary.join(file))?)))
                .collect::<Result<_>>()?;
            atomic::write(&temporary.join(CHECKSUMS), serde_json::to_string_pretty(&sums)?.as_bytes())?;
            atomic::sync_folder(&temporary)?;
            if whole.exists() {
                std::fs::remove_dir_all(&whole)?;
            }
            std::fs::rename(&temporary, &whole)?;
            Ok(atomic::sync_folder(&states)?)
        };
        write().with_context(|| {
            // What there is of it is of no use, and in the way of a full disk.
            let _ = std::fs::remove_dir_all(&temporary);
            format!("saving the state {}", whole.display())
        })?;
        let steps = steps(out);
        for step in &steps[..steps.len().saturating_sub(KEEP)] {
            let old = states.join(format!("step-{step:08}"));
            std::fs::remove_dir_all(&old)
                .with_context(|| format!("removing the old state {}", old.display()))?;
        }
        Ok(())
    }

    /// Reads the newest undamaged state, and says what is wrong with newer ones.
    ///
    /// # Errors
    /// When there is none.
    pub fn load(out: &Path) -> Result<(Self, Vec<String>)> {
        let mut problems = Vec::new();
        for step in steps(out).into_iter().rev() {
            let dir = folder(out).join(format!("step-{step:08}"));
            match Self::read(&dir) {
                Ok(state) => {
                    let note = |problem| format!("warning: {problem}; going on from the state before it");
                    return Ok((state, problems.into_iter().map(note).collect()));
                }
                Err(error) => problems.push(failure::describe(&error)),
            }
        }
        if problems.is_empty() {
            bail!("{}: no state to resume from; start without --resume", out.display())
        }
        bail!("no state can be resumed from:\n  {}", problems.join("\n  "))
    }

    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(CHECKSUMS);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let sums: BTreeMap<String, String> =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        for file in files() {
            let path = dir.join(&file);
            ensure!(
                sums.get(&file) == Some(&checksum(&path)?),
                "{}: damaged: its SHA-256 is not the one in {CHECKSUMS}",
                path.display()
            );
        }
        let path = dir.join(POSITION);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let position = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let tensors =
            |name: &str| -> Result<Tensors> { Ok(checkpoint::read(&dir.join(file_of(name)), Which::Net)?) };
        Ok(Self {
            position,
            model: tensors("model")?,
            ema: tensors("ema")?,
            optimizer: tensors("optimizer")?,
        })
    }
}

fn file_of(part: &str) -> String {
    format!("{part}.safetensors")
}

/// The files of a state that have a checksum.
fn files() -> impl Iterator<Item = String> {
    ["model", "ema", "optimizer"].into_iter().map(file_of).chain([POSITION.to_string()])
}

fn checksum(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).with_context(|| path.display().to_string())?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn state(step: usize) -> State {
        let tensors =
            || Tensors::from([("w".to_string(), Tensor::new(&[step as f32], &Device::Cpu).unwrap())]);
        let position = Position { step, ..Default::default() };
        State { position, model: tensors(), ema: tensors(), optimizer: tensors() }
    }

    #[test]
    fn the_last_two_states_are_kept_and_the_newest_whole_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for step in [1, 2, 3] {
            state(step).save(dir.path()).unwrap();
        }
        assert_eq!(steps(dir.path()), [2, 3]);
        assert_eq!(State::load(dir.path()).unwrap().0.position.step, 3);
        let newest = folder(dir.path()).join("step-00000003/model.safetensors");
        let bytes = std::fs::read(&newest).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() - 2] ^= 1;
        for damaged in [&bytes[..bytes.len() - 2], &flipped, &[]] {
            std::fs::write(&newest, damaged).unwrap();
            assert_eq!(State::load(dir.path()).unwrap().0.position.step, 2);
        }
    }

    #[test]
    fn half_a_state_is_never_taken_for_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder(dir.path()).join(".step-00000009.tmp")).unwrap();
        assert!(!exists(dir.path()));
        assert!(State::load(dir.path()).err().unwrap().to_string().contains("without --resume"));
    }
}
