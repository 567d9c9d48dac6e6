//! Files from the Hugging Face Hub, resumed where they were cut, verified, and kept in the Hub's common cache.
//!
//! The only module of this toolkit that reaches the network. What lies in the cache under a digest is checked against it
//! before it is handed out, so a file that is cut, damaged or half-written is fetched again and never believed.

mod address;
mod digest;
mod failure;
pub mod registry;

use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::{Error, Result, bail};
use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use address::plain_name;
pub use address::{Address, SCHEME};
use digest::Tag;
pub use digest::sha256;
use failure::Failure;

/// Where the Hub is unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// Times that a download is taken up again after a failure that may pass.
const RETRIES: usize = 4;

/// Wait before the first of them; each further wait is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// How the Hub is reached and where its files are kept.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Address of the server, `HF_ENDPOINT`.
    pub endpoint: String,
    /// Folder of the token and, beside it, of everything that is kept: `HF_HOME`.
    pub home: PathBuf,
    /// Folder of the files, `HF_HUB_CACHE` or `hub` inside `home`.
    pub cache: PathBuf,
    /// What private and gated repositories ask for: `HF_TOKEN`, or the file `token` inside `home`.
    pub token: Option<String>,
    /// Never reach for the network: `HF_HUB_OFFLINE`.
    pub offline: bool,
    /// Times that a download is taken up again.
    pub retries: usize,
    /// Wait before the first of them.
    pub pause: Duration,
}

impl HubConfig {
    /// What the environment says, as the Hub's own tools read it.
    ///
    /// # Errors
    /// When nothing names a folder to keep files in.
    pub fn from_env() -> Result<Self> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let below = |folder: PathBuf| folder.join("huggingface");
        let home = set("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CACHE_HOME").map(|folder| below(folder.into())))
            .or_else(|| std::env::home_dir().map(|home| below(home.join(".cache"))));
        let Some(home) = home else { bail!("no folder to keep downloads in: set HF_HOME to one") };
        let token = set("HF_TOKEN").or_else(|| std::fs::read_to_string(home.join("token")).ok());
        let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str());
        Ok(Self {
            endpoint: set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_string()),
            cache: set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: token.map(|token| token.trim().to_string()).filter(|token| !token.is_empty()),
            offline: set("HF_HUB_OFFLINE").is_some_and(yes),
            home,
            retries: RETRIES,
            pause: PAUSE,
        })
    }
}

/// A file that is there, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies in the cache.
    pub path: PathBuf,
    /// The commit it is of.
    pub commit: String,
}

/// A way to the Hub and to what is kept of it.
pub struct Hub {
    config: HubConfig,
    cache: Cache,
    api: Api,
}

/// What the server says of a file before any of it is fetched.
struct Announced {
    commit: String,
    tag: String,
    size: u64,
}

impl Hub {
    /// A way to the Hub; nothing is sent yet.
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

    /// How it is reached.
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    /// The commit that `address` means now: its own where it is pinned; else the server's word; and where the server is
    /// not asked or not reached, the last one that was fetched.
    ///
    /// # Errors
    /// Says why no commit is known and what to do.
    pub fn commit(&self, address: &Address) -> Result<String> {
        if address.is_pinned() {
            return Ok(address.revision.clone());
        }
        match self.announced(address) {
            Ok(announced) => Ok(announced.commit),
            Err(refusal) => match self.kept(address) {
                Some(kept) if refusal.passing => Ok(kept.commit),
                _ => Err(refusal.error),
            },
        }
    }

