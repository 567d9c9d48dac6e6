//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md that text can check.

mod borders;
mod code;
mod manifests;
mod papers;
mod words;

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;

/// The text files of the repository, committed or about to be.
struct Tree {
    files: Vec<File>,
}

/// One text file.
struct File {
    /// From the root, with forward slashes.
    path: String,
    text: String,
}

/// What is wrong where, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 for the whole file.
    line: usize,
    what: String,
}

/// Each rule with its claim.
const RULES: [fn(&Tree) -> Vec<Finding>; 14] = [
    borders::data_and_eval_are_free_of_tensors,
    borders::one_conversion_into_tensors,
    borders::one_file_reaches_the_network,
    manifests::arrows_point_one_way,
    manifests::libraries_leave_the_terminal_to_programs,
    manifests::versions_stand_in_the_root,
    manifests::lints_are_the_workspaces,
    words::nothing_is_left_undone,
    words::files_hold_one_idea,
    words::files_begin_with_a_sentence,
    words::no_path_of_a_machine,
    papers::the_map_names_what_exists,
    papers::crates_have_front_pages,
    papers::the_changelog_has_room,
];

/// Prints every finding as `path:line: what, and what to do`.
///
/// # Errors
/// When there is a finding, or the files cannot be listed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let findings = Tree::read(workspace)?.findings();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings", findings.len())
    }
    Ok(())
}

impl Tree {
    /// What git lists: committed files and new ones that are not ignored. Binary files are left out.
    fn read(workspace: &Workspace) -> Result<Self> {
        let mut command = Command::new("git");
        command
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&workspace.root);
        let output = command.output().context("starting git, which lists the files to check")?;
        ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
        let paths = String::from_utf8(output.stdout).context("git ls-files: a path is not UTF-8")?;
        let mut files = Vec::new();
        for path in paths.split('\0').filter(|path| !path.is_empty()) {
            // A file that is deleted and not yet committed is still listed.
            let Ok(bytes) = std::fs::read(workspace.root.join(path)) else { continue };
            if let Ok(text) = String::from_utf8(bytes)
                && !text.contains('\0')
            {
                files.push(File { path: path.to_string(), text });
            }
        }
        Ok(Self { files })
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<_> = RULES.iter().flat_map(|rule| rule(self)).collect();
        findings.sort();
        findings.dedup();
        findings
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files below `folder` whose names end in `.rs`.
    fn rust<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.path.starts_with(folder) && file.path.ends_with(".rs"))
    }

    /// Rust files of the members, wherever these lie.
    fn sources(&self) -> impl Iterator<Item = &File> {
        self.rust("crates/").chain(self.rust("reproduce/")).chain(self.rust("xtask/"))
    }

    /// Names of the folders of `crates/` that hold a manifest.
    fn crates(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter_map(|file| {
            let name = file.path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
            (!name.contains('/')).then_some(name)
        })
    }
}

impl File {
    fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }

    /// Number of the first line that contains `text`, 0 if none does.
    fn line_of(&self, text: &str) -> usize {
        self.text.lines().position(|line| line.contains(text)).map_or(0, |line| line + 1)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of files that are not on any disk.
    pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
        let file = |&(path, text): &(&str, &str)| File { path: path.to_string(), text: text.to_string() };
        Tree { files: files.iter().map(file).collect() }
    }

    /// Findings as lines.
    pub(super) fn lines(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn crates_are_the_folders_with_a_manifest() {
        let tree =
            tree(&[("crates/a/Cargo.toml", ""), ("crates/a/x/Cargo.toml", ""), ("crates/b/src/lib.rs", "")]);
        assert_eq!(tree.crates().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn the_files_of_this_repository_are_found() {
        let tree = Tree::read(&Workspace::find().unwrap()).unwrap();
        assert!(tree.file("xtask/src/tidy/mod.rs").is_some_and(|file| file.line_of("mod borders;") == 3));
        assert!(tree.crates().any(|name| name == "star-loss"));
    }
}
