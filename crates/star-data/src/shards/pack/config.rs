//! How a set is packed.

use serde::{Deserialize, Serialize};

use crate::loader::Unreadable;
use crate::region::Region;
use crate::{Error, Result};

/// How images are written that are not copied as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Without loss.
    #[default]
    Png,
    /// Smaller and faster to read, with the loss of that quality, 1 to 100.
    Jpeg(u8),
    /// No compression: the fastest to read, the largest.
    Ppm,
}

/// How a set is packed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackConfig {
    /// Samples a shard.
    pub per_shard: usize,
    /// Keep only the part of each image about its face; `None` copies whole files of JPEG, PNG and PNM as they are, byte for byte,
    /// unless they were annotated turned.
    pub region: Option<Region>,
    /// How images are written that have no files, are cut out of theirs, or are not copied.
    pub encoding: Encoding,
    /// Seed to shuffle the set by before it is packed: neighbours, such as the frames of a video, then lie in different shards.
    pub shuffle: Option<u64>,
    /// What becomes of a sample that cannot be read.
    pub unreadable: Unreadable,
}

impl Default for PackConfig {
    fn default() -> Self {
        Self {
            per_shard: 1000,
            region: None,
            encoding: Encoding::Png,
            shuffle: None,
            unreadable: Unreadable::Fail,
        }
    }
}

impl PackConfig {
    /// Checks every field.
    pub(super) fn validate(&self) -> Result<()> {
        let refuse = |field, expected: &str, got: usize| {
            Err(Error::Config { field, expected: expected.into(), got: got.to_string() })
        };
        match self.encoding {
            _ if self.per_shard == 0 => refuse("per_shard", "at least 1", 0),
            Encoding::Jpeg(quality) if !(1..=100).contains(&quality) => {
                refuse("encoding", "a JPEG quality from 1 to 100", quality.into())
            }
            _ => self.region.map_or(Ok(()), |region| region.validate()),
        }
    }
}
