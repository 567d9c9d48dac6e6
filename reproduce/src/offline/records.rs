//! Records of trainings on disk: a file each while a run is under way, one file with a line each to keep and to go on from.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use star_data::atomic;
use star_predict::files;

use super::design::{Design, Job};
use super::measure::Record;

/// The file that a report leaves of all records.
pub(crate) const LINES: &str = "records.jsonl";

/// The records of a run in its folder.
pub(super) struct Records<'a> {
    design: &'a Design,
    dir: PathBuf,
}

impl<'a> Records<'a> {
    /// Those of a run in `out`.
    pub(super) fn new(design: &'a Design, out: &Path) -> Self {
        Self { design, dir: out.join("records") }
    }

    fn path(&self, job: &Job) -> PathBuf {
        self.dir.join(format!("{}.json", job.id()))
    }

    /// The record of a training, if it was done.
    ///
    /// # Errors
    /// When it cannot be read, or is of other settings.
    pub(super) fn of(&self, job: &Job) -> Result<Option<Record>> {
        let path = self.path(job);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let record: Record = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        self.check(&record).with_context(|| path.display().to_string())?;
        Ok(Some(record))
    }

    fn check(&self, record: &Record) -> Result<()> {
        let wanted = self.design.settings(&record.job)?;
        ensure!(
            record.settings == wanted,
            "{}: settings: expected the hash {wanted}, got {}: trained or scored otherwise; leave it out, or choose another --out",
            record.job.title(),
            record.settings
        );
        Ok(())
    }

    /// Writes a record down.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep(&self, record: &Record) -> Result<()> {
        files::make_dir(&self.dir)?;
        Ok(atomic::write(&self.path(&record.job), serde_json::to_string(record)?.as_bytes())?)
    }

    /// Takes over the records of `file`, as [`lines`] writes them: those of trainings of this run.
    ///
    /// # Errors
    /// With the line that is not a record, or of other settings.
    pub(super) fn take(&self, file: &Path) -> Result<usize> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let jobs = self.design.jobs();
        let mut taken = 0;
        for (number, record) in
            read(&text).with_context(|| file.display().to_string())?.into_iter().enumerate()
        {
            if jobs.contains(&record.job) {
                self.check(&record).with_context(|| format!("{}, line {}", file.display(), number + 1))?;
                self.keep(&record)?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// Every record that there is, in the order of `jobs`.
    ///
    /// # Errors
    /// As [`Records::of`].
    pub(super) fn all(&self, jobs: &[Job]) -> Result<Vec<Record>> {
        jobs.iter().filter_map(|job| self.of(job).transpose()).collect()
    }
}

/// Records as text, a line each.
///
/// # Errors
/// Never in practice: records can be written.
pub(crate) fn lines(records: &[Record]) -> Result<String> {
    let mut text = String::new();
    for record in records {
        text += &serde_json::to_string(record)?;
        text.push('\n');
    }
    Ok(text)
}

/// The records of such a text.
///
/// # Errors
/// With the line that is none.
pub(crate) fn read(text: &str) -> Result<Vec<Record>> {
    let record = |(number, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("line {}: expected the record of a training", number + 1))
    };
    text.lines().enumerate().map(record).collect()
}
