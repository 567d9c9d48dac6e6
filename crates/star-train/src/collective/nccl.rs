//! Ranks as processes with a CUDA card each: gradients from card to card by NCCL, everything small by another collective.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, ReduceOp};
use candle_core::{CpuStorage, CudaDevice, CudaStorage, CustomOp1, DType, Layout, Shape, Tensor, bail};
use star_model::cuda::card;

use super::Collective;

/// The ranks of `M`, with the card of this one's tensors.
///
/// ```no_run
/// use star_train::collective::{Alone, Nccl};
///
/// let alone = Nccl::over(Alone);
/// ```
pub struct Nccl<M> {
    small: M,
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

impl<M: Collective> Nccl<M> {
    /// NCCL between the ranks that `small` connects; it carries all but tensors on cards. NCCL is started with the first of these.
    pub fn over(small: M) -> Self {
        Self { small, comm: Mutex::new(None) }
    }

    /// A communicator on the stream that candle computes on. All ranks are here at the same time.
    fn connect(&self, device: &CudaDevice) -> candle_core::Result<Held> {
        // Rank 0 draws the name under which all meet.
        let own =
            if self.small.rank() == 0 { Some(Id::new().map_err(candle_core::Error::debug)?) } else { None };
        let mut bytes = [0u8; 128];
        if let Some(id) = &own {
            bytes.iter_mut().zip(id.internal()).for_each(|(byte, &letter)| *byte = letter as u8);
        }
        self.small.broadcast(&mut bytes).map_err(candle_core::Error::wrap)?;
        let id = Id::uninit(bytes.map(|byte| byte as std::ffi::c_char));
        let stream = device.cuda_stream();
        // NCCL takes the card that is current on this thread.
        stream.context().bind_to_thread().map_err(candle_core::Error::wrap)?;
        let comm = Comm::from_rank(stream, self.small.rank(), self.small.ranks(), id);
        comm.map(Held).map_err(candle_core::Error::debug)
    }
}

impl<M: Collective> Collective for Nccl<M> {
    fn rank(&self) -> usize {
        self.small.rank()
    }

    fn ranks(&self) -> usize {
        self.small.ranks()
    }

    fn local_rank(&self) -> usize {
        self.small.local_rank()
    }

    fn all_reduce(&self, values: &mut [f64]) -> Result<()> {
        self.small.all_reduce(values)
    }

    fn all_reduce_tensor(&self, vector: &Tensor) -> Result<Tensor> {
        if vector.device().is_cuda() {
            Ok(vector.contiguous()?.apply_op1_no_bwd(&Sum { nccl: self })?)
        } else {
            self.small.all_reduce_tensor(vector)
        }
    }

    fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
        self.small.broadcast(bytes)
    }

    fn abort(&self, reason: &str) {
        self.small.abort(reason);
    }
}

/// The sum over all ranks, as an op on the card.
struct Sum<'a, M> {
    nccl: &'a Nccl<M>,
}

impl<M: Collective> CustomOp1 for Sum<'_, M> {
    fn name(&self) -> &'static str {
        "nccl-sum"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        bail!("nccl-sum: expected a tensor on a CUDA card")
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let device = storage.device();
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("nccl-sum: expected a contiguous tensor")
        };
        let mut held = self.nccl.comm.lock().unwrap_or_else(PoisonError::into_inner);
        let comm = match held.as_ref() {
            Some(comm) => comm,
            None => held.insert(self.nccl.connect(device)?),
        };
        let mut sums = card::unwritten(device, storage.dtype(), layout.shape())?;
        macro_rules! sum {
            ($t:ty) => {{
                let values = storage.as_cuda_slice::<$t>()?.slice(start..end);
                let sums = sums.as_cuda_slice_mut::<$t>()?;
                comm.0.all_reduce(&values, sums, &ReduceOp::Sum).map_err(candle_core::Error::debug)?;
            }};
        }
        match storage.dtype() {
            DType::F32 => sum!(f32),
            DType::F64 => sum!(f64),
            other => bail!("nccl-sum: expected f32 or f64, got {other:?}"),
        }
        Ok((sums, layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collective::Alone;

    #[test]
    fn one_rank_has_its_own_numbers_back() {
        let device = match star_model::cuda::open(0) {
            Ok(device) => device,
            Err(error) => return println!("no card, so this test is skipped: {error}"),
        };
        let nccl = Nccl::over(Alone);
        for dtype in [DType::F32, DType::F64] {
            for count in [1i64, 70_000] {
                let vector = Tensor::arange(0, count, &device).unwrap().to_dtype(dtype).unwrap();
                let sum = nccl.all_reduce_tensor(&vector).unwrap();
                let values = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
                assert_eq!((sum.dtype(), values(&sum)), (dtype, values(&vector)));
            }
        }
        let mut values = [2.5];
        nccl.all_reduce(&mut values).unwrap();
        assert_eq!((values, nccl.rank(), nccl.ranks()), ([2.5], 0, 1));
    }
}
