//! The code for CUDA cards on the stand-in of `tools/gpu/emulator`, which runs kernels on the CPU: linted, and held to the CPU's numbers.

use std::process::Command;

use anyhow::Result;

use super::{Outcome, runs};
use crate::workspace::{Workspace, check, program};

const FEATURES: &str = "star-train/cuda,star-train/cudnn,star-train/nccl";

/// The crates that know of cards; `star` and the experiments pass their features on.
const CRATES: [&str; 8] = [
    "--package",
    "star-loss",
    "--package",
    "star-model",
    "--package",
    "star-predict",
    "--package",
    "star-train",
];

/// A command of cargo's for these crates with these features.
fn named(first: &[&'static str]) -> Vec<&'static str> {
    [first, &CRATES, &["--features", FEATURES]].concat()
}

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Outcome::Skipped("the stand-in for CUDA is for Linux on x86-64"));
    }
    if !runs("g++") || !runs("python3") {
        return Ok(Outcome::Skipped("g++ or python3 is not installed: they make the stand-in for CUDA"));
    }
    let stand_in = workspace.target.join("gpu/stand-in");
    let mut make = Command::new(workspace.root.join("tools/gpu/emulator/make.sh"));
    make.arg(&stand_in).current_dir(&workspace.root);
    check(make, "tools/gpu/emulator/make.sh names the file that g++ does not compile")?;
    let cargo = |arguments: &[&[&str]]| {
        let mut command = Command::new("bash");
        command.args(["-c", "source \"$0\" && exec \"$@\""]).arg(stand_in.join("env.sh")).arg(program());
        command.args(arguments.concat()).current_dir(&workspace.root);
        command
    };
    let lint = named(&["clippy", "--all-targets"]);
    check(cargo(&[&lint, &["--", "-D", "warnings"]]), "each finding above names its line")?;
    let test = named(&["test", "--no-fail-fast"]);
    // In libraries, the tests of modules named after what they test.
    check(cargo(&[&test, &["--lib", "--", "cuda", "card"]]), super::EACH_FAILURE)?;
    let files = ["card", "golden", "golden_network", "golden_training", "mixed_precision"];
    let files: Vec<&str> = files.iter().flat_map(|file| ["--test", file]).collect();
    check(cargo(&[&test, &files]), super::EACH_FAILURE)?;
    Ok(Outcome::Passed)
}
