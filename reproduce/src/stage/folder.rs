//! A folder of results, which belongs to one plan.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use star_data::atomic;
use star_predict::files;

/// The plan that a folder's results belong to.
const PLAN_FILE: &str = "plan.json";

/// Folders of a run.
const FOLDERS: [&str; 7] = ["check", "fetch", "train", "records", "eval", "table", "report"];

/// What becomes of what a folder holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// The run goes on with it.
    GoOn,
    /// It is removed, trainings too.
    Remove,
    /// It is removed, but trainings are not: they took too long.
    RemoveAllButTrainings,
}

/// Starts a folder afresh, or goes on with what it holds where that belongs to a plan that is `alike`; it is of this plan from now on.
///
/// # Errors
/// When it belongs to another plan, holds what no run made or trainings that are not to be removed, or cannot be written.
pub(crate) fn prepare<P: Serialize + DeserializeOwned>(
    out: &Path,
    plan: &P,
    existing: Existing,
    alike: impl Fn(&P) -> bool,
) -> Result<()> {
    let path = out.join(PLAN_FILE);
    let write =
        || -> Result<()> { Ok(atomic::write(&path, serde_json::to_string_pretty(plan)?.as_bytes())?) };
    if existing == Existing::GoOn && path.exists() {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let earlier: P = serde_json::from_str(&text).with_context(|| {
            format!("{}: written by another version; choose another --out", path.display())
        })?;
        if !alike(&earlier) {
            bail!(
                "{}: the interrupted run had other options; give the same but for --seeds, or choose another --out",
                path.display()
            )
        }
        return write();
    }
    let folders = FOLDERS.map(|name| out.join(name));
    for dir in folders.iter().filter(|dir| dir.exists()) {
        if !path.exists() {
            bail!(
                "{}: is not of a run of this program ({PLAN_FILE} is missing beside it) and would be removed; choose another --out",
                dir.display()
            )
        }
        let trained = dir.ends_with("train") && has_folders(dir)? || dir.ends_with("records");
        if existing != Existing::Remove && trained {
            bail!(
                "{}: holds trainings; go on with --resume, choose another --out, or remove it to start afresh",
                dir.display()
            )
        }
    }
    for dir in folders.iter().filter(|dir| dir.exists()) {
        std::fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    files::make_dir(out)?;
    write()
}

fn has_folders(dir: &Path) -> Result<bool> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    Ok(entries.flatten().any(|entry| entry.path().is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(dir: &Path, plan: u32, existing: Existing) -> Result<()> {
        prepare(dir, &plan, existing, |earlier| *earlier == plan)
    }

    #[test]
    fn an_interrupted_run_of_other_options_is_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        alike(dir.path(), 1, Existing::Remove).unwrap();
        files::make_dir(&dir.path().join("train/job")).unwrap();
        alike(dir.path(), 1, Existing::GoOn).unwrap();
        let message = alike(dir.path(), 2, Existing::GoOn).unwrap_err().to_string();
        assert!(message.contains("other options"), "{message}");
        assert!(dir.path().join("train/job").exists());
        // Trainings of hours are not removed for a fresh start, those of minutes are.
        let message = alike(dir.path(), 2, Existing::RemoveAllButTrainings).unwrap_err().to_string();
        assert!(message.contains("holds trainings") && dir.path().join("train/job").is_dir(), "{message}");
        alike(dir.path(), 2, Existing::Remove).unwrap();
        assert!(!dir.path().join("train/job").exists());
    }

    #[test]
    fn what_no_run_made_is_not_removed() {
        let foreign = tempfile::tempdir().unwrap();
        files::make_dir(&foreign.path().join("report")).unwrap();
        for existing in [Existing::Remove, Existing::GoOn] {
            let message = alike(foreign.path(), 1, existing).unwrap_err().to_string();
            assert!(message.contains("plan.json is missing"), "{message}");
        }
        assert!(foreign.path().join("report").is_dir());
    }
}
