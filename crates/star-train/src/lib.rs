#![doc = include_str!("../README.md")]

pub mod collective;
pub mod config;
mod curves;
mod ema;
mod estimate;
pub mod evaluate;
mod holdout;
pub mod memory;
mod network;
mod objective;
mod optimizer;
mod progress;
pub mod records;
mod run;
mod schedule;
mod settings;
pub mod state;
mod tensorboard;
mod trainer;

pub use ema::Ema;
pub use estimate::{Estimate, StepTimes};
pub use holdout::{Together, hold_out};
pub use objective::{Loss, Objective, Share, TERMS};
pub use optimizer::{Adam, AdamW, Gradients, Optimizer, OptimizerConfig, Sgd};
pub use progress::Progress;
pub use run::Outcome;
pub use schedule::{Constant, Cosine, Decay, OneCycle, Schedule, StepDecay};
pub use settings::{Precision, Settings};
pub use state::Best;
pub use trainer::Trainer;
