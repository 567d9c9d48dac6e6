//! Which options make sense together.

use anyhow::{Result, bail};
use star_predict::device::DeviceName;

use super::{Args, CompatArg, Origin, Profile};

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
        if self.profile == Profile::Portraits {
            return self.validate_portraits();
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
                        "--{name} is for published data sets, the profile is offline: name one with --profile \
                         wflw, 300w, cofw, 300vw or all"
                    )
                }
            }
            if self.from == Some(Origin::Weights) {
                bail!("--from weights: there are no published weights for synthetic images; leave it out")
            }
            return Ok(());
        }
        for (name, given) in [
            ("thorough", self.thorough),
            ("confirm", self.confirm),
            ("pilot", self.pilot),
            ("records", self.records.is_some()),
            ("epochs", self.epochs.is_some()),
        ] {
            if given {
                bail!(
                    "--{name} is for the offline profile; trainings on data sets are changed by --override FILE"
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

    fn validate_portraits(&self) -> Result<()> {
        if self.data.is_none() {
            bail!(
                "--profile portraits: name the folder of the portraits by --data (docs/results/portraits/README.md)"
            )
        }
        for (name, given) in [
            ("weights", !self.weights.is_empty()),
            ("override", self.overrides.is_some()),
            ("ablations", self.ablations),
            ("overhead", self.overhead),
            ("thorough", self.thorough),
            ("confirm", self.confirm),
            ("records", self.records.is_some()),
            ("compat", self.compat != CompatArg::None),
            ("device", self.device != DeviceName::Cpu),
        ] {
            if given {
                bail!("--{name} is not for the profile portraits: leave it out")
            }
        }
        if self.from == Some(Origin::Weights) {
            bail!("--from weights: the profile portraits trains its networks; leave it out")
        }
        Ok(())
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
        assert!(refusal("--ablations").contains("--profile"));
        assert!(refusal("--profile wflw --confirm").contains("offline profile"));
        assert!(refusal("--profile wflw --thorough").contains("--override"));
        assert!(refusal("--profile wflw --seeds 3").contains("--from scratch"));
        assert!(refusal("--profile wflw --from scratch --weights a").contains("there are none"));
        assert!(refusal("--seeds 0").contains("at least 1"));
        assert!(refusal("--profile portraits").contains("--data"));
        assert!(refusal("--profile portraits --data d --compat reference").contains("--compat"));
        assert!(refusal("--profile portraits --data d --from weights").contains("trains"));
    }

    #[test]
    fn every_form_of_the_issue_is_understood() {
        for line in [
            "",
            "--profile offline --seeds 2 --out o --resume",
            "--confirm --resume --records r.jsonl",
            "--thorough --jobs 2",
            "--profile 300vw --data d --from weights --dry-run",
            "--profile all --data d --from scratch --seeds 3 --compat reference --ablations",
            "--profile cofw --weights folder --skip check --skip fetch",
            "--profile portraits --data d --pilot --epochs 2 --jobs 2 --resume",
        ] {
            let words = std::iter::once("x").chain(line.split_whitespace());
            Line::try_parse_from(words).unwrap().args.validate().unwrap();
        }
    }
}
