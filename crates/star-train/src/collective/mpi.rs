//! Ranks as processes under an MPI (`mpirun`, `srun`).

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Tensor};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};

use super::Collective;

/// Numbers summed at a time: MPI counts in 32 bits.
const PIECE: usize = 1 << 28;

/// This process among those that `mpirun` or `srun` started. Dropping it waits for the others.
///
/// Collectives are called by one thread at a time.
pub struct Mpi {
    rank: usize,
    ranks: usize,
    local: usize,
    _universe: Universe,
}

/// MPI can be entered once in the life of a process.
static ENTERED: AtomicBool = AtomicBool::new(false);

impl Mpi {
    /// Meets the others.
    ///
    /// # Errors
    /// When this process has done so before, or the MPI cannot be called from more than one thread in turn.
    pub fn start() -> Result<Self> {
        ensure!(!ENTERED.swap(true, Ordering::SeqCst), "MPI was entered before in this process");
        let (universe, threading) = mpi::initialize_with_threading(Threading::Serialized)
            .context("MPI was entered before in this process")?;
        ensure!(
            threading >= Threading::Serialized,
            "this MPI gives {threading:?} where calls from one thread at a time are needed: build it with threads"
        );
        let world = SimpleCommunicator::world();
        let local = world.split_shared(world.rank()).rank();
        Ok(Self {
            rank: world.rank() as usize,
            ranks: world.size() as usize,
            local: local as usize,
            _universe: universe,
        })
    }

    fn summed<T: mpi::traits::Equivalence + Clone>(values: &[T]) -> Vec<T> {
        let world = SimpleCommunicator::world();
        let mut sums = values.to_vec();
        for (values, sums) in values.chunks(PIECE).zip(sums.chunks_mut(PIECE)) {
            world.all_reduce_into(values, sums, SystemOperation::sum());
        }
        sums
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn local_rank(&self) -> usize {
        self.local
    }

    fn all_reduce(&self, values: &mut [f64]) -> Result<()> {
        values.copy_from_slice(&Self::summed(values));
        Ok(())
    }

    fn all_reduce_tensor(&self, vector: &Tensor) -> Result<Tensor> {
        let device = vector.device();
        match vector.dtype() {
            DType::F32 => Ok(Tensor::new(Self::summed(&vector.to_vec1::<f32>()?), device)?),
            DType::F64 => Ok(Tensor::new(Self::summed(&vector.to_vec1::<f64>()?), device)?),
            other => bail!("gradients: expected f32 or f64, got {other:?}"),
        }
    }

    fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
        let world = SimpleCommunicator::world();
        bytes.chunks_mut(PIECE).for_each(|piece| world.process_at_rank(0).broadcast_into(piece));
        Ok(())
    }

    fn abort(&self, reason: &str) {
        eprintln!("error: rank {}: {reason}", self.rank);
        SimpleCommunicator::world().abort(1)
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // Leaving MPI in good order waits for the others, who may be waiting for this rank.
        if std::thread::panicking() {
            SimpleCommunicator::world().abort(101)
        }
    }
}
