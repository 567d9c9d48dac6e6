//! `cargo xtask test`: every check in one command, cheapest first, stopping at the first failure.

mod outside;
mod stream;
mod tally;

use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;

use crate::tidy;
use crate::workspace::{Workspace, typed};
use tally::Tally;

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
    /// Unit and integration tests
    Tests,
    /// Examples in documentation
    Doctests,
    /// Documentation builds without a warning
    Docs,
    /// Two MPI processes train as one, where an MPI with its headers, and libclang, are installed
    Mpi,
    /// A crate outside the workspace trains with star-loss alone
    Outside,
}

/// What became of a step that did not fail.
enum Outcome {
    /// It held.
    Held,
    /// It held and ran tests.
    Ran(Tally),
    /// It could not run here, and why that is fine.
    Skipped(&'static str),
}

/// Runs the steps asked for, all without `--step`; ends with the line `N passed, 0 failed`.
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
    let mut total: Option<Tally> = None;
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
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Outcome::Held => println!("{}: ok in {seconds:.1} s\n", step.name()),
            Outcome::Skipped(why) => println!("{}: skipped, {why}\n", step.name()),
            Outcome::Ran(tally) => {
                println!("{}: {} passed in {seconds:.1} s\n", step.name(), tally.passed);
                total = Some(total.unwrap_or_default() + tally);
            }
        }
    }
    if let Some(total) = total {
        println!("{total}");
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
        match self {
            Self::Fmt => {
                quiet(workspace.cargo(&["fmt", "--all", "--", "--check"]), "cargo fmt --all puts it right")
            }
            Self::Tidy => tidy::run(workspace).map(|()| Outcome::Held),
            Self::Deny => deny(workspace),
            Self::Clippy => quiet(
                workspace.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
                "each finding above names its line",
            ),
            Self::Tests => tests(workspace),
            Self::Doctests => counted(
                workspace.cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]),
                tally::of_cargo_test,
            ),
            Self::Docs => {
                let mut command = workspace.cargo(&["doc", "--workspace", "--no-deps"]);
                command.env("RUSTDOCFLAGS", "-D warnings");
                quiet(command, "each finding above names its line")
            }
            Self::Mpi => mpi(workspace),
            Self::Outside => outside::run(workspace).map(|()| Outcome::Held),
        }
    }
}

/// Unit and integration tests, by nextest where it is installed.
fn tests(workspace: &Workspace) -> Result<Outcome> {
    if installed(workspace, "nextest") {
        let arguments = ["nextest", "run", "--workspace", "--no-fail-fast"];
        return counted(workspace.cargo(&arguments), tally::of_nextest);
    }
    let arguments = ["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"];
    counted(workspace.cargo(&arguments), tally::of_cargo_test)
}

/// Last of the tests: the program is built once more, with a feature that no other step has.
fn mpi(workspace: &Workspace) -> Result<Outcome> {
    if !runs("mpirun") || !runs("mpicc") {
        return Ok(Outcome::Skipped("mpirun or mpicc is not installed"));
    }
    // Of the whole workspace, so that the features of what lies below are those of the other steps and nothing below is built again.
    let arguments = ["test", "--workspace", "--features", "star-cli/mpi", "--test", "mpi"];
    counted(workspace.cargo(&arguments), tally::of_cargo_test)
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
    quiet(workspace.cargo(&arguments), "deny.toml says what is allowed")
}

/// Whether cargo has the subcommand.
fn installed(workspace: &Workspace, subcommand: &str) -> bool {
    let mut command = workspace.cargo(&[subcommand, "--version"]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs a command that holds when it exits with 0.
fn quiet(mut command: Command, advice: &str) -> Result<Outcome> {
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("starting {}", typed(&command)))?;
    check(status, &command, advice)?;
    Ok(Outcome::Held)
}

/// Runs a command that runs tests, and reads from its output how many.
fn counted(mut command: Command, read: fn(&str) -> Tally) -> Result<Outcome> {
    let (status, output) = stream::run(&mut command)?;
    let tally = read(&output);
    if tally.failed > 0 {
        println!("{tally}");
    }
    check(status, &command, "each failure above names its test")?;
    if tally.failed > 0 || tally.passed == 0 {
        bail!("{} ended well and reported {tally}: expected tests that pass", typed(&command))
    }
    Ok(Outcome::Ran(tally))
}

fn check(status: ExitStatus, command: &Command, advice: &str) -> Result<()> {
    if !status.success() {
        bail!("{} ended with {status}; {advice}", typed(command))
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_and_a_claim() {
        for step in Step::value_variants() {
            assert!(!step.name().is_empty() && !step.claim().is_empty(), "{step:?}");
        }
    }

    #[test]
    fn tests_that_did_not_run_are_no_success() {
        let nothing = |_: &str| Tally::default();
        let mut command = Command::new("cargo");
        command.arg("--version");
        let message = counted(command, nothing).err().unwrap().to_string();
        assert!(message.contains("0 passed, 0 failed"), "{message}");
    }

    #[test]
    fn a_failing_command_is_named_with_what_to_do() {
        let mut command = Command::new("cargo");
        command.arg("no-such-subcommand").stderr(Stdio::null());
        let message = quiet(command, "look up").err().unwrap().to_string();
        assert!(message.contains("cargo no-such-subcommand") && message.ends_with("look up"), "{message}");
    }
}
