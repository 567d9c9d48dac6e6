//! The bytes of a pickle as its instructions take them.

use candle_core::{Result, bail};

/// What is left of a pickle.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        match self.0.split_at_checked(count) {
            Some((head, rest)) => {
                self.0 = rest;
                Ok(head)
            }
            None => bail!("truncated pickle: {count} more bytes expected, {} left", self.0.len()),
        }
    }

    /// A whole number of up to eight bytes, the lowest first.
    pub(super) fn number(&mut self, bytes: usize) -> Result<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// The number by which an object is remembered, of up to four bytes.
    pub(super) fn id(&mut self, bytes: usize) -> Result<u32> {
        self.number(bytes).map(|id| id as u32)
    }

    /// As many bytes as the number of `width` bytes in front of them says.
    pub(super) fn counted(&mut self, width: usize) -> Result<&'a [u8]> {
        let count = self.number(width)? as usize;
        self.take(count)
    }

    /// Text up to the end of its line.
    pub(super) fn line(&mut self) -> Result<String> {
        let Some(length) = self.0.iter().position(|&byte| byte == b'\n') else {
            bail!("truncated pickle: an import has no end")
        };
        let line = self.take(length + 1)?;
        Ok(String::from_utf8_lossy(&line[..length]).trim_end_matches('\r').to_string())
    }
}
