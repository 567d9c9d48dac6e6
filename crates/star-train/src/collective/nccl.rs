//! Ranks as processes with a CUDA card each: gradients from card to card by NCCL, everything small by MPI.
//!
//! Written against cudarc 0.19 as candle 0.11 has it. It has not been run on cards by us.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, ReduceOp};
use candle_core::{CpuStorage, CudaDevice, CudaStorage, CustomOp1, DType, Layout, Shape, Tensor, bail};

use super::{Collective, Mpi};

/// This process among those that `mpirun` or `srun` started, with the card of its tensors.
pub struct Nccl {
    mpi: Mpi,
    /// Opened with the first tensor, which tells the card.
    comm: Mutex<Option<Held>>,
}

struct Held(Comm);

#[expect(
    unsafe_code,
    reason = "a communicator is a pointer that NCCL lets any thread use, one at a time: the mutex sees to that"
)]
// SAFETY: the pointer is reached through the mutex alone, and NCCL ties communicators to no thread.
unsafe impl Send for Held {}

impl Nccl {
    /// Meets the others, over MPI.
    ///
    /// # Errors
    /// As [`Mpi::start`].
    pub fn start() -> Result<Self> {
        Ok(Self { mpi: Mpi::start()?, comm: Mutex::new(None) })
    }

    /// A communicator on the stream that candle computes on. All ranks are here at the same time.
    fn connect(&self, device: &CudaDevice) -> candle_core::Result<Held> {
        // Rank 0 draws the name under which all meet.
        let own =
            if self.mpi.rank() == 0 { Some(Id::new().map_err(candle_core::Error::debug)?) } else { None };
        let mut bytes = [0u8; 128];
        if let Some(id) = &own {
            bytes.iter_mut().zip(id.internal()).for_each(|(byte, &letter)| *byte = letter as u8);
        }
        self.mpi.broadcast(&mut bytes).map_err(candle_core::Error::wrap)?;
        let id = Id::uninit(bytes.map(|byte| byte as std::ffi::c_char));
        let comm = Comm::from_rank(device.cuda_stream(), self.mpi.rank(), self.mpi.ranks(), id);
        comm.map(Held).map_err(candle_core::Error::debug)
    }
}

impl Collective for Nccl {
    fn rank(&self) -> usize {
        self.mpi.rank()
    }

    fn ranks(&self) -> usize {
        self.mpi.ranks()
    }

    fn local_rank(&self) -> usize {
        self.mpi.local_rank()
    }

    fn all_reduce(&self, values: &mut [f64]) -> Result<()> {
        self.mpi.all_reduce(values)
    }

    fn all_reduce_tensor(&self, vector: &Tensor) -> Result<Tensor> {
        if vector.device().is_cuda() {
            Ok(vector.contiguous()?.apply_op1_no_bwd(&Sum { nccl: self })?)
        } else {
            self.mpi.all_reduce_tensor(vector)
        }
    }

    fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
        self.mpi.broadcast(bytes)
    }

    fn abort(&self, reason: &str) {
        self.mpi.abort(reason);
    }
}

/// The sum over all ranks, as an op on the card.
struct Sum<'a> {
    nccl: &'a Nccl,
}

impl CustomOp1 for Sum<'_> {
    fn name(&self) -> &'static str {
        "nccl-sum"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        bail!("nccl-sum: expected a tensor on a CUDA card")
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let device = storage.device().clone();
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("nccl-sum: expected a contiguous tensor")
        };
        let mut held = self.nccl.comm.lock().unwrap_or_else(PoisonError::into_inner);
        let comm = match held.as_ref() {
            Some(comm) => comm,
            None => held.insert(self.nccl.connect(&device)?),
        };
        macro_rules! sum {
            ($t:ty) => {{
                let mut sums = device.alloc_zeros::<$t>(end - start)?;
                let values = storage.as_cuda_slice::<$t>()?.slice(start..end);
                comm.0.all_reduce(&values, &mut sums, &ReduceOp::Sum).map_err(candle_core::Error::debug)?;
                CudaStorage::wrap_cuda_slice(sums, device.clone())
            }};
        }
        let sums = match storage.dtype() {
            DType::F32 => sum!(f32),
            DType::F64 => sum!(f64),
            other => bail!("nccl-sum: expected f32 or f64, got {other:?}"),
        };
        Ok((sums, layout.shape().clone()))
    }
}
