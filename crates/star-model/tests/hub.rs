//! Fetching from the Hub against a stand-in on the loopback interface: every way it can go wrong, and what is kept.

#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod standin;

use std::path::{Path, PathBuf};
use std::time::Duration;

use standin::{Fault, StandIn, sha256};
use star_model::hub::{Address, Fetched, Hub, HubConfig};

/// Retries of the hub under test.
const RETRIES: usize = 3;

const FIRST: &str = "1111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222";

fn config(server: &StandIn, dir: &Path) -> HubConfig {
    HubConfig {
        endpoint: server.endpoint.clone(),
        home: dir.to_path_buf(),
        cache: dir.join("hub"),
        token: None,
        offline: false,
        retries: RETRIES,
        pause: Duration::from_millis(1),
    }
}

/// A server with one large file and a hub with an empty cache.
struct Case {
    server: StandIn,
    dir: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let server = StandIn::start();
        server.put("owner/repo", "main", FIRST, "nets/a.pkl", &bytes);
        Self { server, dir: tempfile::tempdir().unwrap(), bytes }
    }

    fn hub(&self) -> Hub {
        Hub::new(config(&self.server, self.dir.path())).unwrap()
    }

    fn fetch(&self, address: &str) -> Result<Fetched, String> {
        fetch(&self.hub(), address)
    }

    /// Fetches and holds the content against the server's.
    fn whole(&self, address: &str) -> Fetched {
        let fetched = self.fetch(address).unwrap();
        assert!(std::fs::read(&fetched.path).unwrap() == self.bytes, "the content differs");
        fetched
    }

    fn refused(&self, address: &str, parts: &[&str]) {
        let message = self.fetch(address).unwrap_err();
        for part in [&[address], parts].concat() {
            assert!(message.contains(part), "`{part}` missing in: {message}");
        }
    }

    /// Files under digests, parts among them.
    fn blobs(&self) -> Vec<PathBuf> {
        let folder = self.dir.path().join("hub/models--owner--repo/blobs");
        let entries = std::fs::read_dir(folder).map(|all| all.map(|entry| entry.unwrap().path()).collect());
        let all: Vec<PathBuf> = entries.unwrap_or_default();
        all.into_iter().filter(|path| path.extension().is_none_or(|end| end != "lock")).collect()
    }
}

fn fetch(hub: &Hub, address: &str) -> Result<Fetched, String> {
    let address: Address = address.parse().unwrap();
    hub.fetch(&address, None, &mut |_, _| ()).map_err(|error| error.to_string())
}

const MAIN: &str = "hf:owner/repo@main/nets/a.pkl";
const PINNED: &str = "hf:owner/repo@1111111111111111111111111111111111111111/nets/a.pkl";

#[test]
fn a_file_behind_a_redirect_is_fetched_once_and_then_found_without_asking() {
    let case = Case::new();
    let mut last = (0, 0);
    let address: Address = PINNED.parse().unwrap();
    let fetched =
        case.hub().fetch(&address, Some(&sha256(&case.bytes)), &mut |done, all| last = (done, all)).unwrap();
    assert_eq!(fetched.commit, FIRST);
    assert_eq!(last, (200_000, 200_000));
    assert!(!case.server.requests().is_empty());
    assert_eq!(case.whole(PINNED), fetched);
    assert!(case.server.requests().is_empty(), "a pinned file that is there needs no network");
    assert_eq!(case.whole(MAIN).commit, FIRST);
}

#[test]
fn a_small_file_and_a_renamed_repository_are_found() {
    let case = Case::new();
    case.server.put_small("owner/new", "main", SECOND, "config.json", b"{}");
    case.server.rename("owner/old", "owner/new");
    for repo in ["new", "old"] {
        let fetched = case.fetch(&format!("hf:owner/{repo}@main/config.json")).unwrap();
        assert_eq!(
            (std::fs::read(&fetched.path).unwrap(), fetched.commit.as_str()),
            (b"{}".to_vec(), SECOND)
        );
    }
}

#[test]
fn a_cut_connection_is_taken_up_where_it_was_cut() {
    let case = Case::new();
    case.server.while_sending(&[Fault::Cut(50_000), Fault::Cut(70_000)]);
    case.whole(MAIN);
    assert!(case.server.starts().iter().any(|range| range == "bytes=120000-"));
}

#[test]
fn what_was_fetched_before_giving_up_is_kept_for_the_next_run() {
    let case = Case::new();
    case.server.while_sending(&[Fault::Cut(50_000), Fault::Cut(0), Fault::Cut(0), Fault::Cut(0)]);
    case.refused(MAIN, &["cut", "50000 of 200000 bytes are kept", "repeat the command"]);
    case.server.requests();
    case.whole(MAIN);
    assert!(case.server.starts().iter().all(|range| range == "bytes=50000-"));
}

#[test]
fn a_body_that_ends_early_is_never_taken_for_the_file() {
    let case = Case::new();
    case.server.while_sending(&[Fault::Short(80_000)]);
    case.whole(MAIN);
    let case = Case::new();
    case.server.while_sending(&[Fault::Short(10_000), Fault::Short(0), Fault::Short(0), Fault::Short(0)]);
    case.refused(MAIN, &["10000 of 200000 bytes", "repeat the command"]);
    assert!(case.blobs().iter().all(|path| path.extension().is_some_and(|end| end == "part")));
    case.whole(MAIN);
}

#[test]
fn a_server_in_trouble_is_asked_again_and_at_last_told_about() {
    let case = Case::new();
    case.server.while_asking(&[Fault::Status(503), Fault::Status(500)]);
    case.server.while_sending(&[Fault::Status(502), Fault::Status(429)]);
    case.whole(MAIN);
    let case = Case::new();
    case.server.while_asking(&[Fault::Status(503); RETRIES + 1]);
    case.refused(MAIN, &["503", "try again later"]);
}

