//! Weights by name or address: fetched from the Hub, verified, converted once and kept as a folder in `star/` beside the Hub's own
//! cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use star_model::checkpoint::{CONFIG_FILE, Which};
use star_model::hub::registry::{self, Entry, Purpose};
use star_model::hub::{Address, Fetched, Hub, HubConfig};

use super::import::{Hints, import};
use super::kept::keep;
use super::progress::{Download, FetchProgress};

/// Weights on the Hub.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// Where they lie.
    address: Address,
    /// What is known of them.
    entry: Option<Entry>,
}

/// What `name` means on the Hub: an address, or where no file or folder is called so, a name of the registry.
///
/// # Errors
/// On an address that is none, and on a name that is neither a path nor in the registry.
pub(super) fn find(name: &Path) -> Result<Option<Remote>> {
    let remote = meant(name)?;
    if remote.is_none() && !name.exists() {
        let names: Vec<String> = registry::entries().into_iter().map(|entry| entry.name).collect();
        bail!(
            "{}: no such file or folder, and no published weights of that name (known are: {}; any file of the Hub is \
             hf:owner/repo[@revision]/file)",
            name.display(),
            names.join(", ")
        )
    }
    Ok(remote)
}

fn meant(name: &Path) -> Result<Option<Remote>> {
    let Some(text) = name.to_str() else { return Ok(None) };
    if Address::is_meant(text) {
        let address: Address = text.parse()?;
        let entry = registry::at(&address);
        return Ok(Some(Remote { address, entry }));
    }
    if name.exists() {
        return Ok(None);
    }
    let entry = registry::entries().into_iter().find(|entry| entry.name == text);
    Ok(entry.map(Remote::of))
}

/// Fetches the weights called `name` in the registry, or at an address, unless they were before: a folder that [`super::open`]
/// takes, or the file of a trunk that trainings start from.
///
/// # Errors
/// When there are none of that name, or they cannot be fetched, converted or kept.
pub fn fetch(name: &str, progress: &mut dyn FetchProgress) -> Result<PathBuf> {
    let remote = match meant(Path::new(name))? {
        Some(remote) => remote,
        None => Remote::of(registry::named(name)?),
    };
    match &remote.entry {
        Some(entry) if entry.purpose == Purpose::Trunk => remote.file(progress),
        _ => remote.folder(&Hints::default(), progress),
    }
}

impl Remote {
    fn of(entry: Entry) -> Self {
        Self { address: entry.address(), entry: Some(entry) }
    }

    fn hub() -> Result<Hub> {
        Ok(Hub::new(HubConfig::from_env()?)?)
    }

    /// The file as it was published, in the Hub's cache.
    ///
    /// # Errors
    /// As [`Hub::fetch`].
    pub(super) fn file(&self, progress: &mut dyn FetchProgress) -> Result<PathBuf> {
        Ok(self.fetched(&Self::hub()?, progress)?.path)
    }

    fn fetched(&self, hub: &Hub, progress: &mut dyn FetchProgress) -> Result<Fetched> {
        let mut begun = false;
        let mut report = |done: u64, total: u64| {
            if !std::mem::replace(&mut begun, true) {
                progress.begin(&self.download(total));
            }
            progress.advance(done, total);
        };
        let sha256 = self.entry.as_ref().and_then(|entry| entry.sha256.as_deref());
        let fetched = hub.fetch(&self.address, sha256, &mut report);
        if begun {
            progress.end();
        }
        let mirror = self.entry.as_ref().and_then(|entry| entry.mirror.as_ref());
        match (fetched, mirror) {
            // Only whoever asks for the mirror gets it: it is somebody else's copy, at a branch.
            (Err(error), Some(mirror)) if *mirror != self.address.to_string() => Err(anyhow!(
                "{error}. The same weights were seen at {mirror}; that address may be given instead"
            )),
            (fetched, _) => Ok(fetched?),
        }
    }

    fn download(&self, bytes: u64) -> Download {
        let entry = self.entry.as_ref();
        Download {
            address: self.address.to_string(),
            bytes,
            source: entry.map(|entry| entry.source.clone()),
            licence: entry.map(|entry| entry.licence.clone()),
            notice: entry.and_then(|entry| entry.notice.clone()),
        }
    }

    /// The folder of these weights, converted unless it was before.
    ///
    /// # Errors
    /// When they cannot be fetched, are no weights, are of another scheme, or cannot be kept.
    pub(super) fn folder(&self, hints: &Hints, progress: &mut dyn FetchProgress) -> Result<PathBuf> {
        let hub = Self::hub()?;
        let commit = hub.commit(&self.address)?;
        let folder = kept_folder(hub.config(), &self.address, &commit, hints);
        if folder.join(CONFIG_FILE).is_file() {
            return Ok(folder);
        }
        let fetched = self.fetched(&hub, progress)?;
        let folder = kept_folder(hub.config(), &self.address, &fetched.commit, hints);
        let known = Hints {
            scheme: hints.scheme.clone().or(self.entry.as_ref().and_then(|entry| entry.scheme.clone())),
            image_size: hints.image_size.or(self.entry.as_ref().map(|entry| entry.image_size)),
            which: hints.which,
        };
        let (mut converted, _) =
            import(&fetched.path, &known).with_context(|| format!("converting {}", self.address))?;
        let pinned = Address { revision: fetched.commit, ..self.address.clone() };
        converted.config.provenance.source = pinned.to_string();
        keep(&folder, |unfinished| Ok(converted.save(unfinished)?))
            .with_context(|| format!("keeping {}", folder.display()))?;
        Ok(folder)
    }
}

/// Where the conversion of a file of a commit is kept.
fn kept_folder(config: &HubConfig, address: &Address, commit: &str, hints: &Hints) -> PathBuf {
    let mut name = address.file.replace('/', "--");
    if hints.which == Which::Ema {
        name += "+net_ema";
    }
    if let Some(size) = hints.image_size {
        name += &format!("+{size}px");
    }
    config.home.join("star").join(address.repo.replace('/', "--")).join(commit).join(name)
}

#[cfg(test)]
mod tests {
    use super::super::scheme::scheme;
    use super::*;

    #[test]
    fn a_file_goes_before_a_name_of_the_registry() {
        assert!(find(Path::new("star-wflw")).unwrap().is_some_and(|remote| remote.entry.is_some()));
        assert!(meant(Path::new("no-such-weights")).unwrap().is_none());
        assert!(find(Path::new("no-such-weights")).unwrap_err().to_string().contains("star-wflw"));
        assert!(find(Path::new("Cargo.toml")).unwrap().is_none());
        assert!(find(Path::new("hf:nothing")).unwrap_err().to_string().contains("hf:owner/repo"));
    }

    #[test]
    fn every_entry_for_landmarks_names_a_scheme_that_there_is() {
        for entry in registry::entries() {
            if let Some(name) = entry.scheme {
                assert_eq!(scheme(&name).unwrap().name, name);
            }
        }
        assert_eq!(scheme("anime28").unwrap().keypoints, 28);
    }
}
