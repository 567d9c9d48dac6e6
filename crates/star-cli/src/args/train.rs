//! `star train`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use star_train::{collective, config};

/// Networks that an example configuration can be about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The published hourglass: 4 stacks, 256 channels, 256 px
    #[default]
    Reference,
    /// An hourglass for the CPU of a laptop: 2 stacks, 128 channels, 256 px
    Lite,
    /// An hourglass for trials: 1 stack of 3 levels, 64 channels, 128 px
    Tiny,
    /// HRNetV2-W18, 256 px; its trunk can start from `init_from = "hrnet-w18-imagenet"`
    HrnetW18,
    /// A light pyramid, for landmarks in milliseconds on one core: 256 px
    Light,
}

impl From<Preset> for config::Preset {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Reference => Self::Reference,
            Preset::Lite => Self::Lite,
            Preset::Tiny => Self::Tiny,
            Preset::HrnetW18 => Self::HrnetW18,
            Preset::Light => Self::Light,
        }
    }
}

/// Engines between the processes of a training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// MPI where mpirun or srun started several processes, none otherwise
    #[default]
    Auto,
    /// This process alone, whoever started it
    None,
    /// MPI, over the host's memory (needs a build with the feature `mpi`)
    Mpi,
    /// NCCL for gradients on CUDA cards, MPI for the rest (needs a build with the feature `nccl`)
    Nccl,
}

impl From<Engine> for collective::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Auto => Self::Auto,
            Engine::None => Self::None,
            Engine::Mpi => Self::Mpi,
            Engine::Nccl => Self::Nccl,
        }
    }
}

/// Arguments of `star train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Training configuration, TOML; `star train --example` prints one with every setting
    #[arg(long, value_name = "FILE", required_unless_present = "example")]
    pub config: Option<PathBuf>,
    /// Folder for checkpoints, metrics and state; made if missing
    #[arg(long, value_name = "DIR", required_unless_present_any = ["example", "dry_run"])]
    pub out: Option<PathBuf>,
    /// Go on from the newest state in the folder
    #[arg(long)]
    pub resume: bool,
    /// Take a few steps, print what the whole run would need in memory, disk and time, and keep nothing
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// What connects the processes that train together; `batch_size` is that of all of them
    #[arg(long, value_enum, default_value_t, conflicts_with = "dry_run")]
    pub engine: Engine,
    /// Print a configuration with every setting at its default and stop
    #[arg(long)]
    pub example: bool,
    /// With --example, the network that it is about
    #[arg(long, value_enum, requires = "example")]
    pub preset: Option<Preset>,
}