#[test]
fn closed_doors_say_how_to_open_them() {
    for (status, parts) in [
        (401, ["not allowed (401)", "HF_TOKEN", "settings/tokens"]),
        (403, ["forbidden (403)", "HF_TOKEN", "Accept the repository's terms"]),
        (404, ["not found (404)", "spelt", "tree/main"]),
    ] {
        let case = Case::new();
        case.server.while_asking(&[Fault::Status(status)]);
        case.refused(MAIN, &parts);
        assert_eq!(case.server.requests().len(), 1, "there is no use in asking again");
        let case = Case::new();
        case.server.while_sending(&[Fault::Status(status)]);
        case.refused(MAIN, &parts);
        assert!(case.blobs().iter().all(|path| path.metadata().unwrap().len() == 0));
    }
    let case = Case::new();
    case.refused("hf:owner/repo@main/none.pkl", &["not found (404)"]);
}

#[test]
fn the_token_is_sent() {
    let case = Case::new();
    let hub = Hub::new(HubConfig { token: Some("secret".into()), ..config(&case.server, case.dir.path()) })
        .unwrap();
    fetch(&hub, MAIN).unwrap();
    assert_eq!(case.server.requests()[0].token.as_deref(), Some("Bearer secret"));
}

#[test]
fn offline_takes_what_is_cached_and_says_what_is_not() {
    let case = Case::new();
    let offline = || Hub::new(HubConfig { offline: true, ..config(&case.server, case.dir.path()) }).unwrap();
    let message = fetch(&offline(), MAIN).unwrap_err();
    assert!(message.contains("not in the cache") && message.contains("HF_HUB_OFFLINE"), "{message}");
    let fetched = case.whole(MAIN);
    case.server.requests();
    for address in [MAIN, PINNED] {
        assert_eq!(fetch(&offline(), address).unwrap(), fetched);
        assert_eq!(offline().commit(&address.parse().unwrap()).unwrap(), FIRST);
    }
    std::fs::write(std::fs::canonicalize(&fetched.path).unwrap(), b"damaged").unwrap();
    let message = fetch(&offline(), MAIN).unwrap_err();
    assert!(message.contains("damaged") && message.contains("HF_HUB_OFFLINE"), "{message}");
    assert!(case.server.requests().is_empty());
}

#[test]
fn a_server_out_of_reach_is_named_unless_the_file_is_cached() {
    let case = Case::new();
    let nowhere =
        HubConfig { endpoint: "http://127.0.0.1:9".into(), ..config(&case.server, case.dir.path()) };
    let nowhere = Hub::new(nowhere).unwrap();
    let message = fetch(&nowhere, MAIN).unwrap_err();
    assert!(message.contains("http://127.0.0.1:9 cannot be reached"), "{message}");
    let fetched = case.whole(MAIN);
    assert_eq!(fetch(&nowhere, MAIN).unwrap(), fetched);
}

#[test]
fn another_content_under_the_announced_digest_is_thrown_away() {
    let case = Case::new();
    case.server.while_sending(&[Fault::Garbage]);
    case.refused(MAIN, &["not the file that was expected", &sha256(&case.bytes), "thrown away"]);
    assert!(case.blobs().is_empty());
    case.whole(MAIN);
}

#[test]
fn a_file_that_is_not_the_one_known_beforehand_is_not_even_downloaded() {
    let case = Case::new();
    let known = sha256(b"another file");
    let error =
        case.hub().fetch(&MAIN.parse().unwrap(), Some(&known), &mut |_, _| ()).unwrap_err().to_string();
    assert!(error.contains(&known) && error.contains(&sha256(&case.bytes)), "{error}");
    assert!(case.blobs().is_empty());
    // The cache is others' too: a file in it that is what it is called stays.
    case.whole(MAIN);
    let error =
        case.hub().fetch(&MAIN.parse().unwrap(), Some(&known), &mut |_, _| ()).unwrap_err().to_string();
    assert!(error.contains(&known) && error.contains("remove it"), "{error}");
    case.whole(MAIN);
}

#[test]
fn a_branch_that_moves_on_brings_the_new_file_and_keeps_the_old_one() {
    let mut case = Case::new();
    let old = case.whole(MAIN);
    let first = std::mem::replace(&mut case.bytes, vec![7; 1000]);
    case.server.put("owner/repo", "main", SECOND, "nets/a.pkl", &case.bytes);
    let new = case.whole(MAIN);
    assert_eq!((old.commit.as_str(), new.commit.as_str()), (FIRST, SECOND));
    assert!(std::fs::read(old.path).unwrap() == first);
}

#[test]
fn a_server_that_ignores_where_to_go_on_does_not_spoil_the_file() {
    let case = Case::new();
    case.server.while_sending(&[Fault::Cut(50_000), Fault::NoRange]);
    case.whole(MAIN);
}

#[test]
fn a_run_killed_after_its_last_byte_or_over_another_file_starts_anew() {
    for left in [200_000, 200_001] {
        let case = Case::new();
        let blobs = case.dir.path().join("hub/models--owner--repo/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(format!("{}.part", sha256(&case.bytes))), vec![0; left]).unwrap();
        case.whole(MAIN);
    }
}

#[test]
fn a_file_damaged_in_the_cache_is_fetched_again() {
    for address in [MAIN, PINNED] {
        let case = Case::new();
        let fetched = case.whole(address);
        std::fs::write(std::fs::canonicalize(&fetched.path).unwrap(), &case.bytes[..100]).unwrap();
        case.whole(address);
    }
}
