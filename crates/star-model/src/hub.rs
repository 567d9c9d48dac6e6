//! Files from the Hugging Face Hub, resumed where they were cut, verified, and kept in the Hub's common cache.
//!
//! The only file of this toolkit that reaches the network. What lies in the cache under a digest is checked against it
//! before it is handed out, so a file that is cut, damaged or half-written is fetched again and never believed.

mod address;
mod cache;
mod config;
mod digest;
mod download;
mod failure;
pub mod registry;
mod verify;

use std::path::PathBuf;

use candle_core::{Error, Result, bail};
use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use address::plain_name;
pub use address::{Address, SCHEME};
use config::ENDPOINT;
pub use config::HubConfig;
use digest::Tag;
pub use digest::sha256;
use failure::Failure;

/// A file in the cache, whole and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its place in the cache.
    pub path: PathBuf,
    /// The commit that it belongs to.
    pub commit: String,
}

/// The Hub and its cache.
pub struct Hub {
    config: HubConfig,
    cache: Cache,
    api: Api,
}

/// A file as the server announces it, before any of it is fetched.
struct RemoteFile {
    commit: String,
    tag: String,
    size: u64,
}

impl Hub {
    /// Prepares access; nothing is sent yet.
    ///
    /// # Errors
    /// When the endpoint is no address.
    pub fn new(config: HubConfig) -> Result<Self> {
        if !(config.endpoint.starts_with("https://") || config.endpoint.starts_with("http://")) {
            bail!("HF_ENDPOINT: expected an address such as {ENDPOINT}, got `{}`", config.endpoint)
        }
        let cache = Cache::new(config.cache.clone());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(config.endpoint.trim_end_matches('/').to_string())
            .with_token(config.token.clone())
            .with_user_agent("star", env!("CARGO_PKG_VERSION"))
            .with_progress(false)
            .build()
            .map_err(|error| Error::msg(format!("preparing for {}: {error}", config.endpoint)))?;
        Ok(Self { config, cache, api })
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    /// The commit that `address` means now: its own where it is pinned; else the one that the server names; and where the server
    /// is not asked or not reached, the last one that was fetched.
    ///
    /// # Errors
    /// Names the reason why there is no commit, and what to do.
    pub fn commit(&self, address: &Address) -> Result<String> {
        if address.is_pinned() {
            return Ok(address.revision.clone());
        }
        match self.remote_file(address) {
            Ok(remote) => Ok(remote.commit),
            Err(refusal) => match self.cached(address) {
                Some(cached) if refusal.transient => Ok(cached.commit),
                _ => Err(refusal.error),
            },
        }
    }

    /// The file at `address`, from the cache where it is there and whole, else from the Hub. `sha256` is its expected digest;
    /// `progress` is called with the bytes received so far and the bytes in all.
    ///
    /// # Errors
    /// Names what went wrong (offline and not cached, not allowed, not found, no space, cut off, not the file that was
    /// expected) and what to do. What was fetched before a cut is kept and the next call goes on from there.
    pub fn fetch(
        &self,
        address: &Address,
        sha256: Option<&str>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Fetched> {
        let cached = self.cached(address).map(|cached| self.verified(cached, sha256)).transpose()?.flatten();
        if let Some(cached) = &cached
            && (address.is_pinned() || self.config.offline)
        {
            return Ok(cached.clone());
        }
        let remote = match self.remote_file(address) {
            Ok(remote) => remote,
            Err(refusal) => match cached {
                // A branch may have moved on, but what there is beats nothing.
                Some(cached) if refusal.transient => return Ok(cached),
                _ => return Err(refusal.error),
            },
        };
        let is_current = |cached: &Fetched| {
            cached.commit == remote.commit
                && std::fs::metadata(&cached.path).is_ok_and(|data| data.len() == remote.size)
        };
        if let Some(cached) = cached.filter(is_current) {
            return Ok(cached);
        }
        if let (Some(sha256), Tag::Sha256(tag)) = (sha256, Tag::new(&remote.tag))
            && !tag.eq_ignore_ascii_case(sha256)
        {
            bail!(
                "{address}: the Hub now has another file there: expected sha256 {sha256}, it announces {tag}. Nothing was \
                 downloaded"
            )
        }
        self.download(address, &remote, sha256, progress)
    }

    fn repo(&self, address: &Address) -> Repo {
        Repo::with_revision(address.repo.clone(), RepoType::Model, address.revision.clone())
    }

    fn api_repo(&self, address: &Address) -> ApiRepo {
        self.api.repo(self.repo(address))
    }

    /// Asks the server what it has at `address`; failures that may pass are tried again.
    fn remote_file(&self, address: &Address) -> std::result::Result<RemoteFile, Refusal> {
        if self.config.offline {
            return Err(Refusal {
                transient: true,
                error: Error::msg(format!(
                    "{address}: not in the cache ({}), and HF_HUB_OFFLINE forbids fetching it: unset it once with the \
                     network at hand, or name a file or folder that you have",
                    self.config.cache.display()
                )),
            });
        }
        let url = self.api_repo(address).url(&address.file);
        let mut attempt = 0;
        let metadata = loop {
            match self.api.metadata(&url).map_err(failure) {
                Ok(metadata) => break metadata,
                Err(failure) if failure.is_transient() && attempt < self.config.retries => attempt += 1,
                Err(failure) => {
                    let error = self.explain(address, &failure, None);
                    return Err(Refusal { transient: failure.is_transient(), error });
                }
            }
            self.wait(attempt);
        };
        let checked =
            plain_name("commit", metadata.commit_hash()).and_then(|()| plain_name("etag", metadata.etag()));
        checked.map_err(|error| Refusal { transient: false, error: error.context(address.to_string()) })?;
        Ok(RemoteFile {
            commit: metadata.commit_hash().to_string(),
            tag: metadata.etag().to_string(),
            size: metadata.size() as u64,
        })
    }

    /// Fetches the file at `address`, `size` bytes in all, into the cache, going on from a part where there is one.
    fn transfer(
        &self,
        address: &Address,
        size: u64,
        report: &mut dyn FnMut(u64, u64),
    ) -> std::result::Result<PathBuf, Failure> {
        let meter = Meter { done: 0, total: size, report };
        self.api_repo(address).download_with_progress(&address.file, meter).map_err(failure)
    }
}

/// Why the server announced nothing, and whether that may pass.
struct Refusal {
    transient: bool,
    error: Error,
}

/// What hf-hub's error means here.
fn failure(error: ApiError) -> Failure {
    let io = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => Failure::NoSpace,
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            Failure::Denied(error.to_string())
        }
        _ => Failure::Connection(error.to_string()),
    };
    match error {
        ApiError::RequestError(error) => match error.as_ref() {
            ureq::Error::StatusCode(416) => Failure::BeyondTheEnd,
            ureq::Error::StatusCode(code) => Failure::Status(*code),
            ureq::Error::Io(error) => io(error),
            other => Failure::Connection(other.to_string()),
        },
        ApiError::IoError(error) => io(&error),
        ApiError::InvalidResume => Failure::BeyondTheEnd,
        ApiError::LockAcquisition(path) => Failure::Locked(path),
        ApiError::MissingHeader(header) => Failure::NoHub(header.to_string()),
        ApiError::TooManyRetries(error) => failure(*error),
        other => Failure::Other(other.to_string()),
    }
}

