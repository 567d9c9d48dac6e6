//! A stranger's crate: depends on star-loss by path alone, outside the workspace, builds offline and trains.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use crate::workspace::Workspace;

/// The crate's name, and its program's.
const NAME: &str = "star-outside";
const PROGRAM: &str = include_str!("../../outside/main.rs");

/// Builds and runs the crate in a temporary folder.
///
/// # Errors
/// When it does not build, or its loss does not fall.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let manifest = manifest(&workspace.read("Cargo.toml")?, &workspace.root)?;
    fs::create_dir(folder.path().join("src"))?;
    fs::write(folder.path().join("src/main.rs"), PROGRAM)?;
    fs::write(folder.path().join("Cargo.toml"), manifest)?;
    // The same versions as the workspace, so that nothing is fetched.
    fs::copy(workspace.root.join("Cargo.lock"), folder.path().join("Cargo.lock"))?;

    let trained = cargo(workspace, folder.path(), &["run", "--offline"])?;
    // The folder's name is new each time: what was built for it would never be found again.
    cargo(workspace, folder.path(), &["clean", "--offline", "--quiet", "--package", NAME])?;
    ensure!(
        trained,
        "the crate outside the workspace does not build or does not train; its program is xtask/outside/main.rs"
    );
    Ok(())
}

fn cargo(workspace: &Workspace, folder: &Path, arguments: &[&str]) -> Result<bool> {
    let mut command = workspace.cargo(arguments);
    command.arg("--manifest-path").arg(folder.join("Cargo.toml"));
    command.arg("--target-dir").arg(&workspace.target).stdin(Stdio::null());
    Ok(command.status().context("starting cargo for the crate outside the workspace")?.success())
}

/// A manifest with star-loss by path and candle in the version that `root`, the workspace's manifest, names.
///
/// Below this crate candle has fewer features than in the workspace, so it is built again: unoptimised, which is quickest.
fn manifest(root: &str, path: &Path) -> Result<String> {
    let root: Table = root.parse().context("Cargo.toml")?;
    let shared = root.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let candle = shared
        .and_then(|dependencies| dependencies.get("candle-core"))
        .context("Cargo.toml: candle-core is not in [workspace.dependencies]")?;
    let path = Value::from(path.join("crates/star-loss").to_string_lossy().into_owned());
    Ok(format!(
        "[package]\nname = \"{NAME}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\ncandle-core = {candle}\nstar-loss = {{ path = {path} }}\n\n\
         [workspace]\n\n[profile.dev]\nopt-level = 0\ndebug = false\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_takes_the_candle_version_from_the_workspace() {
        let root =
            "[workspace.dependencies]\ncandle-core = { version = \"9.8.7\", default-features = false }\n";
        let manifest: Table = manifest(root, Path::new("checkout")).unwrap().parse().unwrap();
        assert_eq!(manifest["dependencies"]["candle-core"]["version"].as_str(), Some("9.8.7"));
        let loss = manifest["dependencies"]["star-loss"]["path"].as_str().unwrap();
        assert!(Path::new(loss).ends_with("crates/star-loss"), "{loss}");
        assert!(manifest["workspace"].as_table().is_some_and(Table::is_empty));
    }

    #[test]
    fn a_workspace_without_candle_is_said_to_have_none() {
        let message = manifest("[workspace.dependencies]\n", Path::new("x")).unwrap_err().to_string();
        assert!(message.contains("candle-core"), "{message}");
    }
}
