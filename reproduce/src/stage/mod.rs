//! The stages, each of which leaves a `run.json` that says what it did, with what, where and how long.

mod folder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use star_data::atomic;
use star_predict::files;

use crate::args::StageName;
use crate::machine::{Machine, Versions};
pub(crate) use folder::{Existing, prepare};

/// What a stage leaves behind as `STAGE/run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) stage: StageName,
    pub(crate) profile: String,
    /// `finished`, or what keeps it from being so.
    pub(crate) state: String,
    /// The command line's meaning and what is trained.
    pub(crate) config: serde_json::Value,
    pub(crate) seeds: Vec<u64>,
    pub(crate) machine: Machine,
    pub(crate) device: String,
    pub(crate) versions: Versions,
    /// Commits of the programs of all attempts, the first first.
    pub(crate) commits: Vec<String>,
    /// SHA-256 of each set of data and of weights that this stage and those before it saw.
    pub(crate) hashes: BTreeMap<String, String>,
    /// Hours of all attempts together but those that were killed.
    pub(crate) hours: f64,
    /// Seconds since 1970 when the first attempt began.
    pub(crate) began: u64,
}

/// Name of a stage's record.
const RECORD: &str = "run.json";

fn read(path: &Path) -> Option<Record> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// What all stages of a run share.
pub(crate) struct Stages {
    pub(crate) out: PathBuf,
    pub(crate) profile: &'static str,
    pub(crate) config: serde_json::Value,
    pub(crate) seeds: Vec<u64>,
    pub(crate) device: String,
    pub(crate) versions: Versions,
    pub(crate) skip: Vec<StageName>,
}

impl Stages {
    /// Runs a stage in its folder unless it is to be skipped; `work` may add hashes.
    ///
    /// # Errors
    /// Those of `work`, after what was done so far is written down.
    pub(crate) fn run<T>(
        &self,
        stage: StageName,
        work: impl FnOnce(&Path, &mut BTreeMap<String, String>) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.skip.contains(&stage) {
            println!("== {}: skipped", stage.name());
            return Ok(None);
        }
        println!("== {}", stage.name());
        let dir = self.out.join(stage.name());
        files::make_dir(&dir)?;
        let path = dir.join(RECORD);
        let earlier = read(&path);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let mut record = Record {
            stage,
            profile: self.profile.to_string(),
            state: "under way".to_string(),
            config: self.config.clone(),
            seeds: self.seeds.clone(),
            machine: Machine::this(),
            device: self.device.clone(),
            versions: self.versions.clone(),
            commits: earlier.as_ref().map(|earlier| earlier.commits.clone()).unwrap_or_default(),
            hashes: earlier.as_ref().map(|earlier| earlier.hashes.clone()).unwrap_or_default(),
            hours: earlier.as_ref().map_or(0.0, |earlier| earlier.hours),
            began: earlier.map_or(now, |earlier| earlier.began),
        };
        if let Some(other) = record.commits.iter().find(|commit| **commit != self.versions.commit) {
            println!("note: part of what is there was made by another version of this program, {other}");
        }
        if !record.commits.contains(&self.versions.commit) {
            record.commits.push(self.versions.commit.clone());
        }
        for before in [StageName::Check, StageName::Fetch].into_iter().filter(|before| *before != stage) {
            if let Some(before) = read(&self.out.join(before.name()).join(RECORD)) {
                record.hashes.extend(before.hashes);
            }
        }
        let write = |record: &Record| -> Result<()> {
            Ok(atomic::write(&path, serde_json::to_string_pretty(record)?.as_bytes())?)
        };
        write(&record)?;
        let start = Instant::now();
        let done = work(&dir, &mut record.hashes);
        record.hours += start.elapsed().as_secs_f64() / 3600.0;
        record.state = match &done {
            Ok(_) => "finished".to_string(),
            Err(error) => star_predict::failure::describe(error),
        };
        write(&record)?;
        done.map(Some).with_context(|| format!("stage {}", stage.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(out: &Path, skip: Vec<StageName>) -> Stages {
        Stages {
            out: out.to_path_buf(),
            profile: "offline",
            config: serde_json::json!({"epochs": 1}),
            seeds: vec![0, 1],
            device: "cpu".into(),
            versions: Versions::of(out),
            skip,
        }
    }

    fn record(out: &Path) -> Record {
        serde_json::from_str(&std::fs::read_to_string(out.join("check/run.json")).unwrap()).unwrap()
    }

    #[test]
    fn a_stage_says_what_it_did_also_when_it_failed_and_adds_up_its_hours() {
        let dir = tempfile::tempdir().unwrap();
        let stages = stages(dir.path(), vec![StageName::Fetch]);
        let failed: Result<Option<()>> = stages.run(StageName::Check, |_, _| anyhow::bail!("no such set"));
        assert!(format!("{:#}", failed.unwrap_err()).contains("no such set"));
        let first = record(dir.path());
        assert!(first.state.contains("no such set") && first.hours > 0.0);
        let done = stages.run(StageName::Check, |_, hashes| {
            hashes.insert("set".into(), "abc".into());
            Ok(5)
        });
        assert_eq!(done.unwrap(), Some(5));
        let second = record(dir.path());
        assert_eq!((second.state.as_str(), second.hashes["set"].as_str()), ("finished", "abc"));
        assert!(second.hours > first.hours && second.began == first.began);
        assert_eq!(second.commits, first.commits);
        assert_eq!(second.commits.len(), 1);
        assert_eq!(stages.run(StageName::Fetch, |_, _| Ok(1)).unwrap(), None);
        // What was looked at is known to all that come after.
        stages.run(StageName::Train, |_, _| Ok(())).unwrap();
        assert_eq!(read(&dir.path().join("train/run.json")).unwrap().hashes["set"], "abc");
        assert!(!dir.path().join("fetch").exists());
    }
}