/// Adds up what hf-hub reports.
struct Meter<'a> {
    done: u64,
    total: u64,
    report: &'a mut dyn FnMut(u64, u64),
}

impl Progress for Meter<'_> {
    fn init(&mut self, _size: usize, _file: &str) {
        self.done = 0;
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.report)(self.done, self.total);
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_disk_and_a_server_that_is_no_hub_are_distinguished_from_a_cut() {
        let full = ApiError::IoError(std::io::ErrorKind::StorageFull.into());
        assert_eq!(failure(full), Failure::NoSpace);
        let full = ureq::Error::Io(std::io::ErrorKind::StorageFull.into());
        assert_eq!(failure(ApiError::RequestError(Box::new(full))), Failure::NoSpace);
        assert_eq!(failure(ApiError::MissingHeader("etag")), Failure::NoHub("etag".to_string()));
        let cut = ApiError::IoError(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(failure(cut), Failure::Connection(_)));
    }

    #[test]
    fn an_endpoint_that_is_no_address_is_refused() {
        let config = HubConfig {
            endpoint: "huggingface.co".into(),
            home: PathBuf::new(),
            cache: PathBuf::new(),
            token: None,
            offline: true,
            retries: 0,
            pause: Duration::ZERO,
        };
        let message = Hub::new(config).err().unwrap().to_string();
        assert!(message.contains("HF_ENDPOINT") && message.contains("`huggingface.co`"), "{message}");
    }
}
