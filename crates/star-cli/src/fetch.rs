//! Weights by name or address: fetched from the Hub, verified, converted once and kept as a folder.
//!
//! Folders lie in `star/` beside the Hub's own cache and appear whole: they are written under another name and renamed,
//! so a run that is killed leaves nothing that the next one takes for complete.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use star_model::checkpoint::{CONFIG_FILE, Which};
use star_model::hub::registry::{self, Entry, Use};
use star_model::hub::{Address, Fetched, Hub, HubConfig};

use crate::args::FetchArgs;
use crate::{output, progress, weights};

/// How the folders that are being written are called until they are whole.
const UNFINISHED: &str = ".converting-";

/// Age in seconds at which such a folder belongs to no run that still lives.
const STALE: u64 = 24 * 3600;

/// Weights on the Hub.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where they lie.
    pub address: Address,
    /// What is known of them.
    pub entry: Option<Entry>,
}

/// What `name` means on the Hub: an address, or where no file or folder is called so, a name of the registry.
///
/// # Errors
/// On an address that is none.
pub fn remote(name: &Path) -> Result<Option<Remote>> {
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
    Ok(entry.map(|entry| Remote { address: entry.address(), entry: Some(entry) }))
}

/// The names of the registry.
pub fn names() -> Vec<String> {
    registry::entries().into_iter().map(|entry| entry.name).collect()
}

impl Remote {
    fn hub() -> Result<Hub> {
        Ok(Hub::new(HubConfig::from_env()?)?)
    }

    /// The file as it was published, in the Hub's cache.
    ///
    /// # Errors
    /// As [`Hub::fetch`].
    pub fn file(&self) -> Result<PathBuf> {
        Ok(self.fetched(&Self::hub()?)?.path)
    }

    fn fetched(&self, hub: &Hub) -> Result<Fetched> {
        let bar = progress::bytes();
        let mut noticed = false;
        let mut report = |done: u64, total: u64| {
            if !noticed {
                noticed = true;
                bar.suspend(|| self.notice(total));
            }
            bar.set_length(total);
            bar.set_position(done);
        };
        let sha256 = self.entry.as_ref().and_then(|entry| entry.sha256.as_deref());
        let fetched = hub.fetch(&self.address, sha256, &mut report);
        bar.finish_and_clear();
        let mirror = self.entry.as_ref().and_then(|entry| entry.mirror.as_ref());
        match (fetched, mirror) {
            // Only whoever asks for the mirror gets it: it is somebody else's copy, at a branch.
            (Err(error), Some(mirror)) if *mirror != self.address.to_string() => Err(anyhow!(
                "{error}. The same weights were seen at {mirror}; that address may be given instead"
            )),
            (fetched, _) => Ok(fetched?),
        }
    }

    /// Says what is being downloaded and under which terms.
    fn notice(&self, bytes: u64) {
        eprintln!("fetching {} ({:.1} MB)", self.address, bytes as f64 / 1e6);
        if let Some(entry) = &self.entry {
            eprintln!("  {}; licence: {}", entry.source, entry.licence);
            if let Some(notice) = &entry.notice {
                eprintln!("  {notice}");
            }
        }
    }

    /// The folder of these weights, converted unless it was before.
    ///
    /// # Errors
    /// When they cannot be fetched, are no weights, are of another scheme, or cannot be kept.
    pub fn folder(&self, which: Which, scheme: Option<&str>, image_size: Option<usize>) -> Result<PathBuf> {
        let hub = Self::hub()?;
        let commit = hub.commit(&self.address)?;
        let folder = kept_folder(hub.config(), &self.address, &commit, which, image_size);
        if folder.join(CONFIG_FILE).is_file() {
            return Ok(folder);
        }
        let fetched = self.fetched(&hub)?;
        let folder = kept_folder(hub.config(), &self.address, &fetched.commit, which, image_size);
        let size = image_size.or(self.entry.as_ref().map(|entry| entry.image_size));
        let scheme = scheme.or(self.entry.as_ref().and_then(|entry| entry.scheme.as_deref()));
        let (mut converted, _) = weights::import(&fetched.path, which, scheme, size)
            .with_context(|| format!("converting {}", self.address))?;
        let pinned = Address { revision: fetched.commit, ..self.address.clone() };
        converted.config.provenance.source = pinned.to_string();
        keep(&folder, |unfinished| Ok(converted.save(unfinished)?))
            .with_context(|| format!("keeping {}", folder.display()))?;
        Ok(folder)
    }
}

