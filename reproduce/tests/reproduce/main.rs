//! The program that `cargo xtask reproduce-paper` starts: on published data sets' official layouts, made small of synthetic faces, from
//! weights of a stand-in for the Hub and from scratch for a few steps; and on synthetic images, killed and resumed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod killed;
mod missing;
mod published;
mod scratch;
mod sets;
#[path = "../../../crates/star-model/tests/standin/mod.rs"]
mod standin;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn reproduce(dir: &Path, hub: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reproduce"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "XDG_CACHE_HOME", "HTTP_PROXY", "http_proxy"] {
        command.env_remove(name);
    }
    command.env("HF_HOME", dir.join("home")).env("HF_ENDPOINT", hub).env("NO_PROXY", "127.0.0.1");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

/// The cells of a report, each with ours or why not, and of every set those of every kind.
fn filled_or_explained<'a>(report: &'a Value, sets: &[&str]) -> &'a [Value] {
    let cells = report["cells"].as_array().unwrap();
    for cell in cells {
        let explained = cell["remark"].as_str().is_some_and(|why| !why.is_empty());
        assert!(cell["ours"].is_number() || explained, "neither filled nor explained: {cell}");
        assert_eq!(cell["paper"].is_null(), cell["verdict"] == "no_target", "{cell}");
        assert!(sets.iter().any(|set| cell["set"] == *set), "{cell}");
    }
    for (set, what) in sets.iter().flat_map(|set| ["NME", "FR", "AUC"].map(|what| (set, what))) {
        let is = |cell: &Value| cell["set"] == *set && cell["what"].as_str().unwrap().starts_with(what);
        assert!(cells.iter().any(is), "{set}: {what}");
    }
    cells
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("report/report.json")).unwrap()).unwrap()
}

/// Where nothing listens: whatever asks for the network fails.
const NOWHERE: &str = "http://127.0.0.1:9";
