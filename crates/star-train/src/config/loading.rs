//! How the samples of a training come off the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::Dataset;
use star_data::cache::CropCache;
use star_data::loader::{SHUFFLE_BUFFER, Unreadable};
use star_data::region::Region;

/// How samples are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadingSection {
    /// What becomes of training samples that cannot be read: `fail` stops with the first, `skip` leaves them out and says which.
    pub unreadable: Unreadable,
    /// Of shards, the samples that a shuffle mixes with each other; only their indices are kept in memory.
    pub shuffle_buffer: usize,
    /// Keep decoded, pre-cropped samples on disk. Without it every epoch decodes the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSection>,
}

impl Default for LoadingSection {
    fn default() -> Self {
        Self { unreadable: Unreadable::Fail, shuffle_buffer: SHUFFLE_BUFFER, cache: None }
    }
}

/// Where decoded, pre-cropped samples are kept, and how much of the images about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSection {
    /// The folder, from that of the training file; several runs can share it.
    pub folder: PathBuf,
    /// Side of what is kept about a face, in sides of its box.
    #[serde(default = "default_reach")]
    pub reach: f64,
    /// Pixels above which the box is made smaller, 0 for never.
    #[serde(default)]
    pub largest_face: u32,
}

fn default_reach() -> f64 {
    Region::default().reach
}

impl LoadingSection {
    /// Checks that the numbers can be used.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.shuffle_buffer > 0, "data.loading.shuffle_buffer: expected at least 1, got 0");
        self.cache.iter().try_for_each(|cache| cache.region().validate().context("data.loading.cache"))
    }

    /// `samples` through the cache, where there is one; its folder starts from `base`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn cached(&self, samples: Arc<dyn Dataset>, base: &Path) -> Result<Arc<dyn Dataset>> {
        let Some(cache) = &self.cache else { return Ok(samples) };
        let cached = CropCache::new(samples, &base.join(&cache.folder), cache.region());
        Ok(Arc::new(cached.context("data.loading.cache")?))
    }
}

impl CacheSection {
    fn region(&self) -> Region {
        Region { reach: self.reach, largest_face: self.largest_face }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_cached_and_nothing_skipped_unless_asked_for() {
        let section: LoadingSection = toml::from_str("").unwrap();
        assert_eq!(section, LoadingSection::default());
        section.validate().unwrap();
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (text, hint) in
            [("shuffle_buffer = 0", "shuffle_buffer"), ("cache = { folder = \"a\", reach = 0.1 }", "cache")]
        {
            let section: LoadingSection = toml::from_str(text).unwrap();
            let message = format!("{:#}", section.validate().unwrap_err());
            assert!(message.contains(hint), "{message}");
        }
        assert!(toml::from_str::<LoadingSection>("unreadable = \"maybe\"").is_err());
    }
}
