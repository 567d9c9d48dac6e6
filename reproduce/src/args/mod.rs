//! What a person types after `cargo xtask reproduce-paper`.

mod check;
mod names;

use std::path::PathBuf;

use star_predict::device::DeviceName;

pub(crate) use names::{CompatArg, Origin, Profile, StageName};

/// What to reproduce, and where to put it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// What to reproduce: synthetic images, or published data sets unpacked below --data
    #[arg(long, value_enum, default_value_t = Profile::Offline)]
    pub(crate) profile: Profile,
    /// Folder that holds the data sets as they were unpacked (WFLW, 300W, COFW, 300VW); portraits: that of the portraits
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Score published weights, or train from scratch [default: weights; offline: scratch]
    #[arg(long, value_enum)]
    pub(crate) from: Option<Origin>,
    /// Weights instead of the published ones: a name, file, folder or hf: address; SET=WEIGHTS where several sets are scored
    #[arg(long, value_name = "[SET=]WEIGHTS")]
    pub(crate) weights: Vec<String>,
    /// Trainings under different seeds, of everything that is trained; --resume takes another number [default: data sets 1; offline 4;
    /// --thorough leaves 8, faces 6; --confirm 12; portraits 8]
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<u64>,
    /// Folder for trainings, scores and report [default: target/reproduce/PROFILE; data sets: runs/PROFILE]
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
    /// Offline: ambiguity of images and of labels each by itself, smooth-L1 too, twice the images, twice the seeds, faces beside leaves,
    /// longer trainings and restarts
    #[arg(long, conflicts_with_all = ["confirm", "pilot"])]
    pub(crate) thorough: bool,
    /// Offline: what the first experiment showed post hoc, again on fresh images, registered before
    #[arg(long, conflicts_with = "pilot")]
    pub(crate) confirm: bool,
    /// Offline: the trainings that the weights of restrictions were chosen by, on images that no other run has; portraits: those too
    #[arg(long)]
    pub(crate) pilot: bool,
    /// Offline: go on from the records of trainings in a file that a report left (records.jsonl), on another machine too; no weights are
    /// needed
    #[arg(long, value_name = "FILE", requires = "resume")]
    pub(crate) records: Option<PathBuf>,
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
    /// Epochs of each training, offline and on portraits; fewer is a quick look, not the table
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Where to compute on data sets: cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = DeviceName::Cpu, value_name = "NAME")]
    pub(crate) device: DeviceName,
    /// Trainings at a time, offline and on portraits, one thread each [default: one a core]; changes no number
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

impl Args {
    /// Where networks come from, unless said otherwise.
    pub(crate) fn origin(&self) -> Origin {
        let own = matches!(self.profile, Profile::Offline | Profile::Portraits);
        let usual = if own { Origin::Scratch } else { Origin::Weights };
        self.from.unwrap_or(usual)
    }
}
