//! What a person types after `cargo xtask reproduce-paper`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use star_data::formats::Compat;
use star_predict::device::DeviceName;

/// What to reproduce, and where to put it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// What to reproduce: generated pictures, or data sets of photographs unpacked below --data
    #[arg(long, value_enum, default_value_t = Profile::Offline)]
    pub(crate) profile: Profile,
    /// Folder that holds the data sets as they were unpacked (WFLW, 300W, COFW, 300VW)
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Score published weights, or train from scratch [default: weights; offline: scratch]
    #[arg(long, value_enum)]
    pub(crate) from: Option<Origin>,
    /// Weights instead of the published ones: a name, file, folder or hf: address; SET=WEIGHTS where several sets are scored
    #[arg(long, value_name = "[SET=]WEIGHTS")]
    pub(crate) weights: Vec<String>,
    /// Trainings under different seeds, of everything that is trained; --resume takes another number [default: photographs 1; offline faces
    /// 4, hands 3, restrictions 2; --thorough 6, 4, 3 and ablations 3]
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<u64>,
    /// Folder for trainings, scores and report [default: target/reproduce/PROFILE; photographs: reproduce/PROFILE]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with what an interrupted run has done
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print what would be done, how long it takes and what it fills, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave a stage out; what it would have made is taken from --out
    #[arg(long, value_enum, value_name = "STAGE")]
    pub(crate) skip: Vec<StageName>,
    /// Offline: more seeds, more strengths for the second domain, learning rates and every ablation
    #[arg(long)]
    pub(crate) thorough: bool,
    /// From scratch: also train the ablations (distances, restrictions, attention, backbones, stacks)
    #[arg(long)]
    pub(crate) ablations: bool,
    /// Also measure time and memory of a training step with and without STAR; a few minutes with nothing else on the machine
    #[arg(long)]
    pub(crate) overhead: bool,
    /// Repeat the reference's deviations from a plain evaluation, to match published figures; printed beside them
    #[arg(long, value_enum, default_value_t = CompatArg::None)]
    pub(crate) compat: CompatArg,
    /// TOML whose settings replace those of every training; the report says so
    #[arg(long = "override", value_name = "FILE")]
    pub(crate) overrides: Option<PathBuf>,
    /// Epochs of each offline training; fewer is a quick look, not the table
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Where to compute on photographs: cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = DeviceName::Cpu, value_name = "NAME")]
    pub(crate) device: DeviceName,
    /// Offline trainings at a time, one thread each [default: one a core]; changes no number
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

/// What is reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// The claim on generated ambiguity: no data, no network
    Offline,
    /// WFLW, 98 points
    Wflw,
    /// 300W, 68 points
    #[value(name = "300w")]
    #[serde(rename = "300w")]
    Face300w,
    /// COFW, 29 points
    Cofw,
    /// 300VW, 68 points in videos
    #[value(name = "300vw")]
    #[serde(rename = "300vw")]
    Face300vw,
    /// All data sets of photographs
    All,
}

impl Profile {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Wflw => "wflw",
            Self::Face300w => "300w",
            Self::Cofw => "cofw",
            Self::Face300vw => "300vw",
            Self::All => "all",
        }
    }
}

/// Where networks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Published weights
    Weights,
    /// Trained here
    Scratch,
}

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StageName {
    /// Look at the data and hash them
    Check,
    /// Fetch published weights
    Fetch,
    /// Train
    Train,
    /// Score
    Eval,
    /// Tables and report
    Table,
}

impl StageName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Fetch => "fetch",
            Self::Train => "train",
            Self::Eval => "eval",
            Self::Table => "table",
        }
    }
}

/// Whether the reference's deviations are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CompatArg {
    /// They are not
    None,
    /// The first row of a TSV file is dropped, COFW's points stay 1-based, labels are clamped, the best epoch is chosen on the test set
    Reference,
}

impl CompatArg {
    pub(crate) fn compat(self) -> Compat {
        match self {
            Self::None => Compat::None,
            Self::Reference => Compat::Reference,
        }
    }
}

impl Args {
    /// Refuses what makes no sense together, saying what would.
    ///
    /// # Errors
    /// With the option that is wrong.
    pub(crate) fn validate(&self) -> Result<()> {
        for (name, value) in
            [("seeds", self.seeds.map(|v| v as usize)), ("epochs", self.epochs), ("jobs", self.jobs)]
        {
            if value == Some(0) {
                bail!("--{name}: expected at least 1, got 0")
            }
        }
        if self.profile == Profile::Offline {
            for (name, given) in [
                ("data", self.data.is_some()),
                ("weights", !self.weights.is_empty()),
                ("override", self.overrides.is_some()),
                ("ablations", self.ablations),
                ("compat", self.compat != CompatArg::None),
                ("device", self.device != DeviceName::Cpu),
            ] {
                if given {
                    bail!(
                        "--{name} is for photographs, the profile is offline: name one with --profile \
                         wflw, 300w, cofw, 300vw or all{}",
                        if name == "ablations" { "; offline they are part of --thorough" } else { "" }
                    )
                }
            }
            if self.from == Some(Origin::Weights) {
                bail!("--from weights: there are no published weights for generated pictures; leave it out")
            }
            return Ok(());
        }
        for (name, given) in [("thorough", self.thorough), ("epochs", self.epochs.is_some())] {
            if given {
                bail!(
                    "--{name} is for the offline profile; trainings on photographs are changed by --override FILE"
                )
            }
        }
        if self.origin() == Origin::Weights {
            for (name, given) in [
                ("ablations", self.ablations),
                ("override", self.overrides.is_some()),
                ("seeds", self.seeds.is_some()),
            ] {
                if given {
                    bail!("--{name} is about trainings: add --from scratch")
                }
            }
        } else if !self.weights.is_empty() {
            bail!("--weights is about published weights; with --from scratch there are none")
        }
        Ok(())
    }

    /// Where networks come from, unless said otherwise.
    pub(crate) fn origin(&self) -> Origin {
        let usual = if self.profile == Profile::Offline { Origin::Scratch } else { Origin::Weights };
        self.from.unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn refusal(line: &str) -> String {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().args.validate().unwrap_err().to_string()
    }

    #[test]
    fn options_of_another_profile_are_refused_with_what_to_do() {
        assert!(refusal("--data d").contains("--profile"));
        assert!(refusal("--from weights").contains("no published weights"));
        assert!(refusal("--ablations").contains("--thorough"));
        assert!(refusal("--profile wflw --thorough").contains("--override"));
        assert!(refusal("--profile wflw --seeds 3").contains("--from scratch"));
        assert!(refusal("--profile wflw --from scratch --weights a").contains("there are none"));
        assert!(refusal("--seeds 0").contains("at least 1"));
    }

    #[test]
    fn every_form_of_the_issue_is_understood() {
        for line in [
            "",
            "--profile offline --seeds 2 --out o --resume",
            "--profile 300vw --data d --from weights --dry-run",
            "--profile all --data d --from scratch --seeds 3 --compat reference --ablations",
            "--profile cofw --weights folder --skip check --skip fetch",
        ] {
            let words = std::iter::once("x").chain(line.split_whitespace());
            Line::try_parse_from(words).unwrap().args.validate().unwrap();
        }
    }
}
