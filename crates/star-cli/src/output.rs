//! Text to a file or to standard output.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use star_data::atomic;

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
