//! Where shards are and where results go: a folder, or, with the feature `object-store`, a URL.

use std::path::{Path, PathBuf};

#[cfg(not(feature = "object-store"))]
use anyhow::bail;
use anyhow::{Result, ensure};

use super::place::{Folder, Place};
#[cfg(feature = "object-store")]
use super::store::Store;
use crate::files;

/// Endings of shards.
const ENDINGS: [&str; 2] = [".tar", ".parquet"];

fn is_shard(name: &str) -> bool {
    !name.starts_with(['.', '_']) && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The shards that `text` means, sorted by name, and where they are.
///
/// # Errors
/// When there are none, or this build cannot reach them.
pub(super) fn input(text: &str) -> Result<(Box<dyn Place>, Vec<String>)> {
    let (place, only) = match local(text) {
        Some(path) if path.is_file() => {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
            ensure!(is_shard(&name), "{text}: expected a shard ({}) or a folder of them", ENDINGS.join(", "));
            let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (Box::new(Folder(folder.to_path_buf())) as Box<dyn Place>, Some(name))
        }
        Some(path) => (Box::new(Folder(path)) as Box<dyn Place>, None),
        None => match text.rsplit_once('/') {
            Some((before, name)) if is_shard(name) => (remote(before)?, Some(name.to_string())),
            _ => (remote(text)?, None),
        },
    };
    let mut names = match only {
        Some(name) => vec![name],
        None => place.names()?,
    };
    names.retain(|name| is_shard(name));
    names.sort();
    ensure!(!names.is_empty(), "{text}: no shards there (looked for {})", ENDINGS.join(", "));
    Ok((place, names))
}

/// Where results go; a folder is made.
///
/// # Errors
/// When it cannot be, or this build cannot reach it.
pub(super) fn output(text: &str) -> Result<Box<dyn Place>> {
    match local(text) {
        Some(path) => {
            files::make_dir(&path)?;
            Ok(Box::new(Folder(path)))
        }
        None => remote(text),
    }
}

/// Whether both mean one place.
pub(super) fn same(input: &str, output: &str) -> bool {
    match (local(input), local(output)) {
        (Some(a), Some(b)) => {
            let folder = if a.is_file() { a.parent().map(Path::to_path_buf).unwrap_or_default() } else { a };
            let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
            matches!((folder.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
        }
        _ => input.trim_end_matches('/') == output.trim_end_matches('/'),
    }
}

/// The path that is meant, unless it is a URL of some other place.
fn local(text: &str) -> Option<PathBuf> {
    match text.split_once("://") {
        Some(("file", path)) => Some(PathBuf::from(path)),
        Some(_) => None,
        None => Some(PathBuf::from(text)),
    }
}

#[cfg(feature = "object-store")]
fn remote(url: &str) -> Result<Box<dyn Place>> {
    Ok(Box::new(Store::open(url)?))
}

#[cfg(not(feature = "object-store"))]
fn remote(url: &str) -> Result<Box<dyn Place>> {
    bail!(
        "{url}: this build has no object storage: build it with --features object-store, or copy the shards"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_shards_in_order_and_a_file_itself() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.tar", "a.parquet", "index.json", "_done.parquet", ".star-1.tmp", "b.index"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let folder = dir.path().display().to_string();
        for text in [folder.clone(), format!("file://{folder}")] {
            let (place, names) = input(&text).unwrap();
            assert_eq!(names, ["a.parquet", "b.tar"]);
            assert_eq!(place.read("b.tar").unwrap(), b"b.tar");
        }
        assert_eq!(input(&format!("{folder}/b.tar")).unwrap().1, ["b.tar"]);
        assert!(same(&folder, &format!("{folder}/")) && same(&format!("{folder}/b.tar"), &folder));
        assert!(!same(&folder, &format!("{folder}/out")));
    }

    #[test]
    fn places_without_shards_say_what_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().display().to_string();
        let refused = |text: &str| format!("{:#}", input(text).err().unwrap());
        assert!(refused(&text).contains("no shards there (looked for .tar, .parquet)"));
        assert!(refused(&format!("{text}/none")).contains("none"));
        std::fs::write(dir.path().join("a.png"), "").unwrap();
        assert!(refused(&format!("{text}/a.png")).contains("expected a shard"));
        if !cfg!(feature = "object-store") {
            assert!(refused("s3://bucket/shards").contains("--features object-store"));
        }
    }
}
