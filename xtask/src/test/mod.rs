//! `cargo xtask test`: every check in one command, stopping at the first failure; the tests come last, so that their summary closes.

mod cuda;
mod examples;
mod outside;

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, anyhow};
use clap::ValueEnum;

use crate::tidy;
use crate::workspace::{Workspace, check};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run this step only; may be given several times
    #[arg(long = "step", value_name = "NAME", value_enum)]
    steps: Vec<Step>,
    /// List the steps and stop
    #[arg(long)]
    list: bool,
}

/// Features that are off by default: what needs nothing of the system, and training by several processes where an MPI is installed. All
/// steps have them, so that nothing is built twice.
fn features() -> &'static str {
    if has_mpi() { "star-cli/bulk,star-cli/serve,star-cli/mpi" } else { "star-cli/bulk,star-cli/serve" }
}

/// One check. The order here is the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// rustfmt would change nothing
    Fmt,
    /// The invariants that text can check
    Tidy,
    /// Licences, sources and doubled versions of dependencies, where cargo-deny is installed
    Deny,
    /// No warning in any target
    Clippy,
    /// No warning of the loss and the networks on 64-bit ARM, where rustup has its standard library
    Arm,
    /// Documentation builds without a warning
    Docs,
    /// Examples in documentation
    Doctests,
    /// Every example of a crate runs without arguments
    Examples,
    /// Crates outside the workspace train a network of their own, and score data of their own
    Outside,
    /// The code for CUDA cards computes what the CPU does, on a stand-in that runs kernels on the CPU; where g++ and python3 are installed
    Cuda,
    /// Unit and integration tests; where an MPI with its headers, and libclang, are installed, also that processes train as one
    Tests,
}

/// What became of a step that did not fail.
enum Outcome {
    /// It passed.
    Passed,
    /// It could not run here, and why that is fine.
    Skipped(&'static str),
}

/// Runs the steps asked for, all without `--step`.
///
/// # Errors
/// At the first step that fails, saying how to repeat it alone.
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    if args.list {
        for step in Step::value_variants() {
            println!("{:<10}{}", step.name(), step.claim());
        }
        return Ok(());
    }
    for &step in Step::value_variants() {
        if !args.steps.is_empty() && !args.steps.contains(&step) {
            continue;
        }
        println!("== {}: {}", step.name(), step.claim());
        let start = Instant::now();
        let outcome = step.run(workspace).map_err(|error| {
            let name = step.name();
            anyhow!("step {name} failed: {error:#}\nto repeat it alone: cargo xtask test --step {name}")
        })?;
        match outcome {
            Outcome::Skipped(why) => println!("{}: skipped, {why}\n", step.name()),
            // The runner's own summary is the last thing that is read.
            Outcome::Passed if step == Step::Tests => {}
            Outcome::Passed => println!("{}: ok in {:.1} s\n", step.name(), start.elapsed().as_secs_f64()),
        }
    }
    Ok(())
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }

    fn claim(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    fn run(self, workspace: &Workspace) -> Result<Outcome> {
        let cargo = |arguments: &[&str]| workspace.cargo(arguments);
        match self {
            Self::Fmt => checked(cargo(&["fmt", "--all", "--", "--check"]), "cargo fmt --all puts it right"),
            Self::Tidy => tidy::run(workspace).map(|()| Outcome::Passed),
            Self::Deny => deny(workspace),
            Self::Clippy => checked(
                cargo(&[
                    "clippy",
                    "--workspace",
                    "--exclude",
                    "star-py",
                    "--features",
                    features(),
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ]),
                "each finding above names its line",
            ),
            Self::Arm => arm(workspace),
            Self::Docs => {
                let mut command = cargo(&[
                    "doc",
                    "--workspace",
                    "--exclude",
                    "star-py",
                    "--features",
                    features(),
                    "--no-deps",
                ]);
                command.env("RUSTDOCFLAGS", "-D warnings");
                checked(command, "each finding above names its line")
            }
            Self::Doctests => checked(
                cargo(&[
                    "test",
                    "--workspace",
                    "--exclude",
                    "star-py",
                    "--features",
                    features(),
                    "--doc",
                    "--no-fail-fast",
                ]),
                EACH_FAILURE,
            ),
            Self::Examples => examples::run(workspace).map(|()| Outcome::Passed),
            Self::Outside => outside::run(workspace).map(|()| Outcome::Passed),
            Self::Cuda => cuda::run(workspace),
            Self::Tests => tests(workspace),
        }
    }
}

