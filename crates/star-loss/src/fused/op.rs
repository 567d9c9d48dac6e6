//! Moments and the terms of the loss as candle ops with their own backward.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::access::{Access, Sweeper, for_dtype};
use super::keypoint::{Terms, derivative, terms};
use super::map::{Axes, MapMoments};
use crate::StarLossConfig;
#[cfg(feature = "cuda")]
use crate::cuda;

/// Numbers that describe one map: mean x, y and covariance a, b, c.
pub(crate) const MOMENTS: usize = 5;

/// Moments of `[B, K, H, W]` on the CPU or a CUDA card: f64 `[B, K, 5]`, mean x, y and covariance xx, xy, yy.
pub(crate) fn moments(heatmaps: &Tensor, axes: Axes, relu: bool) -> Result<Tensor> {
    let (_, _, h, w) = heatmaps.dims4()?;
    let sweeper = Sweeper::new(axes, relu, h, w);
    heatmaps.contiguous()?.apply_op1(MomentsOp {
        sweeper,
        saved: OnceLock::new(),
        #[cfg(feature = "cuda")]
        on_card: (cuda::Geometry::new(axes, relu, h, w)?, OnceLock::new()),
    })
}

/// The terms of the loss of moments `[B, K, 5]` against targets `[B, K, 2]`, both f64: `[B, K, 2]`, distance and restriction.
pub(crate) fn terms_of(moments: &Tensor, targets: &Tensor, config: &StarLossConfig) -> Result<Tensor> {
    moments.contiguous()?.apply_op2(&targets.contiguous()?, TermsOp { config: config.clone() })
}

/// The values of a contiguous tensor's storage.
pub(crate) fn contiguous<'a, T>(name: &str, values: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("{name}: expected a contiguous tensor, got strides {:?}", layout.stride()),
    }
}

fn doubles(name: &str, tensor: &Tensor) -> Result<Vec<f64>> {
    match tensor.dtype() {
        DType::F64 => tensor.flatten_all()?.to_vec1(),
        other => bail!("{name}: expected f64, got {other:?}"),
    }
}

struct MomentsOp {
    sweeper: Sweeper,
    /// Of the forward pass, for the backward pass.
    saved: OnceLock<Vec<MapMoments>>,
    /// The same on a card.
    #[cfg(feature = "cuda")]
    on_card: (cuda::Geometry, OnceLock<candle_core::CudaStorage>),
}

impl MomentsOp {
    fn forward<D: Sync, A: Access<D>>(&self, maps: &[D]) -> Vec<MapMoments> {
        self.sweeper
            .for_maps::<D, A, _>(maps, |_, map, scratch| self.sweeper.moments_of::<D, A>(map, scratch))
    }

    fn backward<D: Sync + Send, A: Access<D>>(
        &self,
        maps: &[D],
        saved: &[MapMoments],
        by: &[f64],
        out: &mut [D],
    ) {
        self.sweeper.for_maps_into::<D, A, _>(maps, out, |i, map, out, scratch| {
            let &[x, y, a, b, c] = &by[MOMENTS * i..MOMENTS * (i + 1)] else { return };
            let q = saved[i].gradient([x, y], [a, b, c], &self.sweeper.axes);
            self.sweeper.gradient_of::<D, A>(map, &q, out, scratch);
        });
    }
}

impl CustomOp1 for MomentsOp {
    fn name(&self) -> &'static str {
        "star-moments"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, k, _, _) = layout.shape().dims4()?;
        let all = for_dtype!(storage, maps, A => self.forward::<_, A>(contiguous("heatmaps", maps, layout)?));
        let flat = all.iter().flat_map(|m| {
            let ([x, y], [a, b, c]) = (m.mean, m.covariance);
            [x, y, a, b, c]
        });
        let flat = flat.collect();
        // A second forward through the same op would give the same.
        let _ = self.saved.set(all);
        Ok((CpuStorage::F64(flat), Shape::from((b, k, MOMENTS))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let (b, k, _, _) = layout.shape().dims4()?;
        let [moments, saved] = cuda::moments(storage, layout, self.on_card.0)?;
        let _ = self.on_card.1.set(saved);
        Ok((moments, Shape::from((b, k, MOMENTS))))
    }

    #[cfg_attr(
        not(feature = "cuda"),
        expect(unused_variables, reason = "the CPU keeps what it needs of the result")
    )]
    fn bwd(&self, arg: &Tensor, moments: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        #[cfg(feature = "cuda")]
        if arg.device().is_cuda() {
            let (geometry, saved) = &self.on_card;
            let Some(saved) = saved.get() else { bail!("star-moments: backward before forward") };
            return cuda::moments_backward(arg, moments, saved, grad, *geometry).map(Some);
        }
        let by = doubles("gradient of the moments", grad)?;
        let Some(saved) = self.saved.get() else { bail!("star-moments: backward before forward") };
        let (storage, layout) = arg.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("star-moments: expected a tensor on the CPU") };
        let gradient = for_dtype!(storage, maps, A => {
            let maps = contiguous("heatmaps", maps, layout)?;
            let mut out = zeros_like(maps);
            self.backward::<_, A>(maps, saved, &by, &mut out);
            Tensor::from_vec(out, layout.shape(), arg.device())
        })?;
        Ok(Some(gradient))
    }
}

