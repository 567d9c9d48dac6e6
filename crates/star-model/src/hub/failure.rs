//! What can go wrong between here and the Hub, whether it may pass, and what a person can do about it.

use std::path::{Path, PathBuf};

use super::Address;

/// One failed request or transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server answered with this status.
    Status(u16),
    /// There is nothing after the part that is kept.
    BeyondTheEnd,
    /// The disk is full.
    NoSpace,
    /// The cache cannot be written, and why.
    Denied(String),
    /// Another run holds this file.
    Locked(PathBuf),
    /// The server lacks this header, which a Hub has.
    NoHub(String),
    /// The connection was cut or never came about, and how.
    Connection(String),
    /// Anything else.
    Other(String),
}

/// When something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// While the server was asked about the file.
    Request,
    /// While its bytes were coming.
    Transfer,
}

impl Failure {
    /// Whether trying again may help.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Status(code) => *code >= 500 || *code == 408 || *code == 429,
            Self::Connection(_) => true,
            _ => false,
        }
    }

    /// What happened at `address` of the server `endpoint` in `phase`, and what to do.
    pub(super) fn advice(&self, address: &Address, endpoint: &str, cache: &Path, phase: Phase) -> String {
        let (repo, revision, cache) = (&address.repo, &address.revision, cache.display());
        match self {
            Self::Status(401) => format!(
                "not allowed (401): the repository does not exist, or is private or gated. Accept its terms at \
                 {endpoint}/{repo} and set HF_TOKEN to a token of {endpoint}/settings/tokens"
            ),
            Self::Status(403) => format!(
                "forbidden (403): this token may not read it. Accept the repository's terms at {endpoint}/{repo}, or set \
                 HF_TOKEN to another token"
            ),
            Self::Status(404) => format!(
                "not found (404): look at {endpoint}/{repo}/tree/{revision} whether repository, revision and file are \
                 spelt so"
            ),
            Self::Status(code) => format!("the server answers {code}; try again later"),
            Self::BeyondTheEnd => {
                "the server has fewer bytes than were fetched before; try again".to_string()
            }
            Self::NoSpace => {
                format!("no space left in {cache}: make room, or set HF_HOME to a folder on another disk")
            }
            Self::Denied(why) => {
                format!("{why}: the cache {cache} cannot be written; set HF_HOME to a folder that can")
            }
            Self::Locked(path) => format!(
                "another run is fetching the same file ({} is locked); wait for it, then repeat the command",
                path.display()
            ),
            Self::NoHub(header) => {
                format!(
                    "{endpoint} does not answer as a Hub does (no header `{header}`); look at HF_ENDPOINT"
                )
            }
            Self::Connection(how) if phase == Phase::Transfer => {
                format!("the connection to {endpoint} was cut: {how}")
            }
            Self::Connection(how) | Self::Other(how) => format!(
                "{endpoint} cannot be reached: {how}. Look at the network and at HF_ENDPOINT; with HF_HUB_OFFLINE=1 only \
                 what is cached is used"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_comes_with_advice_and_only_some_are_transient() {
        let address: Address = "hf:o/r@v/f".parse().unwrap();
        let cases = [
            (Failure::Status(401), false, "HF_TOKEN"),
            (Failure::Status(403), false, "HF_TOKEN"),
            (Failure::Status(404), false, "http://hub/o/r/tree/v"),
            (Failure::Status(503), true, "later"),
            (Failure::NoSpace, false, "no space left in cache: make room, or set HF_HOME"),
            (Failure::Denied("read-only".into()), false, "HF_HOME"),
            (Failure::Locked("a.lock".into()), false, "a.lock is locked"),
            (Failure::NoHub("etag".into()), false, "HF_ENDPOINT"),
            (Failure::Connection("refused".into()), true, "HF_HUB_OFFLINE=1"),
            (Failure::BeyondTheEnd, false, "try again"),
        ];
        for (failure, transient, part) in cases {
            let advice = failure.advice(&address, "http://hub", Path::new("cache"), Phase::Request);
            assert!(advice.contains(part), "{failure:?}: {advice}");
            assert_eq!(failure.is_transient(), transient, "{failure:?}");
        }
    }
}
