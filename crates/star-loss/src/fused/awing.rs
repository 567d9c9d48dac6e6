//! Adaptive Wing in two sweeps: one for the loss of each map, one for its gradient.
//!
//! Arithmetic is in the dtype of the maps: in f32 powers take a fifth of the time.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, WithDType, bail};
use num_traits::Float;
use rayon::prelude::*;

use super::op::{contiguous, zeros_like};
use crate::AwingConfig;

/// Mean loss of each map: f32 or f64 `[B, C, H, W]`, both contiguous and of one dtype, to f64 `[B, C]`.
pub(crate) fn awing_means(output: &Tensor, target: &Tensor, config: &AwingConfig) -> Result<Tensor> {
    output.contiguous()?.apply_op2(&target.detach().contiguous()?, AwingOp { config: config.clone() })
}

struct AwingOp {
    config: AwingConfig,
}

/// The line above theta at one exponent; nearly every pixel of a target is 0 and shares its line.
#[derive(Clone, Copy)]
struct Line<T> {
    exponent: T,
    derivative: T,
    offset: T,
}

impl AwingOp {
    fn line<T: Float + WithDType>(&self, exponent: T) -> Line<T> {
        let AwingConfig { omega, theta, epsilon, .. } = self.config;
        let (n, ratio) = (WithDType::to_f64(exponent), theta / epsilon);
        let power = ratio.powf(n);
        let derivative = omega / (1.0 + power) * n * ratio.powf(n - 1.0) / epsilon;
        Line {
            exponent,
            derivative: T::from_f64(derivative),
            offset: T::from_f64(theta * derivative - omega * power.ln_1p()),
        }
    }

    /// Calls `each(pixel, residual, weight, line)` for every pixel of one map whose residual is not 0.
    fn sweep<T: Float + WithDType>(
        &self,
        output: &[T],
        target: &[T],
        width: usize,
        mut each: impl FnMut(usize, T, T, &Line<T>),
    ) {
        let AwingConfig { alpha, weight, threshold, .. } = self.config;
        let zero = self.line(T::from_f64(alpha));
        let (heavy, light, threshold) = (T::from_f64(weight + 1.0), T::one(), T::from_f64(threshold));
        let height = target.len() / width;
        let peak = |row: usize, column: usize| {
            let columns = column.saturating_sub(1)..(column + 2).min(width);
            let rows = row.saturating_sub(1)..(row + 2).min(height);
            rows.flat_map(|r| target[r * width..][columns.clone()].iter()).any(|t| *t >= threshold)
        };
        for (i, (o, t)) in output.iter().zip(target).enumerate() {
            let residual = *o - *t;
            if residual == T::zero() {
                continue;
            }
            let line = if *t == T::zero() { zero } else { self.line(T::from_f64(alpha) - *t) };
            let weight = if peak(i / width, i % width) { heavy } else { light };
            each(i, residual, weight, &line);
        }
    }

    fn loss<T: Float + WithDType>(&self, output: &[T], target: &[T], width: usize) -> f64 {
        let (omega, theta) = (T::from_f64(self.config.omega), T::from_f64(self.config.theta));
        let inverse = T::from_f64(1.0 / self.config.epsilon);
        let mut total = 0.0;
        self.sweep(output, target, width, |_, residual, weight, line| {
            let distance = if residual < T::zero() { T::zero() - residual } else { residual };
            let loss = if distance < theta {
                omega * (distance * inverse).powf(line.exponent).ln_1p()
            } else {
                line.derivative * distance - line.offset
            };
            total += WithDType::to_f64(loss * weight);
        });
        total / output.len() as f64
    }

    fn gradient<T: Float + WithDType>(
        &self,
        output: &[T],
        target: &[T],
        width: usize,
        by: f64,
        out: &mut [T],
    ) {
        let theta = T::from_f64(self.config.theta);
        let inverse = T::from_f64(1.0 / self.config.epsilon);
        let height = T::from_f64(self.config.omega / self.config.epsilon);
        let by = T::from_f64(by / output.len() as f64);
        self.sweep(output, target, width, |i, residual, weight, line| {
            let (distance, sign) =
                if residual < T::zero() { (T::zero() - residual, T::zero() - by) } else { (residual, by) };
            let derivative = if distance < theta {
                let ratio = distance * inverse;
                let lower = ratio.powf(line.exponent - T::one());
                height * lower * line.exponent / (T::one() + lower * ratio)
            } else {
                line.derivative
            };
            out[i] = sign * weight * derivative;
        });
    }

    fn means<T: Float + WithDType>(&self, output: &[T], target: &[T], area: usize, width: usize) -> Vec<f64> {
        let maps = output.par_chunks_exact(area).zip(target.par_chunks_exact(area));
        maps.map(|(output, target)| self.loss(output, target, width)).collect()
    }

    fn gradients<T: Float + WithDType>(
        &self,
        output: &[T],
        target: &[T],
        shape: &Shape,
        by: &[f64],
    ) -> Result<Tensor> {
        let (_, _, h, w) = shape.dims4()?;
        let mut out = zeros_like(output);
        let maps = output.par_chunks_exact(h * w).zip(target.par_chunks_exact(h * w));
        maps.zip(out.par_chunks_exact_mut(h * w)).zip(by).for_each(|(((output, target), out), by)| {
            self.gradient(output, target, w, *by, out);
        });
        Tensor::from_vec(out, shape, &candle_core::Device::Cpu)
    }
}

impl CustomOp2 for AwingOp {
    fn name(&self) -> &'static str {
        "adaptive-wing"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, c, h, w) = l1.shape().dims4()?;
        let means = match (s1, s2) {
            (CpuStorage::F32(o), CpuStorage::F32(t)) => {
                self.means(contiguous("output", o, l1)?, contiguous("target", t, l2)?, h * w, w)
            }
            (CpuStorage::F64(o), CpuStorage::F64(t)) => {
                self.means(contiguous("output", o, l1)?, contiguous("target", t, l2)?, h * w, w)
            }
            _ => bail!("adaptive-wing: expected two maps of f32 or of f64"),
        };
        Ok((CpuStorage::F64(means), Shape::from((b, c))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &candle_core::CudaStorage,
        l1: &Layout,
        s2: &candle_core::CudaStorage,
        l2: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let (b, c, _, _) = l1.shape().dims4()?;
        Ok((crate::cuda::awing::means(s1, l1, s2, l2, &self.config)?, Shape::from((b, c))))
    }

    fn bwd(
        &self,
        output: &Tensor,
        target: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if output.device().is_cuda() {
            return Ok((Some(crate::cuda::awing::gradient(output, target, grad, &self.config)?), None));
        }
        let by = grad.flatten_all()?.to_vec1::<f64>()?;
        let ((so, lo), (st, lt)) = (output.storage_and_layout(), target.storage_and_layout());
        let gradient = match (&*so, &*st) {
            (Storage::Cpu(CpuStorage::F32(o)), Storage::Cpu(CpuStorage::F32(t))) => {
                self.gradients(contiguous("output", o, lo)?, contiguous("target", t, lt)?, lo.shape(), &by)
            }
            (Storage::Cpu(CpuStorage::F64(o)), Storage::Cpu(CpuStorage::F64(t))) => {
                self.gradients(contiguous("output", o, lo)?, contiguous("target", t, lt)?, lo.shape(), &by)
            }
            _ => bail!("adaptive-wing: expected two maps of f32 or of f64 on the CPU"),
        }?;
        Ok((Some(gradient), None))
    }
}
