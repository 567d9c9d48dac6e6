//! Files of a packing: entries of a tar file, and JSON.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Error, Result, atomic};

/// Appends a file that is the same whoever packs it and whenever; returns where its bytes lie.
pub(super) fn append<W: Write>(
    archive: &mut tar::Builder<Hashing<W>>,
    name: &str,
    bytes: &[u8],
) -> io::Result<std::ops::Range<u64>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_path(name)?;
    header.set_cksum();
    archive.append(&header, bytes)?;
    // The bytes are followed by zeros up to a whole block.
    let end = archive.get_ref().length;
    let start = end - (bytes.len() as u64).next_multiple_of(512);
    Ok(start..start + bytes.len() as u64)
}

/// A writer that counts and hashes what goes through it.
pub(super) struct Hashing<W> {
    pub(super) inner: W,
    pub(super) hash: Sha256,
    pub(super) length: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A hash as text.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::content("record", "json", "plain values", error.to_string()))
}

/// Writes a value as JSON, atomically.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    atomic::write(path, &json(value)?)
}
