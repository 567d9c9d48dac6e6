//! The stages, each of which leaves a `run.json` that says what it did, with what, where and how long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use star_cli::output;

use super::args::StageName;
use super::machine::{Machine, Versions};

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
    /// SHA-256 of each set of data and of weights that the stage saw.
    pub(crate) hashes: BTreeMap<String, String>,
    /// Hours of all attempts together.
    pub(crate) hours: f64,
    /// Seconds since 1970 when the first attempt began.
    pub(crate) began: u64,
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
        output::make_dir(&dir)?;
        let path = dir.join("run.json");
        let earlier: Option<Record> =
            std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
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
            hashes: earlier.as_ref().map(|earlier| earlier.hashes.clone()).unwrap_or_default(),
            hours: earlier.as_ref().map_or(0.0, |earlier| earlier.hours),
            began: earlier.map_or(now, |earlier| earlier.began),
        };
        let write = |record: &Record| -> Result<()> {
            output::write_renamed(&path, serde_json::to_string_pretty(record)?.as_bytes())
        };
        write(&record)?;
        let start = Instant::now();
        let done = work(&dir, &mut record.hashes);
        record.hours += start.elapsed().as_secs_f64() / 3600.0;
        record.state = match &done {
            Ok(_) => "finished".to_string(),
            Err(error) => star_cli::failure::describe(error),
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
        assert_eq!(stages.run(StageName::Fetch, |_, _| Ok(1)).unwrap(), None);
        assert!(!dir.path().join("fetch").exists());
    }
}
