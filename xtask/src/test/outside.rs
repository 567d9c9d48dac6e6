//! Crates of strangers: they depend on ours by path alone, outside the workspace, in one of their own; they build offline and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, check};

/// Where their workspace is, a folder each.
const FOLDER: &str = "tests/outside";

/// Builds and runs each crate.
///
/// # Errors
/// At the first that does not build, or whose exit code is not 0.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    // The same versions as the workspace, so that nothing is fetched.
    let lock = workspace.read("Cargo.lock")?;
    let folder = workspace.root.join(FOLDER);
    fs::write(folder.join("Cargo.lock"), &lock)
        .with_context(|| format!("writing Cargo.lock into {}", folder.display()))?;
    for dir in crates(&workspace.root)? {
        println!("{}", dir.display());
        let mut command = workspace.cargo(&["run", "--offline"]);
        command.arg("--manifest-path").arg(dir.join("Cargo.toml"));
        command.arg("--target-dir").arg(&workspace.target).stdin(Stdio::null());
        check(command, &format!("the crate outside the workspace is {}", dir.display()))?;
    }
    Ok(())
}

/// The folders of `tests/outside` that hold a crate, in order.
fn crates(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(FOLDER);
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|dir| dir.join("Cargo.toml").is_file()).collect();
    ensure!(!found.is_empty(), "{}: expected a crate in it", folder.display());
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    #[test]
    fn crates_outside_are_a_workspace_of_their_own_and_name_the_versions_of_ours() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |path: PathBuf| fs::read_to_string(path).unwrap().parse::<Table>().unwrap();
        let ours = read(root.join("Cargo.toml"))["workspace"]["dependencies"].clone();
        let version = |dependency: &toml::Value| {
            dependency.get("version").unwrap_or(dependency).as_str().unwrap().to_string()
        };
        let members = read(root.join(FOLDER).join("Cargo.toml"))["workspace"]["members"].clone();
        let members = members.as_array().unwrap();
        let crates = crates(&root).unwrap();
        assert_eq!(members.len(), crates.len());
        for dir in crates {
            let manifest = read(dir.join("Cargo.toml"));
            assert!(members.iter().any(|member| dir.ends_with(member.as_str().unwrap())));
            for (name, dependency) in manifest["dependencies"].as_table().unwrap() {
                match dependency.get("path").and_then(toml::Value::as_str) {
                    Some(path) => assert!(dir.join(path).join("Cargo.toml").is_file(), "{name}: {path}"),
                    None => assert_eq!(version(dependency), version(&ours[name.as_str()]), "{name}"),
                }
            }
        }
    }
}