    /// The file at `address`, from the cache where it is there and whole, else from the Hub. `sha256` is its digest where
    /// it is known beforehand; `progress` is told the bytes there are and the bytes there will be.
    ///
    /// # Errors
    /// Says what went wrong (offline and not cached, not allowed, not found, no space, cut off, not the file that was
    /// expected) and what to do. What was fetched before a cut is kept and the next call goes on from there.
    pub fn fetch(
        &self,
        address: &Address,
        sha256: Option<&str>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Fetched> {
        let kept = self.kept(address).map(|kept| self.whole(kept, sha256)).transpose()?.flatten();
        if let Some(kept) = &kept
            && (address.is_pinned() || self.config.offline)
        {
            return Ok(kept.clone());
        }
        let announced = match self.announced(address) {
            Ok(announced) => announced,
            Err(refusal) => match kept {
                // A branch may have moved on, but what there is beats nothing.
                Some(kept) if refusal.passing => return Ok(kept),
                _ => return Err(refusal.error),
            },
        };
        let same = |kept: &Fetched| {
            kept.commit == announced.commit
                && std::fs::metadata(&kept.path).is_ok_and(|data| data.len() == announced.size)
        };
        if let Some(kept) = kept.filter(same) {
            return Ok(kept);
        }
        if let (Some(sha256), Tag::Sha256(tag)) = (sha256, Tag::new(&announced.tag))
            && !tag.eq_ignore_ascii_case(sha256)
        {
            bail!(
                "{address}: the Hub now has another file there: expected sha256 {sha256}, it announces {tag}. Nothing was \
                 downloaded"
            )
        }
        self.download(address, &announced, sha256, progress)
    }

    fn repo(&self, address: &Address) -> Repo {
        Repo::with_revision(address.repo.clone(), RepoType::Model, address.revision.clone())
    }

    fn remote(&self, address: &Address) -> ApiRepo {
        self.api.repo(self.repo(address))
    }

    /// What the cache holds for `address`, unchecked.
    fn kept(&self, address: &Address) -> Option<Fetched> {
        let repo = self.cache.repo(self.repo(address));
        let pinned = repo.pointer_path(&address.revision).join(&address.file);
        if address.is_pinned() && pinned.exists() {
            return Some(Fetched { path: pinned, commit: address.revision.clone() });
        }
        let path = repo.get(&address.file)?;
        let snapshot = path.ancestors().nth(address.file.split('/').count())?;
        let commit = snapshot.file_name()?.to_string_lossy().into_owned();
        Some(Fetched { path, commit })
    }

    /// The same file if it is what the cache calls it; otherwise it is taken out of the cache, which it would spoil for others.
    fn whole(&self, kept: Fetched, sha256: Option<&str>) -> Result<Option<Fetched>> {
        let blob = std::fs::canonicalize(&kept.path)?;
        let name = blob.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if Tag::new(&name).mismatch(&blob)?.is_some() {
            discard(&kept.path);
            if self.config.offline {
                bail!(
                    "{}: damaged in the cache, and HF_HUB_OFFLINE forbids fetching it again: unset it and repeat",
                    kept.path.display()
                )
            }
            return Ok(None);
        }
        let known = sha256.map(|digest| Tag::Sha256(digest.to_lowercase()));
        if let Some((expected, got)) = known.and_then(|tag| tag.mismatch(&blob).transpose()).transpose()? {
            bail!(
                "{}: not the file that was expected: expected sha256 {expected}, got {got}; remove it to fetch it again",
                kept.path.display()
            )
        }
        Ok(Some(kept))
    }

    /// Asks the server what it has at `address`; failures that may pass are tried again.
    fn announced(&self, address: &Address) -> std::result::Result<Announced, Refusal> {
        if self.config.offline {
            return Err(Refusal {
                passing: true,
                error: Error::msg(format!(
                    "{address}: not in the cache ({}), and HF_HUB_OFFLINE forbids fetching it: unset it once with the \
                     network at hand, or name a file or folder that you have",
                    self.config.cache.display()
                )),
            });
        }
        let url = self.remote(address).url(&address.file);
        let mut attempt = 0;
        let metadata = loop {
            match self.api.metadata(&url).map_err(failure) {
                Ok(metadata) => break metadata,
                Err(failure) if failure.passing() && attempt < self.config.retries => attempt += 1,
                Err(failure) => {
                    let error = self.explained(address, &failure, None);
                    return Err(Refusal { passing: failure.passing(), error });
                }
            }
            self.wait(attempt);
        };
        let checked =
            plain_name("commit", metadata.commit_hash()).and_then(|()| plain_name("etag", metadata.etag()));
        checked.map_err(|error| Refusal { passing: false, error: error.context(address.to_string()) })?;
        Ok(Announced {
            commit: metadata.commit_hash().to_string(),
            tag: metadata.etag().to_string(),
            size: metadata.size() as u64,
        })
    }

    fn wait(&self, attempt: usize) {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(6);
        std::thread::sleep(self.config.pause * 2u32.pow(doublings));
    }

    fn download(
        &self,
        address: &Address,
        announced: &Announced,
        sha256: Option<&str>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Fetched> {
        let part = self.cache.repo(self.repo(address)).blob_path(&announced.tag).with_extension("part");
        let remote = self.remote(address);
        let mut attempt = 0;
        let mut anew = false;
        loop {
            let resumed = std::fs::metadata(&part).map_or(0, |part| part.len());
            let meter = Meter { done: 0, total: announced.size, report: progress };
            let failed = match remote.download_with_progress(&address.file, meter).map_err(failure) {
                Ok(path) => match judged(&path, announced, sha256)? {
                    Verdict::Whole => return Ok(Fetched { path, commit: announced.commit.clone() }),
                    Verdict::Short(got) => {
                        // What there is may still be the beginning of the right file.
                        keep_as_part(&path, &part)?;
                        let size = announced.size;
                        Error::msg(format!(
                            "{address}: cut off: the server ended after {got} of {size} bytes; repeat the command to go \
                             on from there"
                        ))
                    }
                    Verdict::Wrong(what) => {
                        discard(&path);
                        // A server that ignores where it was asked to go on leaves a mixture: once more from the start.
                        if resumed == 0 || anew {
                            bail!(
                                "{address}: not the file that was expected: {what}. It was thrown away; try again, and \
                                 if it happens again the file on the server is not what it announces"
                            )
                        }
                        anew = true;
                        continue;
                    }
                },
                Err(Failure::BeyondTheEnd) if !anew => {
                    // A part as long as the file or longer: a run was killed after its last byte, or the part is not
                    // of this file.
                    std::fs::remove_file(&part)?;
                    anew = true;
                    continue;
                }
                Err(failure) => {
                    let error = self.explained(address, &failure, Some((&part, announced.size)));
                    if !failure.passing() {
                        return Err(error);
                    }
                    error
                }
            };
            if attempt == self.config.retries {
                return Err(failed);
            }
            attempt += 1;
            self.wait(attempt);
        }
    }

    /// What went wrong, what to do about it, and how much of the file (part and whole size) is kept.
    fn explained(&self, address: &Address, failure: &Failure, part: Option<(&Path, u64)>) -> Error {
        let endpoint = self.config.endpoint.trim_end_matches('/');
        let advice = failure.advice(address, endpoint, &self.config.cache, part.is_some());
        let kept = part.and_then(|(path, size)| Some((std::fs::metadata(path).ok()?.len(), size)));
        let kept = match kept {
            Some((bytes, size)) if bytes > 0 => {
                format!(". {bytes} of {size} bytes are kept; repeat the command to go on from there")
            }
            _ => String::new(),
        };
        Error::msg(format!("{address}: {advice}{kept}"))
    }
}

/// Why the server did not say what it has, and whether that may pass.
struct Refusal {
    passing: bool,
    error: Error,
}

/// What a downloaded file turned out to be.
enum Verdict {
    Whole,
    Short(u64),
    Wrong(String),
}

fn judged(path: &Path, announced: &Announced, sha256: Option<&str>) -> Result<Verdict> {
    let length = std::fs::metadata(path)?.len();
    if length < announced.size {
        return Ok(Verdict::Short(length));
    }
    if length > announced.size {
        return Ok(Verdict::Wrong(format!("expected {} bytes, got {length}", announced.size)));
    }
    let tag = sha256.map_or_else(|| Tag::new(&announced.tag), |digest| Tag::Sha256(digest.to_lowercase()));
    let wrong =
        |(expected, got): (String, String)| Verdict::Wrong(format!("expected digest {expected}, got {got}"));
    Ok(tag.mismatch(path)?.map_or(Verdict::Whole, wrong))
}

/// Removes a file of the cache, and what it points to.
fn discard(path: &Path) {
    if let Ok(blob) = std::fs::canonicalize(path) {
        // A file that cannot be removed is found damaged again by whoever reads it next.
        let _ = std::fs::remove_file(blob);
    }
    let _ = std::fs::remove_file(path);
}

/// Turns a file that ended early back into a part to go on from.
fn keep_as_part(path: &Path, part: &Path) -> Result<()> {
    std::fs::rename(std::fs::canonicalize(path)?, part)?;
    // The pointer to it is gone already where pointer and file are one.
    let _ = std::fs::remove_file(path);
    Ok(())
}

/// hf-hub's error in our words.
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
    use super::*;

    #[test]
    fn a_full_disk_and_a_server_that_is_no_hub_are_told_apart_from_a_cut() {
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
