//! Results to a file or to standard output, messages to standard error; nothing that is there is written over unasked.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use star_data::atomic;

/// Whether `--overwrite` was given.
static OVERWRITE: AtomicBool = AtomicBool::new(false);

/// Allows, or not, that files are replaced.
pub(crate) fn overwrite(allowed: bool) {
    OVERWRITE.store(allowed, Ordering::Relaxed);
}

/// Says a line to a person; one that cannot be written is lost.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Checks, before the work, that a result may be written to `path`: nothing is there but a stream, or `--overwrite` was given, and it is
/// none of `inputs`.
///
/// # Errors
/// Names the file and the way out.
pub(crate) fn claim<P: AsRef<Path>>(path: &Path, inputs: &[P]) -> Result<()> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(()) };
    ensure!(!found.is_dir(), "{}: expected the name of a file, this is a folder", path.display());
    if path == Path::new("-") || atomic::is_stream(path) {
        return Ok(());
    }
    let here = std::fs::canonicalize(path).ok();
    let is_input = |input: &P| here.is_some() && std::fs::canonicalize(input).ok() == here;
    ensure!(!inputs.iter().any(is_input), "{}: is an input, and is not written over", path.display());
    ensure!(
        OVERWRITE.load(Ordering::Relaxed),
        "{}: is there already; name another file, or give --overwrite",
        path.display()
    );
    Ok(())
}

/// The same for files in a folder.
///
/// # Errors
/// As [`claim`].
pub(crate) fn claim_in<P: AsRef<Path>>(folder: &Path, names: &[&str], inputs: &[P]) -> Result<()> {
    names.iter().try_for_each(|name| claim(&folder.join(name), inputs))
}

/// Writes `text` to `path`, or to standard output where it is `-`.
///
/// # Errors
/// Names the file.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    if path == Path::new("-") {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")
    } else {
        Ok(atomic::write(path, text.as_bytes())?)
    }
}

/// Lines that can be read as soon as they are written, and stay when the program is stopped.
pub(crate) struct Lines {
    name: String,
    to: Box<dyn Write>,
}

impl Lines {
    /// Lines to `path`, or to standard output where it is `-`.
    ///
    /// # Errors
    /// Names the file.
    pub(crate) fn to(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { name: "standard output".into(), to: Box::new(std::io::stdout()) });
        }
        let file = File::options().write(true).create(true).truncate(true).open(path);
        let name = path.display().to_string();
        Ok(Self { to: Box::new(file.with_context(|| name.clone())?), name })
    }

    /// Writes a line.
    ///
    /// # Errors
    /// Names the file.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        let whole = format!("{text}\n");
        let written = self.to.write_all(whole.as_bytes()).and_then(|()| self.to.flush());
        written.with_context(|| format!("writing to {}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_written_over_and_an_input_never() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("there"), b"x").unwrap();
        let none: [&Path; 0] = [];
        claim(&at("new"), &none).unwrap();
        claim(Path::new("/dev/null"), &none).unwrap();
        assert!(claim(&at("there"), &none).unwrap_err().to_string().contains("--overwrite"));
        assert!(claim(dir.path(), &none).unwrap_err().to_string().contains("folder"));
        assert!(claim_in(dir.path(), &["new", "there"], &none).is_err());
        let input = dir.path().join(".").join("there");
        assert!(claim(&at("there"), &[input]).unwrap_err().to_string().contains("is an input"));
    }
}
