//! The program run from outside, as every test of it needs it.

#![allow(dead_code, reason = "each test program uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

pub(crate) mod chromium;
#[cfg(feature = "serve")]
pub(crate) mod server;

use std::path::Path;
use std::process::{Command, Output};

pub(crate) fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-model/tests/golden").join(name);
    path.to_string_lossy().into_owned()
}

pub(crate) fn star(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_star")).args(arguments).current_dir(dir).output().unwrap()
}

/// Runs a command that must succeed; returns its standard output.
pub(crate) fn ok(dir: &Path, arguments: &[&str]) -> String {
    let output = star(dir, arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with code 1; returns its standard error.
pub(crate) fn refused(dir: &Path, arguments: &[&str]) -> String {
    let output = star(dir, arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// What `star predict` printed of each image.
pub(crate) fn images(lines: &str) -> Vec<serde_json::Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The faces of all images.
pub(crate) fn faces(lines: &str) -> Vec<serde_json::Value> {
    images(lines).iter().flat_map(|image| image["faces"].as_array().unwrap().clone()).collect()
}

pub(crate) fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` missing in: {text}");
    }
}

pub(crate) fn bytes(dir: &Path, path: &str) -> Vec<u8> {
    std::fs::read(dir.join(path)).unwrap()
}
