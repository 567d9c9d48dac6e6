//! Processes ("ranks") that train one network together: what they ask of the engine between them, and what follows from it.
//!
//! All ranks call the same functions in the same order. An engine moves numbers; how gradients, losses and statistics are made of
//! them is the trainer's.

mod buckets;
mod bytes;
mod launch;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
mod threads;

use std::sync::Arc;

use anyhow::{Result, bail};
use candle_core::Tensor;
use star_model::AllReduce;
use star_predict::failure;

pub(super) use buckets::sum as sum_gradients;
pub use launch::{Engine, open};
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
#[cfg(feature = "nccl")]
pub use nccl::Nccl;
pub use threads::threads;

/// What connects the ranks.
pub trait Collective: Send + Sync {
    /// This one's number, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// Its number among those on the same machine: which graphics card is its own.
    fn local_rank(&self) -> usize {
        self.rank()
    }

    /// Replaces `values` by their sums over all ranks, the same bits on each.
    ///
    /// # Errors
    /// When another rank has given up.
    fn sum(&self, values: &mut [f64]) -> Result<()>;

    /// The sum over all ranks of a vector `[n]` in `f32` or `f64`, on the device where it lies, the same bits on each rank.
    ///
    /// # Errors
    /// When another rank has given up.
    fn sum_tensor(&self, vector: &Tensor) -> Result<Tensor>;

    /// Replaces `bytes` by those of rank 0; as many on each rank.
    ///
    /// # Errors
    /// When another rank has given up.
    fn broadcast(&self, bytes: &mut [u8]) -> Result<()>;

    /// Ends the other ranks, which may be waiting for this one: it cannot go on, for `reason`. May end this process too.
    fn abort(&self, reason: &str);
}

/// One process alone.
pub struct Alone;

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn sum_tensor(&self, vector: &Tensor) -> Result<Tensor> {
        Ok(vector.clone())
    }

    fn broadcast(&self, _: &mut [u8]) -> Result<()> {
        Ok(())
    }

    fn abort(&self, _: &str) {}
}

/// An error that all ranks know of, so that all end in good order.
#[derive(Debug)]
pub(super) struct Known(String);

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Known {}

impl dyn Collective {
    /// Whether any rank says so.
    pub(super) fn any(&self, this: bool) -> Result<bool> {
        let mut count = [f64::from(u8::from(this))];
        self.sum(&mut count)?;
        Ok(count[0] > 0.0)
    }

    /// `result` where all ranks have succeeded; otherwise an error on all of them, which names those that failed.
    pub(super) fn agree<T>(&self, result: Result<T>) -> Result<T> {
        if self.ranks() == 1 {
            return result;
        }
        let mut failed = vec![0.0; self.ranks()];
        failed[self.rank()] = f64::from(u8::from(result.is_err()));
        self.sum(&mut failed)?;
        let failed: Vec<String> = failed
            .iter()
            .enumerate()
            .filter(|&(_, &flag)| flag > 0.0)
            .map(|(rank, _)| rank.to_string())
            .collect();
        match result {
            Err(error) => Err(Known(failure::describe(&error)).into()),
            Ok(_) if !failed.is_empty() => {
                Err(Known(format!("rank {} failed and says why; this one stops with it", failed.join(", ")))
                    .into())
            }
            Ok(value) => Ok(value),
        }
    }

    /// An error that every rank has come upon by itself, from the same numbers.
    pub(super) fn known(&self, error: anyhow::Error) -> anyhow::Error {
        if self.ranks() == 1 { error } else { Known(failure::describe(&error)).into() }
    }

    /// Whether this rank writes files and talks.
    pub(super) fn leads(&self) -> bool {
        self.rank() == 0
    }
}

/// The statistics of batch norms, by way of the ranks.
pub(super) struct Statistics(pub(super) Arc<dyn Collective>);

impl AllReduce for Statistics {
    fn all_reduce(&self, values: &mut [f64]) -> candle_core::Result<()> {
        self.0.sum(values).map_err(|error| candle_core::Error::Msg(failure::describe(&error)))
    }
}

/// `batch` faces shared out evenly.
pub(super) fn share(batch: usize, ranks: usize) -> Result<usize> {
    if !batch.is_multiple_of(ranks) {
        bail!(
            "batch_size: {batch} faces a step cannot be shared evenly by {ranks} ranks; it is the batch of all ranks together"
        )
    }
    Ok(batch / ranks)
}
