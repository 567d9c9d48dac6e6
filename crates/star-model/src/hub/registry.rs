//! Published weights by name.

use candle_core::{Error, Result};
use serde::Deserialize;

use super::Address;

/// The table; facts with their sources.
const TABLE: &str = include_str!("weights.toml");

/// The purpose of a file of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A network that finds landmarks.
    Landmarks,
    /// A trunk to start a training from (`init_from`).
    Trunk,
}

/// One published file of weights.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name here.
    pub name: String,
    /// Its purpose.
    pub purpose: Purpose,
    /// Repository on the Hub.
    pub repo: String,
    /// The commit that the rest of the row is about.
    pub revision: String,
    /// Path inside the repository.
    pub file: String,
    /// `pickle` or `safetensors`.
    pub format: String,
    /// Name of the keypoint scheme, for landmarks.
    #[serde(default)]
    pub scheme: Option<String>,
    /// Side of the images it was trained on, in pixels.
    pub image_size: usize,
    /// Expected SHA-256 of the file, in hexadecimal.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Roughly how large it is, in megabytes.
    #[serde(default)]
    pub megabytes: Option<u64>,
    /// Terms it is published under.
    pub licence: String,
    /// Who published it, and with what.
    pub source: String,
    /// The same file elsewhere, as an address.
    #[serde(default)]
    pub mirror: Option<String>,
    /// What a person should know before using it.
    #[serde(default)]
    pub notice: Option<String>,
}

impl Entry {
    /// Where it lies.
    pub fn address(&self) -> Address {
        Address { repo: self.repo.clone(), revision: self.revision.clone(), file: self.file.clone() }
    }
}

/// All published weights of the table.
pub fn entries() -> Vec<Entry> {
    #[derive(Deserialize)]
    struct Table {
        weights: Vec<Entry>,
    }
    // The table is part of the program and a test reads it.
    toml::from_str::<Table>(TABLE).map(|table| table.weights).unwrap_or_default()
}

/// The entry called `name`.
///
/// # Errors
/// Lists all names.
pub fn named(name: &str) -> Result<Entry> {
    let all = entries();
    let names = all.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>().join(", ");
    let found = all.into_iter().find(|entry| entry.name == name);
    found.ok_or_else(|| Error::msg(format!("no published weights are called `{name}`; there are: {names}")))
}

/// The entry that an address is about, whichever of its places is named.
pub fn at(address: &Address) -> Option<Entry> {
    let same = |entry: &Entry| {
        let mirror = entry.mirror.as_ref().and_then(|mirror| mirror.parse::<Address>().ok());
        entry.address() == *address || mirror.as_ref() == Some(address)
    };
    entries().into_iter().find(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_every_row_can_be_fetched() {
        let all = entries();
        assert!(all.len() >= 4);
        for entry in &all {
            let address = entry.address();
            assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            assert!(address.is_pinned(), "{}: a branch may change under the row", entry.name);
            assert!(entry.sha256.as_ref().is_none_or(|digest| digest.len() == 64), "{}", entry.name);
            assert_eq!(entry.purpose == Purpose::Landmarks, entry.scheme.is_some(), "{}", entry.name);
            assert!(entry.mirror.as_ref().is_none_or(|mirror| mirror.parse::<Address>().is_ok()));
            assert_eq!(named(&entry.name).unwrap().file, entry.file);
            assert_eq!(at(&address).unwrap().name, entry.name);
        }
        let message = named("nothing").unwrap_err().to_string();
        assert!(message.contains("`nothing`") && message.contains("star-wflw"), "{message}");
    }
}
