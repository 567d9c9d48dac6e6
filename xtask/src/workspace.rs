//! Where the workspace and its target directory are, and how cargo is called in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The workspace around the current directory.
pub(crate) struct Workspace {
    /// Folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds, `CARGO_TARGET_DIR` and cargo's settings included.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// When the current directory is in no workspace.
    pub(crate) fn find() -> Result<Self> {
        let output = Command::new(program())
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .output()
            .with_context(|| format!("starting {}", program().display()))?;
        ensure!(
            output.status.success(),
            "cargo metadata failed; is this directory inside the repository?\n{}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let path = |field: &str| -> Result<PathBuf> {
            let text = metadata[field].as_str();
            Ok(PathBuf::from(text.with_context(|| format!("cargo metadata has no `{field}`"))?))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// A cargo command that runs in the workspace's root, so that its toolchain and settings hold.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// The text of a file of the workspace.
    ///
    /// # Errors
    /// When it cannot be read, naming it.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = self.root.join(path);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}

/// The cargo that called this program, else the one on the path.
pub(crate) fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A command as a person would type it.
pub(crate) fn typed(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let (name, value) = (name.to_string_lossy(), value?.to_string_lossy());
        Some(if value.contains(' ') { format!("{name}='{value}'") } else { format!("{name}={value}") })
    });
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words =
        [program].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy().into_owned());
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// Runs a command, of which nothing but the exit code matters here.
///
/// # Errors
/// When it is not 0: the command as it would be typed, and `advice`.
pub(crate) fn check(mut command: Command, advice: &str) -> Result<()> {
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("starting {}", typed(&command)))?;
    if !status.success() {
        bail!("{} ended with {status}; {advice}", typed(&command))
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_runs_inside_the_workspace_that_is_found() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.read("xtask/src/workspace.rs").unwrap().starts_with("//! Where the workspace"));
        let missing = workspace.read("no/such/file").unwrap_err().to_string();
        assert!(missing.contains("no/such/file"), "{missing}");
    }

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/some/where/cargo");
        command.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings").env_remove("GONE");
        assert_eq!(typed(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn a_failing_command_is_named_with_what_to_do() {
        let mut command = Command::new("cargo");
        command.arg("no-such-subcommand").stderr(Stdio::null());
        let message = check(command, "look up").unwrap_err().to_string();
        assert!(message.contains("cargo no-such-subcommand") && message.ends_with("look up"), "{message}");
    }
}
