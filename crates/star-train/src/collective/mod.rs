//! A group of processes ("ranks") that train one network together, each on its part of every batch.
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

pub(crate) use buckets::all_reduce as all_reduce_gradients;
pub use launch::{Engine, open};
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
#[cfg(feature = "nccl")]
pub use nccl::Nccl;
pub use threads::threads;

/// What connects the ranks of a process group.
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
    fn all_reduce(&self, values: &mut [f64]) -> Result<()>;

    /// The sum over all ranks of a vector `[n]` in `f32` or `f64`, on the device where it lies, the same bits on each rank.
    ///
    /// # Errors
    /// When another rank has given up.
    fn all_reduce_tensor(&self, vector: &Tensor) -> Result<Tensor>;

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

    fn all_reduce(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn all_reduce_tensor(&self, vector: &Tensor) -> Result<Tensor> {
        Ok(vector.clone())
    }

    fn broadcast(&self, _: &mut [u8]) -> Result<()> {
        Ok(())
    }

    fn abort(&self, _: &str) {}
}

/// An error that all ranks have, so that none has to be aborted.
#[derive(Debug)]
pub(crate) struct SharedError(String);

impl std::fmt::Display for SharedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SharedError {}

impl dyn Collective {
    /// Whether it is true on any rank.
    pub(crate) fn any(&self, here: bool) -> Result<bool> {
        let mut count = [f64::from(u8::from(here))];
        self.all_reduce(&mut count)?;
        Ok(count[0] > 0.0)
    }

    /// `result` where all ranks have succeeded; otherwise an error on all of them, which names those that failed.
    pub(crate) fn agree<T>(&self, result: Result<T>) -> Result<T> {
        if self.ranks() == 1 {
            return result;
        }
        let mut failed = vec![0.0; self.ranks()];
        failed[self.rank()] = f64::from(u8::from(result.is_err()));
        self.all_reduce(&mut failed)?;
        let failed: Vec<String> = failed
            .iter()
            .enumerate()
            .filter(|&(_, &flag)| flag > 0.0)
            .map(|(rank, _)| rank.to_string())
            .collect();
        match result {
            Err(error) => Err(SharedError(failure::describe(&error)).into()),
            Ok(_) if !failed.is_empty() => Err(SharedError(format!(
                "rank {} failed and says why; this one stops with it",
                failed.join(", ")
            ))
            .into()),
            Ok(value) => Ok(value),
        }
    }

    /// Marks an error that every rank has come upon by itself, from the same numbers.
    pub(crate) fn shared_error(&self, error: anyhow::Error) -> anyhow::Error {
        if self.ranks() == 1 { error } else { SharedError(failure::describe(&error)).into() }
    }

    /// Whether this is rank 0, which writes the files and reports progress.
    pub(crate) fn leads(&self) -> bool {
        self.rank() == 0
    }
}

/// All ranks' sums of the statistics of batch norms.
pub(crate) struct Statistics(pub(crate) Arc<dyn Collective>);

impl AllReduce for Statistics {
    fn all_reduce(&self, values: &mut [f64]) -> candle_core::Result<()> {
        self.0.all_reduce(values).map_err(|error| candle_core::Error::Msg(failure::describe(&error)))
    }
}

/// Samples of each rank, of a batch of `batch` in all.
pub(crate) fn share(batch: usize, ranks: usize) -> Result<usize> {
    if !batch.is_multiple_of(ranks) {
        bail!(
            "batch_size: {batch} samples a step cannot be shared evenly by {ranks} ranks; it is the batch of all ranks together"
        )
    }
    Ok(batch / ranks)
}
