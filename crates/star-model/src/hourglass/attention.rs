//! The heads of one stack: heatmaps, and the point and edge maps that gate them (ADNet's attention module).

use candle_core::{DType, Device, Result, Tensor};

use crate::StackedHourglassConfig;
use crate::builder::Builder;
use crate::cpu::{gate::Gate, sigmoid::Sigmoid, slices_supported};
use crate::layers::Conv2d;
use crate::model::{AuxMaps, Stage};
use crate::norm::instance_norm_relu;

/// The fixed edge-to-point matrix `[K, E]` and bias `[K]` of a scheme, in `f32`, row-major.
///
/// Weight 1 where a keypoint lies on an edge; bias 1 for keypoints on no edge, which are then never gated.
pub(crate) fn edge_to_point(config: &StackedHourglassConfig) -> (Vec<f32>, Vec<f32>) {
    let (k, e) = (config.keypoints, config.edges.len());
    let mut matrix = vec![0.0; k * e];
    let mut bias = vec![1.0; k];
    for (edge, points) in config.edges.iter().enumerate() {
        for &point in points {
            matrix[point * e + edge] = 1.0;
            bias[point] = 0.0;
        }
    }
    (matrix, bias)
}

/// The 1x1 heads of one stack.
pub(crate) struct Heads {
    pub(crate) heatmaps: Conv2d,
    pub(crate) aux: Option<AuxHeads>,
}

pub(crate) struct AuxHeads {
    pub(crate) pointmaps: Conv2d,
    pub(crate) edgemaps: Conv2d,
    /// The edges of each keypoint.
    edges_of: Vec<Vec<usize>>,
    /// The same as a matrix, `[1, K, E]`.
    matrix: Tensor,
    /// `[1, K, 1, 1]`
    bias: Tensor,
}

/// What a stack's heads return: the stage, and the heatmaps before they were gated, which the next stack reads.
pub(super) struct HeadOutput {
    pub(super) stage: Stage,
    pub(super) heatmaps: Tensor,
}

impl Heads {
    pub(super) fn new(config: &StackedHourglassConfig, stack: usize, vb: &Builder) -> Result<Self> {
        let head = |name: &str, maps: usize| {
            Conv2d::new(config.channels, maps, 1, 1, vb.pp(name).pp(stack).pp("conv"))
        };
        let aux = if config.attention {
            let (k, e) = (config.keypoints, config.edges.len());
            let (matrix, bias) = edge_to_point(config);
            let constant = |values: Vec<f32>, shape: &[usize], dtype: DType, device: &Device| {
                Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
            };
            let on = |edge: &Vec<usize>, point: usize| edge.contains(&point);
            let edges_of = (0..k).map(|point| (0..e).filter(|&i| on(&config.edges[i], point)).collect());
            Some(AuxHeads {
                edges_of: edges_of.collect(),
                pointmaps: head("out_pointmaps", k)?,
                edgemaps: head("out_edgemaps", e)?,
                matrix: constant(matrix, &[1, k, e], vb.dtype(), vb.device())?,
                bias: constant(bias, &[1, k, 1, 1], vb.dtype(), vb.device())?,
            })
        } else {
            None
        };
        Ok(Self { heatmaps: head("out_heatmaps", config.keypoints)?, aux })
    }

    /// `features`: `[B, C, M, M]`.
    pub(super) fn forward(&self, features: &Tensor) -> Result<HeadOutput> {
        // Maps have the type of the parameters, whatever that of the features.
        let dtype = self.heatmaps.parameters()[0].dtype();
        let maps = |conv: &Conv2d| conv.forward(features)?.to_dtype(dtype);
        let heatmaps = instance_norm_relu(&maps(&self.heatmaps)?)?;
        let Some(aux) = &self.aux else {
            return Ok(HeadOutput { stage: Stage { heatmaps: heatmaps.clone(), aux: None }, heatmaps });
        };
        let pointmaps = sigmoid(&maps(&aux.pointmaps)?)?;
        let edgemaps = sigmoid(&maps(&aux.edgemaps)?)?;
        let fused = aux.gate(&heatmaps, &pointmaps, &edgemaps)?;
        let stage = Stage { heatmaps: fused, aux: Some(AuxMaps { pointmaps, edgemaps }) };
        Ok(HeadOutput { stage, heatmaps })
    }
}

impl AuxHeads {
    /// Heatmaps times point maps times the edge maps that each keypoint lies on.
    fn gate(&self, heatmaps: &Tensor, pointmaps: &Tensor, edgemaps: &Tensor) -> Result<Tensor> {
        if slices_supported(heatmaps) {
            let op = Gate { edges: self.edges_of.clone(), maps: edgemaps.dim(1)? };
            return heatmaps.apply_op3(pointmaps, edgemaps, op);
        }
        self.gate_composed(heatmaps, pointmaps, edgemaps)
    }

    fn gate_composed(&self, heatmaps: &Tensor, pointmaps: &Tensor, edgemaps: &Tensor) -> Result<Tensor> {
        let (b, e, h, w) = edgemaps.dims4()?;
        let on_edges = self.matrix.broadcast_matmul(&edgemaps.reshape((b, e, h * w))?)?;
        let on_edges = on_edges.reshape(pointmaps.shape())?.broadcast_add(&self.bias)?;
        (on_edges * pointmaps)? * heatmaps
    }
}

/// `1 / (1 + exp(-x))`.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    if slices_supported(x) { x.contiguous()?.apply_op1(Sigmoid) } else { candle_nn::ops::sigmoid(x) }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::Parameters;
    use crate::gradient_check::{assert_close, check_gradients, noise};

    #[test]
    fn the_gate_and_sigmoid_kernels_are_those_of_tensor_ops_with_their_own_gradients() {
        // keypoint 1 lies on both edges, 3 on none
        let config = StackedHourglassConfig {
            channels: 8,
            ..StackedHourglassConfig::reference(4, vec![vec![0, 1], vec![1, 2]])
        };
        let parameters = Parameters::new(0);
        let heads = Heads::new(&config, 0, &parameters.var_builder(DType::F64, &Device::Cpu).into()).unwrap();
        let aux = heads.aux.unwrap();
        let var = |maps: usize, seed: u64| Var::from_tensor(&noise(&[3, maps, 2, 5], seed)).unwrap();
        let (h, p, e) = (var(4, 1), var(4, 2), var(2, 3));
        assert_close(&aux.gate(&h, &p, &e).unwrap(), &aux.gate_composed(&h, &p, &e).unwrap(), 1e-12);
        check_gradients(&[h.clone(), p.clone(), e.clone()], || aux.gate(&h, &p, &e));
        assert_close(&sigmoid(&h).unwrap(), &candle_nn::ops::sigmoid(&h).unwrap(), 1e-12);
        check_gradients(std::slice::from_ref(&h), || sigmoid(&h));
    }
}
