//! The attention that joins a stage's maps (ADNet, ICCV 2021): heatmaps gated by point and edge maps.

use candle_core::{DType, Device, Result, Tensor};

/// The fixed edge-to-point matrix `[K, E]` and bias `[K]` of `edges` over `k` keypoints, in `f32`, row-major.
///
/// Weight 1 where a keypoint lies on an edge; bias 1 for keypoints on no edge, which are then never gated.
pub(crate) fn edge_to_point(k: usize, edges: &[Vec<usize>]) -> (Vec<f32>, Vec<f32>) {
    let e = edges.len();
    let mut matrix = vec![0.0; k * e];
    let mut bias = vec![1.0; k];
    for (edge, points) in edges.iter().enumerate() {
        for &point in points {
            matrix[point * e + edge] = 1.0;
            bias[point] = 0.0;
        }
    }
    (matrix, bias)
}

/// Which edges gate which keypoint.
pub(crate) struct Gating {
    /// The edges of each keypoint, `[1, K, E]`.
    matrix: Tensor,
    /// `[1, K, 1, 1]`
    bias: Tensor,
}

impl Gating {
    /// Of `k` keypoints by `edges`.
    pub(crate) fn new(k: usize, edges: &[Vec<usize>], dtype: DType, device: &Device) -> Result<Self> {
        let (matrix, bias) = edge_to_point(k, edges);
        let constant =
            |values: Vec<f32>, shape: &[usize]| Tensor::from_vec(values, shape, device)?.to_dtype(dtype);
        Ok(Self { matrix: constant(matrix, &[1, k, edges.len()])?, bias: constant(bias, &[1, k, 1, 1])? })
    }

    /// Heatmaps times point maps times the edge maps that each keypoint lies on.
    pub(crate) fn apply(&self, heatmaps: &Tensor, pointmaps: &Tensor, edgemaps: &Tensor) -> Result<Tensor> {
        let (b, e, h, w) = edgemaps.dims4()?;
        let on_edges = self.matrix.broadcast_matmul(&edgemaps.reshape((b, e, h * w))?)?;
        let on_edges = on_edges.reshape(pointmaps.shape())?.broadcast_add(&self.bias)?;
        (on_edges * pointmaps)? * heatmaps
    }
}

#[cfg(feature = "cudnn")]
impl Gating {
    /// The gradients by heatmaps, point maps and edge maps from `by`, that by the gated maps; outside candle's graph.
    pub(crate) fn gradients(
        &self,
        heatmaps: &Tensor,
        pointmaps: &Tensor,
        edgemaps: &Tensor,
        by: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let (b, e, h, w) = edgemaps.dims4()?;
        let k = pointmaps.dim(1)?;
        let on_edges = self.matrix.broadcast_matmul(&edgemaps.reshape((b, e, h * w))?)?;
        let on_edges = on_edges.reshape(pointmaps.shape())?.broadcast_add(&self.bias)?;
        let (by_points, by_edges) = ((by * heatmaps)?, self.matrix.transpose(1, 2)?.contiguous()?);
        let by_on_edges = (&by_points * pointmaps)?.reshape((b, k, h * w))?;
        let by_edges = by_edges.broadcast_matmul(&by_on_edges)?.reshape((b, e, h, w))?;
        Ok([((by * &on_edges)? * pointmaps)?, (by_points * on_edges)?, by_edges])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::gradient_check::{check_gradients, noise};

    #[test]
    fn a_keypoint_is_gated_by_its_point_map_and_the_sum_of_its_edge_maps() {
        // keypoint 1 lies on both edges, 3 on none
        let gating = Gating::new(4, &[vec![0, 1], vec![1, 2]], DType::F64, &Device::Cpu).unwrap();
        let one = |values: &[f64]| Tensor::from_slice(values, (1, values.len(), 1, 1), &Device::Cpu).unwrap();
        let fused = gating.apply(&one(&[1.0, 2.0, 3.0, 4.0]), &one(&[0.5; 4]), &one(&[0.1, 0.2])).unwrap();
        let fused = fused.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        // 1 * 0.5 * 0.1, 2 * 0.5 * 0.3, 3 * 0.5 * 0.2, 4 * 0.5
        for (value, expected) in fused.iter().zip([0.05, 0.3, 0.3, 2.0]) {
            assert!((value - expected).abs() < 1e-7, "{value} {expected}");
        }
        let var = |maps: usize, seed: u64| Var::from_tensor(&noise(&[3, maps, 2, 5], seed)).unwrap();
        let (h, p, e) = (var(4, 1), var(4, 2), var(2, 3));
        check_gradients(&[h.clone(), p.clone(), e.clone()], || gating.apply(&h, &p, &e));
    }
}
