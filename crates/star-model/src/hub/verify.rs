//! Whether what was downloaded is the file that was announced.

use std::path::Path;

use candle_core::Result;

use super::RemoteFile;
use super::digest::Tag;

/// What a downloaded file is.
pub(super) enum Verdict {
    /// The file that was announced.
    Whole,
    /// Shorter than announced, with its length in bytes.
    Short(u64),
    /// Another file, with the difference.
    Wrong(String),
}

/// Compares the file at `path` with what the server announced and, where it is given, with its SHA-256.
///
/// # Errors
/// When it cannot be read.
pub(super) fn verify(path: &Path, remote: &RemoteFile, sha256: Option<&str>) -> Result<Verdict> {
    let length = std::fs::metadata(path)?.len();
    if length < remote.size {
        return Ok(Verdict::Short(length));
    }
    if length > remote.size {
        return Ok(Verdict::Wrong(format!("expected {} bytes, got {length}", remote.size)));
    }
    let tag = sha256.map_or_else(|| Tag::new(&remote.tag), |digest| Tag::Sha256(digest.to_lowercase()));
    let wrong =
        |(expected, got): (String, String)| Verdict::Wrong(format!("expected digest {expected}, got {got}"));
    Ok(tag.mismatch(path)?.map_or(Verdict::Whole, wrong))
}

/// Removes a file of the cache, and what it points to.
pub(super) fn evict(path: &Path) {
    if let Ok(blob) = std::fs::canonicalize(path) {
        // A file that cannot be removed is found damaged again by whoever reads it next.
        let _ = std::fs::remove_file(blob);
    }
    let _ = std::fs::remove_file(path);
}
