//! Batch norm, with or without a ReLU behind it, as one sweep forward and two backward.
//!
//! Per channel over the `N = B H W` values of a batch: `y = g (x - m) / s + b`, `s = sqrt(v + eps)`, `v` biased.
//! With `t = (x - m) / s` and the incoming gradient `d` (zero where the ReLU cut):
//! `db = sum d`, `dg = sum d t`, `dx = g / s * (d - db / N - t * dg / N)` (Ioffe and Szegedy 2015, section 3).
//! With running statistics, which do not depend on the batch, `dx = g / s * d`.
//!
//! In a process group, `m`, `v`, `N` and the two sums in `dx` are over the batches of all ranks; `db` and `dg` stay this rank's part,
//! as every gradient does until the trainer adds them up.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, FloatDType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::slices::{self, for_float};
use super::sums::{masked_sums, sums};
use crate::activation::Activation;
use crate::process_group::ProcessGroup;

/// Mean and variance of every channel, in f64.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f64>,
    /// Biased.
    pub(crate) variance: Vec<f64>,
    /// Values a channel.
    pub(crate) count: usize,
}

impl Statistics {
    /// The statistics of all ranks' batches, from those of this rank's: as if they were one batch.
    pub(crate) fn all_reduce(self, group: &ProcessGroup) -> Result<Self> {
        let (channels, count) = (self.mean.len(), self.count as f64);
        let moments = self.mean.iter().zip(&self.variance).map(|(m, v)| count * (v + m * m));
        let mut sums: Vec<f64> = self.mean.iter().map(|m| count * m).chain(moments).collect();
        sums.push(count);
        group.all_reduce(&mut sums)?;
        let total = sums[2 * channels];
        let mean: Vec<f64> = sums[..channels].iter().map(|sum| sum / total).collect();
        let squares = &sums[channels..2 * channels];
        let variance = squares.iter().zip(&mean).map(|(s, m)| (s / total - m * m).max(0.0)).collect();
        Ok(Self { mean, variance, count: total as usize })
    }
}

fn statistics_of<T: FloatDType>(x: &[T], (n, c, pixels): (usize, usize, usize)) -> Statistics {
    let count = n * pixels;
    let (mean, variance) = (0..c)
        .into_par_iter()
        .map(|channel| {
            let plane = |i: usize| &x[(i * c + channel) * pixels..][..pixels];
            // Centred on one value of the channel: a large common offset must not cancel away the variance.
            let centre = if count > 0 { plane(0)[0] } else { T::zero() };
            let (mut sum, mut sq) = (0.0, 0.0);
            for i in 0..n {
                let (s, q) = sums(plane(i), centre);
                sum += s;
                sq += q;
            }
            let shift = sum / count as f64;
            (centre.to_f64() + shift, (sq / count as f64 - shift * shift).max(0.0))
        })
        .unzip();
    Statistics { mean, variance, count }
}

/// Images, channels, and pixels of a plane.
fn sizes(shape: &Shape) -> Result<(usize, usize, usize)> {
    let (n, c, h, w) = shape.dims4()?;
    Ok((n, c, h * w))
}

/// Mean and biased variance of each channel of `x`: `[B, C, H, W]`.
pub(crate) fn statistics(x: &Tensor) -> Result<Statistics> {
    let sizes = sizes(x.shape())?;
    for_float!(x.dtype(), T => slices::with::<T, _>(x, |x| Ok(statistics_of(x, sizes))))
}

/// Where the statistics that a norm uses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// From the batch itself, so that a gradient flows through them.
    Train,
    /// From earlier batches.
    Eval,
}

/// The op, carrying the statistics that it normalises by.
pub(crate) struct BatchNormOp {
    pub(crate) statistics: Statistics,
    pub(crate) mode: Mode,
    pub(crate) eps: f64,
    pub(crate) activation: Activation,
    /// The ranks that the statistics are of; `None` for this process alone.
    pub(crate) group: Option<ProcessGroup>,
}

impl BatchNormOp {
    fn inverse_std(&self, channel: usize) -> f64 {
        1.0 / (self.statistics.variance[channel] + self.eps).sqrt()
    }

    /// `y = x * scale + shift` for one channel.
    fn scale_shift<T: FloatDType>(&self, channel: usize, weight: &[T], bias: &[T]) -> (T, T) {
        let scale = weight[channel].to_f64() * self.inverse_std(channel);
        (T::from_f64(scale), T::from_f64(bias[channel].to_f64() - scale * self.statistics.mean[channel]))
    }

