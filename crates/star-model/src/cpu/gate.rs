//! The gate that multiplies heatmaps with point maps and with the edge maps that their keypoint lies on.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, FloatDType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::slices::{self, for_float};

/// `heatmap_k * pointmap_k * g_k`, where `g_k` is the sum of the edge maps of the edges that keypoint `k` lies on, or 1 for none.
pub(crate) struct Gate {
    /// The edges of each keypoint.
    pub(crate) edges: Vec<Vec<usize>>,
    /// Number of edge maps.
    pub(crate) maps: usize,
}

impl Gate {
    /// `g_k` of one image, into `out`.
    fn opening<T: FloatDType>(&self, k: usize, edgemaps: &[T], out: &mut [T]) {
        let edges = &self.edges[k];
        out.fill(if edges.is_empty() { T::one() } else { T::zero() });
        for &edge in edges {
            let map = &edgemaps[edge * out.len()..][..out.len()];
            out.iter_mut().zip(map).for_each(|(sum, &value)| *sum += value);
        }
    }

    /// Gradients of one image: by heatmaps, point maps and edge maps.
    fn backward<T: FloatDType>(
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
        for_float!(heatmaps.dtype(), T => {
            let (hm, pm): (&[T], &[T]) = (slices::of_storage(heatmaps, lh)?, slices::of_storage(pointmaps, lp)?);
            let em: &[T] = slices::of_storage(edgemaps, le)?;
            let mut y = slices::zeros::<T>(hm.len());
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
        for_float!(heatmaps.dtype(), T => {
            let zeros = |tensor: &Tensor| slices::zeros::<T>(tensor.elem_count());
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
