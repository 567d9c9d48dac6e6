//! What follows the heads' convolutions, each as one sweep forward and one backward: instance norm with ReLU, sigmoid, and the gate
//! that multiplies heatmaps with point maps and with the edge maps that their keypoint lies on.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::batch_norm::{masked_sums, sums};
use super::slices::{self, Real, for_real};

fn zeros<T: Real>(count: usize) -> Vec<T> {
    vec![T::zero(); count]
}

fn pixels_of(shape: &Shape) -> Result<usize> {
    let (_, _, h, w) = shape.dims4()?;
    Ok(h * w)
}

/// `max((x - m) / s, 0)` with the mean `m` and biased deviation `s = sqrt(v + eps)` of each map.
pub(crate) struct InstanceNormRelu {
    pub(crate) eps: f64,
}

impl InstanceNormRelu {
    /// `(m, 1 / s)` of one map.
    fn statistics<T: Real>(&self, map: &[T]) -> (T, T) {
        let (centre, n) = (map[0], map.len() as f64);
        let (sum, squares) = sums(map, centre);
        let shift = sum / n;
        let variance = (squares / n - shift * shift).max(0.0);
        (T::from_f64(centre.to_f64() + shift), T::from_f64(1.0 / (variance + self.eps).sqrt()))
    }

    fn forward<T: Real>(&self, x: &[T], y: &mut [T]) {
        let (mean, inverse) = self.statistics(x);
        for (y, &x) in y.iter_mut().zip(x) {
            let value = (x - mean) * inverse;
            *y = if value <= T::zero() { T::zero() } else { value };
        }
    }

    /// With `t = (x - m) / s` and `d` the gradient where `y > 0`: `dx = (d - mean d - t mean(d t)) / s`.
    fn backward<T: Real>(&self, x: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
        let (mean, inverse) = self.statistics(x);
        let (d_sum, dt_sum) = masked_sums(dy, x, y, mean, true);
        let n = x.len() as f64;
        let d_mean = T::from_f64(d_sum / n);
        let slope = T::from_f64(dt_sum * inverse.to_f64() * inverse.to_f64() / n);
        for ((dx, &x), (&y, &dy)) in dx.iter_mut().zip(x).zip(y.iter().zip(dy)) {
            let d = if y <= T::zero() { T::zero() } else { dy };
            *dx = inverse * (d - d_mean - slope * (x - mean));
        }
    }
}