/// Zeroed memory; for f32 and f64 the system hands out its pages at the first write.
pub(crate) fn zeros_like<D: candle_core::WithDType>(maps: &[D]) -> Vec<D> {
    let zeros = vec![D::zero(); maps.len()];
    prefer_huge_pages(&zeros);
    zeros
}

/// Asks for pages of 2 MiB under a large fresh buffer: a fault for every 4 KiB of it takes longer than the loss. Advice only.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the call exists in the C library alone, and takes a range inside the buffer")]
fn prefer_huge_pages<D>(buffer: &[D]) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    const HUGE: usize = 2 << 20;
    // Aligned for every page size that Linux has.
    const PAGE: usize = 64 << 10;
    let (start, bytes) = (buffer.as_ptr().cast::<u8>(), size_of_val(buffer));
    let skipped = start.align_offset(PAGE);
    if bytes >= 2 * HUGE && skipped < bytes {
        let length = (bytes - skipped) / PAGE * PAGE;
        // SAFETY: the range lies in `buffer`, and the advice changes no content. A refusal does no harm.
        let _ = unsafe { madvise(start.wrapping_add(skipped).cast_mut().cast(), length, MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn prefer_huge_pages<D>(_: &[D]) {}

struct TermsOp {
    config: StarLossConfig,
}

/// Keypoints below this many in one task cost more in scheduling than in work.
const KEYPOINTS_A_TASK: usize = 256;

impl CustomOp2 for TermsOp {
    fn name(&self) -> &'static str {
        "star-terms"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, k, _) = l1.shape().dims3()?;
        let (CpuStorage::F64(moments), CpuStorage::F64(targets)) = (s1, s2) else {
            bail!("star-terms: expected f64, got {:?} and {:?}", s1.dtype(), s2.dtype())
        };
        let (moments, targets) = (contiguous("moments", moments, l1)?, contiguous("targets", targets, l2)?);
        let mut out = vec![0.0; 2 * b * k];
        let inputs = moments.par_chunks_exact(MOMENTS).zip(targets.par_chunks_exact(2));
        inputs.zip(out.par_chunks_exact_mut(2)).with_min_len(KEYPOINTS_A_TASK).for_each(|((m, t), out)| {
            let terms = terms(&self.config, [t[0] - m[0], t[1] - m[1]], [m[2], m[3], m[4]]);
            out.copy_from_slice(&[terms.distance, terms.restriction]);
        });
        Ok((CpuStorage::F64(out), Shape::from((b, k, 2))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &candle_core::CudaStorage,
        l1: &Layout,
        s2: &candle_core::CudaStorage,
        l2: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let (b, k, _) = l1.shape().dims3()?;
        Ok((cuda::terms(s1, l1, s2, l2, &self.config)?, Shape::from((b, k, 2))))
    }

    fn bwd(
        &self,
        moments: &Tensor,
        targets: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if moments.device().is_cuda() {
            let [dm, dt] = cuda::terms_backward(moments, targets, grad, &self.config)?;
            return Ok((Some(dm), Some(dt)));
        }
        let (m, t) = (doubles("moments", moments)?, doubles("targets", targets)?);
        let by = doubles("gradient of the terms", grad)?;
        let (mut dm, mut dt) = (vec![0.0; m.len()], vec![0.0; t.len()]);
        let inputs = m.par_chunks_exact(MOMENTS).zip(t.par_chunks_exact(2)).zip(by.par_chunks_exact(2));
        let outputs = dm.par_chunks_exact_mut(MOMENTS).zip(dt.par_chunks_exact_mut(2));
        inputs.zip(outputs).with_min_len(KEYPOINTS_A_TASK).for_each(|(((m, t), by), (dm, dt))| {
            let by = Terms { distance: by[0], restriction: by[1] };
            let derivative = derivative(&self.config, [t[0] - m[0], t[1] - m[1]], [m[2], m[3], m[4]], by);
            dt.copy_from_slice(&derivative.residual);
            dm[0] = -derivative.residual[0];
            dm[1] = -derivative.residual[1];
            dm[2..].copy_from_slice(&derivative.covariance);
        });
        let dm = Tensor::from_vec(dm, moments.shape(), moments.device())?;
        let dt = Tensor::from_vec(dt, targets.shape(), targets.device())?;
        Ok((Some(dm), Some(dt)))
    }
}
