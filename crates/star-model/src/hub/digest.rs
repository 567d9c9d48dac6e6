//! Whether a file's content fits its name in the cache.

use std::io::Read;
use std::path::Path;

use candle_core::{Error, Result};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn feed(path: &Path, mut digest: impl Digest) -> Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&digest.finalize())),
            count => digest.update(&buffer[..count]),
        }
    }
}

/// SHA-256 of a file's content, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    feed(path, Sha256::new()).map_err(|error| Error::msg(format!("{}: {error}", path.display())))
}

/// The digest of a file's content that the Hub's entity tag holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// Large files: SHA-256.
    Sha256(String),
    /// Small files: git's digest of a blob.
    Git(String),
    /// Neither: nothing can be checked by it.
    Other,
}

impl Tag {
    pub(super) fn new(tag: &str) -> Self {
        let hexadecimal = tag.bytes().all(|b| b.is_ascii_hexdigit());
        match tag.len() {
            64 if hexadecimal => Self::Sha256(tag.to_lowercase()),
            40 if hexadecimal => Self::Git(tag.to_lowercase()),
            _ => Self::Other,
        }
    }

    /// The digest that a file should have and the one it has, where they differ.
    pub(super) fn mismatch(&self, path: &Path) -> Result<Option<(String, String)>> {
        let (expected, got) = match self {
            Self::Sha256(expected) => (expected, sha256(path)?),
            Self::Git(expected) => {
                let length = std::fs::metadata(path)?.len();
                (expected, feed(path, Sha1::new_with_prefix(format!("blob {length}\0")))?)
            }
            Self::Other => return Ok(None),
        };
        Ok((*expected != got).then(|| (expected.clone(), got)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha256sum_and_of_git() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // sha256sum and `git hash-object` of a file with the three letters abc
        let large = Tag::new("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let small = Tag::new("f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f");
        assert!(matches!((&large, &small), (Tag::Sha256(_), Tag::Git(_))));
        assert_eq!(large.mismatch(&path).unwrap(), None);
        assert_eq!(small.mismatch(&path).unwrap(), None);
        assert_eq!(Tag::new("W/\"x\"").mismatch(&path).unwrap(), None);
        std::fs::write(&path, "abd").unwrap();
        assert!(large.mismatch(&path).unwrap().is_some() && small.mismatch(&path).unwrap().is_some());
    }
}
