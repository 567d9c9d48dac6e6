//! `--weights hf:...` from outside, against a stand-in for the Hub on the loopback interface.

#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../../star-model/tests/standin/mod.rs"]
mod standin;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use standin::{Fault, StandIn};

const COMMIT: &str = "1111111111111111111111111111111111111111";

/// A server with the small golden checkpoint, and an empty home for the cache.
struct Case {
    server: StandIn,
    dir: tempfile::TempDir,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-model/tests/golden").join(name)
}

impl Case {
    fn new() -> Self {
        let server = StandIn::start();
        let bytes = std::fs::read(golden("hourglass_cofw_small.pkl")).unwrap();
        server.put("me/nets", "main", COMMIT, "cofw.pkl", &bytes);
        let dir = tempfile::tempdir().unwrap();
        image::RgbImage::from_fn(96, 80, |x, y| image::Rgb([x as u8, y as u8, (x * y / 40) as u8]))
            .save(dir.path().join("face.png"))
            .unwrap();
        Self { server, dir }
    }

    fn star(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_star"));
        command.args(arguments).current_dir(self.dir.path());
        for name in
            ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "XDG_CACHE_HOME", "HTTP_PROXY", "http_proxy"]
        {
            command.env_remove(name);
        }
        command
            .env("HF_HOME", self.home())
            .env("HF_ENDPOINT", &self.server.endpoint)
            .env("NO_PROXY", "127.0.0.1");
        command
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The command line of a prediction with `weights`.
    fn predict(&self, weights: &str) -> Command {
        self.star(&[
            "predict",
            "face.png",
            "--box",
            "10,10,60,60",
            "--image-size",
            "64",
            "--weights",
            weights,
        ])
    }

