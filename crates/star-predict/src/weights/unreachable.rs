//! The Hub, as it is without the feature `hub`: out of reach.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::import::Hints;
use super::progress::FetchProgress;

/// Weights on the Hub: there are none.
pub(super) enum Remote {}

/// Nothing lies there; an address is refused.
pub(super) fn find(name: &Path) -> Result<Option<Remote>> {
    if name.to_str().is_some_and(|name| name.starts_with("hf:")) {
        bail!("{}: this build cannot reach the Hub: build it with --features hub", name.display())
    }
    Ok(None)
}

impl Remote {
    pub(super) fn file(&self, _: &mut dyn FetchProgress) -> Result<PathBuf> {
        match *self {}
    }

    pub(super) fn folder(&self, _: &Hints, _: &mut dyn FetchProgress) -> Result<PathBuf> {
        match *self {}
    }
}