    fn forward<T: FloatDType>(&self, x: &[T], weight: &[T], bias: &[T], pixels: usize) -> Vec<T> {
        let c = weight.len();
        let mut out = vec![T::zero(); x.len()];
        out.par_chunks_exact_mut(pixels).zip(x.par_chunks_exact(pixels)).enumerate().for_each(
            |(i, (y, x))| {
                let (scale, shift) = self.scale_shift(i % c, weight, bias);
                if self.activation.is_relu() {
                    for (y, &x) in y.iter_mut().zip(x) {
                        let v = x * scale + shift;
                        *y = if v <= T::zero() { T::zero() } else { v };
                    }
                } else {
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = x * scale + shift;
                    }
                }
            },
        );
        out
    }

    /// `(dx, dweight, dbias)`.
    fn backward<T: FloatDType>(
        &self,
        (x, weight, dy): (&[T], &[T], &[T]),
        out: &[T],
        (n, c, pixels): (usize, usize, usize),
    ) -> Result<(Vec<T>, Vec<T>, Vec<T>)> {
        let plane = |i: usize, channel: usize| (i * c + channel) * pixels..(i * c + channel + 1) * pixels;
        let (dw, db): (Vec<f64>, Vec<f64>) = (0..c)
            .into_par_iter()
            .map(|channel| {
                let mean = T::from_f64(self.statistics.mean[channel]);
                let (mut d_sum, mut dt_sum) = (0.0, 0.0);
                for i in 0..n {
                    let range = plane(i, channel);
                    let (dy, x, out) = (&dy[range.clone()], &x[range.clone()], &out[range]);
                    let (d, dt) = masked_sums(dy, x, out, mean, self.activation);
                    d_sum += d;
                    dt_sum += dt;
                }
                (dt_sum * self.inverse_std(channel), d_sum)
            })
            .unzip();
        let (all_dw, all_db) = self.all_reduce(&dw, &db)?;
        let count = self.statistics.count as f64;
        let relu = self.activation.is_relu();
        let mut dx = vec![T::zero(); x.len()];
        dx.par_chunks_exact_mut(pixels).enumerate().for_each(|(index, dx)| {
            let (i, channel) = (index / c, index % c);
            let range = plane(i, channel);
            let inverse_std = self.inverse_std(channel);
            let scale = weight[channel].to_f64() * inverse_std;
            // dx = scale * d + by_x * (x - mean) + offset
            let through = if self.mode == Mode::Train { scale / count } else { 0.0 };
            let by_x = T::from_f64(-through * inverse_std * all_dw[channel]);
            let offset = T::from_f64(-through * all_db[channel]);
            let (scale, mean) = (T::from_f64(scale), T::from_f64(self.statistics.mean[channel]));
            let values = x[range.clone()].iter().zip(&dy[range.clone()]).zip(&out[range]);
            for (dx, ((&x, &d), &y)) in dx.iter_mut().zip(values) {
                let d = if relu && y <= T::zero() { T::zero() } else { d };
                *dx = scale * d + by_x * (x - mean) + offset;
            }
        });
        let narrow = |v: Vec<f64>| v.into_iter().map(T::from_f64).collect();
        Ok((dx, narrow(dw), narrow(db)))
    }

    /// `dw` and `db` summed over all ranks.
    fn all_reduce(&self, dw: &[f64], db: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut sums = [dw, db].concat();
        if let (Some(group), Mode::Train) = (&self.group, self.mode) {
            group.all_reduce(&mut sums)?;
        }
        let db = sums.split_off(dw.len());
        Ok((sums, db))
    }
}

impl CustomOp3 for BatchNormOp {
    fn name(&self) -> &'static str {
        "batch-norm-cpu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, _, pixels) = sizes(lx.shape())?;
        for_float!(x.dtype(), T => {
            let (w, b): (&[T], &[T]) = (slices::of_storage(w, lw)?, slices::of_storage(b, lb)?);
            Ok(slices::result(self.forward(slices::of_storage(x, lx)?, w, b, pixels), lx.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        out: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = sizes(x.shape())?;
        let device = x.device();
        for_float!(x.dtype(), T => {
            let (dx, dw, db) = slices::with::<T, _>(x, |x| {
                slices::with::<T, _>(weight, |weight| {
                    slices::with::<T, _>(dy, |dy| {
                        slices::with::<T, _>(out, |out| self.backward((x, weight, dy), out, sizes))
                    })
                })
            })?;
            Ok((
                Some(Tensor::from_vec(dx, x.shape(), device)?),
                Some(Tensor::from_vec(dw, weight.shape(), device)?),
                Some(Tensor::from_vec(db, bias.shape(), device)?),
            ))
        })
    }
}
