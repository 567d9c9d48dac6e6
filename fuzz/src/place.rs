//! Where a target's input lies as files: a folder in memory, one a process.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let folder = base.join(format!("star-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the input");
    folder
});

/// What stands between the files of an input that is several.
const BETWEEN: &[u8] = b"\n====\n";

/// The folder.
pub(crate) fn folder() -> &'static Path {
    &FOLDER
}

/// Writes a file into it.
pub(crate) fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.join(name);
    std::fs::write(&path, bytes).expect("a file for the input");
    path
}

/// The files of an input that is several; those that are not there are empty.
pub(crate) fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = data;
    std::array::from_fn(|i| {
        let cut = rest.windows(BETWEEN.len()).position(|bytes| bytes == BETWEEN).filter(|_| i + 1 < N);
        let (part, after) = cut.map_or((rest, &[][..]), |at| (&rest[..at], &rest[at + BETWEEN.len()..]));
        rest = after;
        part
    })
}

/// Whether paths in the input could lead out of the folder.
pub(crate) fn leads_out(data: &[u8]) -> bool {
    data.iter().any(|byte| matches!(byte, b'/' | b'\\'))
}
