//! What rank 0 does before a run.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use star_data::atomic;
use star_predict::files;

use crate::settings::Settings;
use crate::state::{self, State};
use crate::trainer::Trainer;

/// What a run was started with, kept in its folder.
const DESCRIPTION: &str = "run.json";

/// The contents of `run.json`.
#[derive(Serialize, Deserialize)]
struct Description {
    settings: Settings,
    /// What the caller has said of data, network and loss.
    description: serde_json::Value,
}

/// Makes the folder and keeps the settings in it; the state to resume from, where the run is to be resumed.
///
/// # Errors
/// When the folder holds a run that is not to be resumed, no state to resume from, or that of a run with other settings.
pub(super) fn begin(trainer: &mut Trainer, out: &Path) -> Result<Option<State>> {
    if !trainer.resume && state::exists(out) {
        bail!("{} already holds a run: add --resume to go on with it, or choose another --out", out.display())
    }
    let saved = if trainer.resume {
        let (state, notes) = State::load(out)?;
        notes.iter().for_each(|note| trainer.progress.note(note));
        Some(state)
    } else {
        None
    };
    keep_description(trainer, out)?;
    Ok(saved)
}

/// Keeps what the run is started with, and refuses to resume it with something else (more epochs are fine where the learning rate
/// does not depend on their number).
fn keep_description(trainer: &Trainer, out: &Path) -> Result<()> {
    let path = out.join(DESCRIPTION);
    if trainer.resume && path.exists() {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let started: Description = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        ensure!(
            started.settings.fixed() == trainer.settings.fixed()
                && started.description == trainer.description,
            "the configuration differs from the one this run was started with, {}; only epochs (under a constant or stepped \
             learning rate), workers, save_minutes, tensorboard and early_stop may change on --resume",
            path.display()
        );
    }
    files::make_dir(out)?;
    let description =
        Description { settings: trainer.settings.clone(), description: trainer.description.clone() };
    atomic::write(&path, serde_json::to_string_pretty(&description)?.as_bytes())?;
    Ok(trainer.files.iter().try_for_each(|(name, text)| atomic::write(&out.join(name), text.as_bytes()))?)
}
