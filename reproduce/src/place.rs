//! Where the repository is, and where results go that nobody chose a folder for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().unwrap_or(member).to_path_buf()
}

/// The folder that cargo builds in, which `cargo xtask` hands down.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The text of a file of the repository.
///
/// # Errors
/// When it cannot be read, naming it.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = root().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_crate_is_in_the_repository_that_is_found() {
        assert!(read("reproduce/src/place.rs").unwrap().starts_with("//! Where the repository is"));
        let missing = read("no/such/file").unwrap_err().to_string();
        assert!(missing.contains("no/such/file"), "{missing}");
    }
}
