//! The attention that joins a stage's maps (ADNet, ICCV 2021): heatmaps gated by point and edge maps.

use candle_core::{DType, Device, Result, Tensor};

use crate::cpu::{gate::Gate, sigmoid::Sigmoid, slices_supported};

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
    /// The edges of each keypoint.
    edges_of: Vec<Vec<usize>>,
    /// The same as a matrix, `[1, K, E]`.
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
        let of = |point: usize| (0..edges.len()).filter(|&edge| edges[edge].contains(&point)).collect();
        Ok(Self {
            edges_of: (0..k).map(of).collect(),
            matrix: constant(matrix, &[1, k, edges.len()])?,
            bias: constant(bias, &[1, k, 1, 1])?,
        })
    }

    /// Heatmaps times point maps times the edge maps that each keypoint lies on.
    pub(crate) fn apply(&self, heatmaps: &Tensor, pointmaps: &Tensor, edgemaps: &Tensor) -> Result<Tensor> {
        if slices_supported(heatmaps) {
            let op = Gate { edges: self.edges_of.clone(), maps: edgemaps.dim(1)? };
            return heatmaps.apply_op3(pointmaps, edgemaps, op);
        }
        self.apply_composed(heatmaps, pointmaps, edgemaps)
    }

    fn apply_composed(&self, heatmaps: &Tensor, pointmaps: &Tensor, edgemaps: &Tensor) -> Result<Tensor> {
        let (b, e, h, w) = edgemaps.dims4()?;
        let on_edges = self.matrix.broadcast_matmul(&edgemaps.reshape((b, e, h * w))?)?;
        let on_edges = on_edges.reshape(pointmaps.shape())?.broadcast_add(&self.bias)?;
        (on_edges * pointmaps)? * heatmaps
    }
}

/// `1 / (1 + exp(-x))`.
pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    if slices_supported(x) { x.contiguous()?.apply_op1(Sigmoid) } else { candle_nn::ops::sigmoid(x) }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::gradient_check::{assert_close, check_gradients, noise};

    #[test]
    fn the_gate_and_sigmoid_kernels_are_those_of_tensor_ops_with_their_own_gradients() {
        // keypoint 1 lies on both edges, 3 on none
        let gating = Gating::new(4, &[vec![0, 1], vec![1, 2]], DType::F64, &Device::Cpu).unwrap();
        let var = |maps: usize, seed: u64| Var::from_tensor(&noise(&[3, maps, 2, 5], seed)).unwrap();
        let (h, p, e) = (var(4, 1), var(4, 2), var(2, 3));
        let fused = gating.apply(&h, &p, &e).unwrap();
        assert_close(&fused, &gating.apply_composed(&h, &p, &e).unwrap(), 1e-12);
        check_gradients(&[h.clone(), p.clone(), e.clone()], || gating.apply(&h, &p, &e));
        assert_close(&sigmoid(&h).unwrap(), &candle_nn::ops::sigmoid(&h).unwrap(), 1e-12);
        check_gradients(std::slice::from_ref(&h), || sigmoid(&h));
    }
}