    /// Folders that were converted and are called whole.
    fn folders(&self) -> Vec<PathBuf> {
        let commit = self.home().join("star/me--nets").join(COMMIT);
        let entries = std::fs::read_dir(commit).map(|all| all.map(|entry| entry.unwrap().path()).collect());
        let all: Vec<PathBuf> = entries.unwrap_or_default();
        all.into_iter().filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ok(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr)
}

const ADDRESS: &str = "hf:me/nets/cofw.pkl";

#[test]
fn an_address_predicts_like_the_file_and_is_fetched_and_converted_once() {
    let case = Case::new();
    let file = golden("hourglass_cofw_small.pkl");
    let expected = ok(case.predict(&file.to_string_lossy())).stdout;
    let first = ok(case.predict(ADDRESS));
    assert_eq!(first.stdout, expected);
    assert!(
        text(&first.stderr).contains("fetching hf:me/nets@main/cofw.pkl (1.4 MB)"),
        "{}",
        text(&first.stderr)
    );
    assert_eq!(case.folders().len(), 1);
    let config = std::fs::read_to_string(case.folders()[0].join("config.json")).unwrap();
    assert!(config.contains(&format!("\"source\": \"hf:me/nets@{COMMIT}/cofw.pkl\"")), "{config}");

    case.server.requests();
    let again = ok(case.predict(ADDRESS));
    assert_eq!(again.stdout, expected);
    assert!(!text(&again.stderr).contains("fetching"));
    assert!(case.server.starts().is_empty(), "the body was asked for again");
    assert_eq!(ok(case.predict(&format!("hf:me/nets@{COMMIT}/cofw.pkl"))).stdout, expected);
    assert!(case.server.requests().is_empty(), "a pinned address that is converted needs no network");

    let mut offline = case.predict(ADDRESS);
    offline.env("HF_HUB_OFFLINE", "1");
    assert_eq!(ok(offline).stdout, expected);
}

#[test]
fn the_astronaut_has_landmarks_by_weights_of_the_hub() {
    let photograph =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real-faces/astronaut/astronaut.png");
    if !photograph.is_file() {
        println!("skipped: {} is not there", photograph.display());
        return;
    }
    let case = Case::new();
    let photograph = photograph.to_string_lossy();
    let output = ok(case.star(&["predict", &photograph, "--weights", ADDRESS, "--image-size", "64"]));
    let image: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let faces = image["faces"].as_array().unwrap();
    assert_eq!((faces.len(), faces[0]["points"].as_array().unwrap().len()), (1, 29));
}

#[test]
fn every_command_that_takes_weights_takes_an_address() {
    let case = Case::new();
    let inspected = text(&ok(case.star(&["inspect", ADDRESS, "--image-size", "64"])).stdout);
    assert!(inspected.contains("cofw29, 29 keypoints") && inspected.contains("stack 4"), "{inspected}");
    ok(case.star(&["convert", ADDRESS, "w", "--image-size", "64", "--dtype", "f16"]));
    ok(case.star(&["export", ADDRESS, "--image-size", "64", "--onnx", "net.onnx"]));
    assert!(case.dir.path().join("net.onnx").metadata().unwrap().len() > 100_000);
    let fetched = text(&ok(case.star(&["fetch", ADDRESS])).stdout);
    let folder = PathBuf::from(fetched.trim_end().split('\t').nth(1).unwrap());
    assert!(folder.join("config.json").is_file());
}

#[test]
fn what_cannot_be_fetched_says_what_to_do() {
    let case = Case::new();
    let error = refused(case.predict("hf:me/nets/none.pkl"));
    assert!(error.contains("hf:me/nets@main/none.pkl: not found (404)"), "{error}");
    let error = refused(case.predict("hf:me/nets"));
    assert!(error.contains("hf:owner/repo[@revision]/file"), "{error}");
    let mut offline = case.predict(ADDRESS);
    offline.env("HF_HUB_OFFLINE", "1");
    let error = refused(offline);
    assert!(error.contains("not in the cache") && error.contains("HF_HUB_OFFLINE"), "{error}");
    let error = refused(case.predict("star-wfwl"));
    assert!(error.contains("star-wfwl") && error.contains("star-wflw"), "{error}");
    let error = refused(case.predict("star-wflw"));
    assert!(error.contains("not found (404)") && error.contains("hf:AIRI-Institute/HairFastGAN/"), "{error}");
    // no landmarks network: the stand-in's file is a text
    case.server.put("me/nets", "main", COMMIT, "text.pkl", b"hello, this is a text");
    let error = refused(case.predict("hf:me/nets/text.pkl"));
    assert!(error.contains("converting hf:me/nets@main/text.pkl") && error.contains("neither"), "{error}");
    assert!(case.folders().is_empty());
}

#[test]
fn names_are_listed_with_their_terms() {
    let case = Case::new();
    let list = text(&ok(case.star(&["fetch", "--list"])).stdout);
    for part in ["star-wflw", "star-300w", "anime-face", "hrnet-w18-imagenet", "none stated", "MIT"] {
        assert!(list.contains(part), "`{part}` missing in: {list}");
    }
}

/// Waits until `condition` holds while `child` runs.
fn wait_for(child: &mut Child, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        assert!(start.elapsed() < Duration::from_secs(60), "nothing happens");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_download_that_is_killed_leaves_nothing_that_is_taken_for_complete() {
    let case = Case::new();
    case.server.while_sending(&[Fault::Hang(700_000)]);
    let mut child = case.predict(ADDRESS).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let blobs = case.home().join("hub/models--me--nets/blobs");
    let part_is_there = || {
        let entries = std::fs::read_dir(&blobs).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).any(|data| data.len() > 600_000)
    };
    wait_for(&mut child, part_is_there);
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    assert!(case.folders().is_empty());
    let mut offline = case.predict(ADDRESS);
    offline.env("HF_HUB_OFFLINE", "1");
    assert!(refused(offline).contains("not in the cache"));
    case.server.requests();
    let expected = ok(case.predict(&golden("hourglass_cofw_small.pkl").to_string_lossy())).stdout;
    assert_eq!(ok(case.predict(ADDRESS)).stdout, expected);
    let starts = case.server.starts();
    assert!(starts.iter().all(|start| start != "bytes=0-") && !starts.is_empty(), "not resumed: {starts:?}");
}

#[test]
fn a_conversion_that_is_killed_leaves_nothing_that_is_taken_for_complete() {
    let case = Case::new();
    // The file is in the cache, so that a run is little else than the conversion.
    ok(case.star(&["convert", ADDRESS, "w", "--image-size", "64"]));
    let expected = ok(case.predict(&golden("hourglass_cofw_small.pkl").to_string_lossy())).stdout;
    let run = || case.predict(ADDRESS).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let converting = case.home().join("star/me--nets").join(COMMIT);
    // Killed as soon as the unfinished folder appears, or a little later.
    for delay in [0, 1, 3, 10] {
        let mut child = run();
        wait_for(&mut child, || std::fs::read_dir(&converting).is_ok_and(|mut all| all.next().is_some()));
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        for folder in case.folders() {
            // Whatever is called whole is whole.
            assert_eq!(
                ok(case.star(&[
                    "predict",
                    "face.png",
                    "--box",
                    "10,10,60,60",
                    "--weights",
                    &folder.to_string_lossy()
                ]))
                .stdout,
                expected
            );
            std::fs::remove_dir_all(folder).unwrap();
        }
        for left in std::fs::read_dir(&converting).into_iter().flatten().flatten() {
            assert!(left.file_name().to_string_lossy().starts_with(".converting-"));
            std::fs::remove_dir_all(left.path()).unwrap();
        }
    }
    assert_eq!(ok(case.predict(ADDRESS)).stdout, expected);
}