/// Where the conversion of a file of a commit is kept.
fn kept_folder(
    config: &HubConfig,
    address: &Address,
    commit: &str,
    which: Which,
    image_size: Option<usize>,
) -> PathBuf {
    let mut name = address.file.replace('/', "--");
    if which == Which::Ema {
        name += "+net_ema";
    }
    if let Some(size) = image_size {
        name += &format!("+{size}px");
    }
    config.home.join("star").join(address.repo.replace('/', "--")).join(commit).join(name)
}

/// Makes `folder` by `write` under another name and renames it; what killed runs left behind goes.
fn keep(folder: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = folder.parent().context("a folder without a parent")?;
    output::make_dir(parent)?;
    for entry in std::fs::read_dir(parent)?.flatten() {
        let old = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED)
            && old.is_some_and(|age| age.as_secs() > STALE)
        {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent)?;
    write(unfinished.path())?;
    readable_by_others(unfinished.path())?;
    match std::fs::rename(unfinished.path(), folder) {
        // Another run was faster, with the same content.
        Err(_) if folder.join(CONFIG_FILE).is_file() => Ok(()),
        renamed => Ok(renamed?),
    }
}

/// Lets everybody read a folder that was made as a temporary one.
#[cfg(unix)]
fn readable_by_others(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// `star fetch` and `cargo xtask fetch-weights`.
///
/// # Errors
/// At the first of the weights that cannot be had.
pub fn run(args: &FetchArgs) -> Result<()> {
    if args.list {
        return output::write_text(Path::new("-"), &list());
    }
    for name in &args.names {
        let remote = remote(Path::new(name))?.map_or_else(
            || registry::named(name).map(|entry| Remote { address: entry.address(), entry: Some(entry) }),
            Ok,
        )?;
        let trunk = remote.entry.as_ref().is_some_and(|entry| entry.r#use == Use::Trunk);
        let path = if trunk { remote.file()? } else { remote.folder(Which::Net, None, None)? };
        println!("{name}\t{}", path.display());
    }
    Ok(())
}

fn list() -> String {
    let mut text = String::from("name\tuse\tscheme\tlicence\taddress\tsource\n");
    for entry in registry::entries() {
        let used = match entry.r#use {
            Use::Landmarks => "--weights",
            Use::Trunk => "init_from",
        };
        let scheme = entry.scheme.clone().unwrap_or_else(|| "-".to_string());
        text += &format!(
            "{}\t{used}\t{scheme}\t{}\t{}\t{}\n",
            entry.name,
            entry.licence,
            entry.address(),
            entry.source
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_finished_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("repo/commit/a.pkl");
        let failed = keep(&folder, |unfinished| {
            std::fs::write(unfinished.join(CONFIG_FILE), "{}")?;
            anyhow::bail!("killed here")
        });
        assert!(failed.is_err() && !folder.exists());
        keep(&folder, |unfinished| Ok(std::fs::write(unfinished.join(CONFIG_FILE), "{}")?)).unwrap();
        assert!(folder.join(CONFIG_FILE).is_file());
        assert_eq!(std::fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_goes_before_a_name_of_the_registry() {
        assert!(remote(Path::new("star-wflw")).unwrap().is_some_and(|remote| remote.entry.is_some()));
        assert!(remote(Path::new("no-such-weights")).unwrap().is_none());
        assert!(remote(Path::new("Cargo.toml")).unwrap().is_none());
        assert!(remote(Path::new("hf:nothing")).unwrap_err().to_string().contains("hf:owner/repo"));
    }

    #[test]
    fn every_entry_for_landmarks_names_a_scheme_that_there_is() {
        for entry in registry::entries() {
            if let Some(name) = entry.scheme {
                assert_eq!(weights::scheme(&name).unwrap().name, name);
            }
        }
        assert_eq!(weights::scheme("anime28").unwrap().keypoints, 28);
    }

    #[test]
    fn the_list_names_every_entry() {
        let list = list();
        assert_eq!(list.lines().count(), 1 + registry::entries().len());
        assert!(
            list.contains("star-wflw\t--weights\twflw98") && list.contains("hrnet-w18-imagenet\tinit_from")
        );
    }
}
