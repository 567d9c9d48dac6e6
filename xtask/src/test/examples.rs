//! Every example of a crate, run without arguments.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::features;
use crate::workspace::{Workspace, check};

/// Builds all examples at once, so that what lies below has one set of features, as the tests need it, and runs each.
///
/// # Errors
/// At the first that does not build, or whose exit code is not 0.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    check(
        workspace.cargo(&[
            "build",
            "--workspace",
            "--exclude",
            "star-py",
            "--features",
            features(),
            "--profile",
            "test",
            "--examples",
        ]),
        "an example does not build",
    )?;
    for source in sources(workspace)? {
        let Some(name) = source.file_stem() else { continue };
        println!("{}", source.display());
        let program = workspace.target.join("debug/examples").join(name);
        let mut command = Command::new(program.with_extension(std::env::consts::EXE_EXTENSION));
        command.current_dir(&workspace.root);
        check(command, &format!("the example is {}", source.display()))?;
    }
    Ok(())
}

/// `crates/*/examples/*.rs` from the root, in order.
fn sources(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let crates = workspace.root.join("crates");
    for member in std::fs::read_dir(&crates).with_context(|| crates.display().to_string())?.flatten() {
        let examples = std::fs::read_dir(member.path().join("examples")).into_iter().flatten().flatten();
        let sources =
            examples.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "rs"));
        found.extend(
            sources.map(|path| path.strip_prefix(&workspace.root).map_or(path.clone(), PathBuf::from)),
        );
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_the_rust_files_of_their_folders() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "crates/b/examples/two.rs",
            "crates/a/examples/one.rs",
            "crates/a/examples/data.json",
            "crates/a/src/no.rs",
        ] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let workspace = Workspace { root: root.path().into(), target: root.path().join("target") };
        let wanted = ["crates/a/examples/one.rs", "crates/b/examples/two.rs"].map(PathBuf::from);
        assert_eq!(sources(&workspace).unwrap(), wanted);
    }
}