/// The crates with kernels of their own, checked for a CPU that no machine here has: nothing is linked or run.
fn arm(workspace: &Workspace) -> Result<Outcome> {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output()?;
    let library = String::from_utf8_lossy(&sysroot.stdout).trim().to_string() + "/lib/rustlib/" + TARGET;
    if !std::path::Path::new(&library).is_dir() {
        return Ok(Outcome::Skipped("`rustup target add aarch64-unknown-linux-gnu` was not called"));
    }
    checked(
        workspace.cargo(&[
            "clippy",
            "--target",
            TARGET,
            "--package",
            "star-loss",
            "--package",
            "star-model",
            "--",
            "-D",
            "warnings",
        ]),
        "each finding above names its line",
    )
}

const EACH_FAILURE: &str = "each failure above names its test";

/// Unit and integration tests, by nextest where it is installed.
fn tests(workspace: &Workspace) -> Result<Outcome> {
    if !has_mpi() {
        println!(
            "tests of training by several processes: skipped, mpirun, mpicc or libclang is not installed"
        );
    }
    let arguments: &[&str] = if installed(workspace, "nextest") {
        &["nextest", "run", "--workspace", "--exclude", "star-py", "--features", features(), "--no-fail-fast"]
    } else {
        &[
            "test",
            "--workspace",
            "--exclude",
            "star-py",
            "--features",
            features(),
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ]
    };
    checked(workspace.cargo(arguments), EACH_FAILURE)
}

/// Whether training by several processes can be built and run: an MPI with its headers, and the libclang that reads them.
fn has_mpi() -> bool {
    runs("mpirun") && runs("mpicc") && (std::env::var_os("LIBCLANG_PATH").is_some() || has_libclang())
}

/// Whether the dynamic linker knows libclang, with a version in its name or without; `libclang-cpp` is another library.
fn has_libclang() -> bool {
    let is_it = |word: &str| {
        let rest = word.strip_prefix("libclang").map(|rest| rest.trim_start_matches('-'));
        rest.is_some_and(|rest| rest.starts_with(".so") || rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    ["ldconfig", "/sbin/ldconfig"].iter().any(|program| {
        let output = Command::new(program).arg("-p").stderr(Stdio::null()).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).split_whitespace().any(is_it))
    })
}

/// Whether a program of the system can be started.
fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Advisories are left out: they change by the day, the code does not. CONTRIBUTING.md names the command.
fn deny(workspace: &Workspace) -> Result<Outcome> {
    if !installed(workspace, "deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed"));
    }
    let arguments =
        ["deny", "--workspace", "--locked", "check", "--hide-inclusion-graph", "licenses", "sources", "bans"];
    checked(workspace.cargo(&arguments), "deny.toml says what is allowed")
}

/// Whether cargo has the subcommand.
fn installed(workspace: &Workspace, subcommand: &str) -> bool {
    let mut command = workspace.cargo(&[subcommand, "--version"]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn checked(command: Command, advice: &str) -> Result<Outcome> {
    check(command, advice).map(|()| Outcome::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_and_a_claim_and_the_tests_come_last() {
        for step in Step::value_variants() {
            assert!(!step.name().is_empty() && !step.claim().is_empty(), "{step:?}");
        }
        assert_eq!(Step::value_variants().last(), Some(&Step::Tests));
    }
}
