//! What a result depends on beside its numbers: machine, versions, commit, files.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Name of the processor, where the system tells.
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// Gigabytes, where the system tells.
    pub(crate) memory_gb: Option<f64>,
    pub(crate) system: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let field = |file: &str, name: &str| -> Option<String> {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_string())
        };
        let kib = field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.strip_suffix("kB").and_then(|text| text.trim().parse::<f64>().ok()));
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "not known".to_string()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gb: kib.map(|kib| (kib * 1024.0 / 1e8).round() / 10.0),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

impl Machine {
    /// Processor and cores.
    pub(crate) fn short(&self) -> String {
        format!("{}, {} cores", self.processor, self.cores)
    }
}

/// What was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// Commit of the repository; `not known` outside of one, `+changes` where files differ from it.
    pub(crate) commit: String,
    pub(crate) star: String,
    pub(crate) rustc: String,
    /// Whether the program was built with optimisation.
    pub(crate) optimised: bool,
}

impl Versions {
    /// Asks git and rustc in `root`.
    pub(crate) fn of(root: &Path) -> Self {
        let ask = |program: &str, arguments: &[&str]| -> Option<String> {
            let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            output.status.success().then(|| text.trim().to_string())
        };
        let commit = ask("git", &["rev-parse", "HEAD"]);
        let changed = ask("git", &["status", "--porcelain", "--untracked-files=no"]);
        let marked = |commit: String| match changed.as_deref() {
            Some("") | None => commit,
            Some(_) => commit + "+changes",
        };
        Self {
            commit: commit.map_or_else(|| "not known".to_string(), marked),
            star: env!("CARGO_PKG_VERSION").to_string(),
            rustc: ask("rustc", &["--version"]).unwrap_or_else(|| "not known".to_string()),
            optimised: !cfg!(debug_assertions),
        }
    }
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).with_context(|| path.display().to_string())?;
    Ok(hexadecimal(&hash.finalize()))
}

/// SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_repository_the_commit_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Versions::of(dir.path()).commit, "not known");
        assert!(Machine::this().cores >= 1);
    }
}
