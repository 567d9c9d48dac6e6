//! `metrics.jsonl`: one JSON object a line, for machines and for curves.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use star_data::atomic;

use super::{EpochRecord, Record, StepRecord};

/// The open log.
pub struct Log {
    file: std::io::BufWriter<std::fs::File>,
}

impl Log {
    /// Opens the log of a run at `step`: records of later steps, which a resumed run will make again, are dropped.
    ///
    /// # Errors
    /// Names the file.
    pub fn open(path: &Path, step: usize) -> Result<Self> {
        if path.exists() {
            let kept: Vec<String> = read(path)?
                .iter()
                .filter(|record| match record {
                    Record::Step(r) => r.step <= step,
                    Record::Epoch(r) => r.step <= step,
                })
                .map(serde_json::to_string)
                .collect::<Result<_, _>>()?;
            let text: String = kept.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            atomic::write(path, text.as_bytes())?;
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Self { file: std::io::BufWriter::new(file) })
    }

    /// Appends a step.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn step(&mut self, record: &StepRecord) -> Result<()> {
        self.write(&Record::Step(record.clone()))
    }

    /// Appends an epoch.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.write(&Record::Epoch(record.clone()))?;
        self.flush()
    }

    fn write(&mut self, record: &Record) -> Result<()> {
        writeln!(self.file, "{}", serde_json::to_string(record)?).context("writing metrics.jsonl")
    }

    /// Brings everything to disk.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().context("writing metrics.jsonl")
    }
}

/// Reads a log; a last line that was cut off in the middle is passed over.
///
/// # Errors
/// Names the file and line that is no record.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines: Vec<&str> = text.lines().collect();
    let mut records = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(record) => records.push(record),
            Err(_) if i + 1 == lines.len() && !text.ends_with('\n') => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{}: line {}", path.display(), i + 1));
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::TERMS;
    use crate::records::StepFigures;

    fn figures() -> StepFigures {
        StepFigures { terms: vec![1.0; TERMS.len()], gradient_norm: 1.0 }
    }

    #[test]
    fn reopening_drops_what_a_resumed_run_will_make_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut log = Log::open(&path, 0).unwrap();
        for step in [10, 20, 30] {
            log.step(&StepRecord::new(0, step, 1e-3, &figures())).unwrap();
        }
        drop(log);
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"kind\":\"st").unwrap();
        drop(Log::open(&path, 20).unwrap());
        let steps: Vec<usize> = read(&path)
            .unwrap()
            .iter()
            .map(|record| match record {
                Record::Step(r) => r.step,
                Record::Epoch(r) => r.step,
            })
            .collect();
        assert_eq!(steps, [10, 20]);
    }
}