impl CustomOp1 for InstanceNormRelu {
    fn name(&self) -> &'static str {
        "instance-norm-relu-cpu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let pixels = pixels_of(lx.shape())?;
        for_real!(x.dtype(), T => {
            let x: &[T] = slices::of_storage(x, lx)?;
            let mut y = zeros::<T>(x.len());
            y.par_chunks_exact_mut(pixels).zip(x.par_chunks_exact(pixels)).for_each(|(y, x)| self.forward(x, y));
            Ok(slices::result(y, lx.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let pixels = pixels_of(x.shape())?;
        for_real!(x.dtype(), T => {
            let mut dx = zeros::<T>(x.elem_count());
            slices::with::<T, _>(x, |x| slices::with::<T, _>(y, |y| slices::with::<T, _>(dy, |dy| {
                let inputs = x.par_chunks_exact(pixels).zip(y.par_chunks_exact(pixels)).zip(dy.par_chunks_exact(pixels));
                dx.par_chunks_exact_mut(pixels).zip(inputs).for_each(|(dx, ((x, y), dy))| self.backward(x, y, dy, dx));
                Ok(())
            })))?;
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}

/// `1 / (1 + exp(-x))`.
pub(crate) struct Sigmoid;

impl Sigmoid {
    fn value<T: Real>(x: T) -> T {
        T::one() / (T::one() + (T::zero() - x).exp())
    }

    /// At the value `y`.
    fn slope<T: Real>(y: T) -> T {
        y * (T::one() - y)
    }
}

impl CustomOp1 for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid-cpu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        for_real!(x.dtype(), T => {
            let x: &[T] = slices::of_storage(x, lx)?;
            let mut y = zeros::<T>(x.len());
            y.par_iter_mut().with_min_len(1 << 12).zip(x).for_each(|(y, &x)| {
                *y = Sigmoid::value(x);
            });
            Ok(slices::result(y, lx.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        for_real!(x.dtype(), T => {
            let mut dx = zeros::<T>(x.elem_count());
            slices::with::<T, _>(y, |y| slices::with::<T, _>(dy, |dy| {
                dx.par_iter_mut().with_min_len(1 << 14).zip(y).zip(dy).for_each(|((dx, &y), &dy)| {
                    *dx = Sigmoid::slope(y) * dy;
                });
                Ok(())
            }))?;
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}

/// `heatmap_k * pointmap_k * g_k`, where `g_k` is the sum of the edge maps of the edges that keypoint `k` lies on, or 1 for none.
pub(crate) struct Gate {
    /// The edges of each keypoint.
    pub(crate) edges: Vec<Vec<usize>>,
    /// Number of edge maps.
    pub(crate) maps: usize,
}

impl Gate {
    /// `g_k` of one image, into `out`.
    fn opening<T: Real>(&self, k: usize, edgemaps: &[T], out: &mut [T]) {
        let edges = &self.edges[k];
        out.fill(if edges.is_empty() { T::one() } else { T::zero() });
        for &edge in edges {
            let map = &edgemaps[edge * out.len()..][..out.len()];
            out.iter_mut().zip(map).for_each(|(sum, &value)| *sum += value);
        }
    }

    /// Gradients of one image: by heatmaps, point maps and edge maps.
    fn backward<T: Real>(
        &self,
        (heatmaps, pointmaps, edgemaps): (&[T], &[T], &[T]),
        dy: &[T],
        (dh, dp, de): (&mut [T], &mut [T], &mut [T]),
        pixels: usize,
    ) {
        let mut opening = vec![T::zero(); pixels];
        for k in 0..self.edges.len() {
            let map = k * pixels..(k + 1) * pixels;
            let (h, p, dy) = (&heatmaps[map.clone()], &pointmaps[map.clone()], &dy[map.clone()]);
            self.opening(k, edgemaps, &mut opening);
            let targets = dh[map.clone()].iter_mut().zip(&mut dp[map]);
            for ((dh, dp), (((&h, &p), &dy), &g)) in targets.zip(h.iter().zip(p).zip(dy).zip(&opening)) {
                *dh = dy * p * g;
                *dp = dy * h * g;
            }
            for &edge in &self.edges[k] {
                let de = &mut de[edge * pixels..][..pixels];
                for (de, ((&h, &p), &dy)) in de.iter_mut().zip(h.iter().zip(p).zip(dy)) {
                    *de += dy * h * p;
                }
            }
        }
    }
}

impl CustomOp3 for Gate {
    fn name(&self) -> &'static str {
        "attention-gate-cpu"
    }

    fn cpu_fwd(
        &self,
        heatmaps: &CpuStorage,
        lh: &Layout,
        pointmaps: &CpuStorage,
        lp: &Layout,
        edgemaps: &CpuStorage,
        le: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, k, h, w) = lh.shape().dims4()?;
        let pixels = h * w;
        for_real!(heatmaps.dtype(), T => {
            let (hm, pm): (&[T], &[T]) = (slices::of_storage(heatmaps, lh)?, slices::of_storage(pointmaps, lp)?);
            let em: &[T] = slices::of_storage(edgemaps, le)?;
            let mut y = zeros::<T>(hm.len());
            y.par_chunks_exact_mut(pixels).enumerate().for_each(|(i, y)| {
                let (image, map) = (i / k, i * pixels..(i + 1) * pixels);
                self.opening(i % k, &em[image * self.maps * pixels..][..self.maps * pixels], y);
                for (y, (&h, &p)) in y.iter_mut().zip(hm[map.clone()].iter().zip(&pm[map])) {
                    *y *= h * p;
                }
            });
            Ok(slices::result(y, lh.shape().clone()))
        })
    }

    fn bwd(
        &self,
        heatmaps: &Tensor,
        pointmaps: &Tensor,
        edgemaps: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, k, h, w) = heatmaps.dims4()?;
        let pixels = h * w;
        let (map, edge) = (k * pixels, self.maps * pixels);
        let device = heatmaps.device();
        for_real!(heatmaps.dtype(), T => {
            let zeros = |tensor: &Tensor| zeros::<T>(tensor.elem_count());
            let (mut dh, mut dp, mut de) = (zeros(heatmaps), zeros(pointmaps), zeros(edgemaps));
            slices::with::<T, _>(heatmaps, |hm| slices::with::<T, _>(pointmaps, |pm| {
                slices::with::<T, _>(edgemaps, |em| slices::with::<T, _>(dy, |dy| {
                    let inputs = hm.par_chunks_exact(map).zip(pm.par_chunks_exact(map)).zip(em.par_chunks_exact(edge));
                    let outputs = dh.par_chunks_exact_mut(map).zip(dp.par_chunks_exact_mut(map)).zip(de.par_chunks_exact_mut(edge));
                    inputs.zip(dy.par_chunks_exact(map)).zip(outputs).for_each(|((((hm, pm), em), dy), ((dh, dp), de))| {
                        self.backward((hm, pm, em), dy, (dh, dp, de), pixels);
                    });
                    Ok(())
                }))
            }))?;
            Ok((
                Some(Tensor::from_vec(dh, heatmaps.shape(), device)?),
                Some(Tensor::from_vec(dp, pointmaps.shape(), device)?),
                Some(Tensor::from_vec(de, edgemaps.shape(), device)?),
            ))
        })
    }
}
