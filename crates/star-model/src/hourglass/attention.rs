//! The heads of one stack: heatmaps, and the point and edge maps that gate them (ADNet's attention module).

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::sigmoid;

use crate::StackedHourglassConfig;
use crate::layers::Conv2d;
use crate::model::{AuxMaps, Stage};
use crate::norm::{instance_norm, relu};

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
pub(super) struct Heads {
    heatmaps: Conv2d,
    aux: Option<AuxHeads>,
}

struct AuxHeads {
    pointmaps: Conv2d,
    edgemaps: Conv2d,
    /// `[1, K, E]`
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
    pub(super) fn new(config: &StackedHourglassConfig, stack: usize, vb: &VarBuilder) -> Result<Self> {
        let head = |name: &str, maps: usize| {
            Conv2d::new(config.channels, maps, 1, 1, vb.pp(name).pp(stack).pp("conv"))
        };
        let aux = if config.attention {
            let (k, e) = (config.keypoints, config.edges.len());
            let (matrix, bias) = edge_to_point(config);
            let constant = |values: Vec<f32>, shape: &[usize], dtype: DType, device: &Device| {
                Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
            };
            Some(AuxHeads {
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
        let heatmaps = relu(&instance_norm(&self.heatmaps.forward(features)?)?)?;
        let Some(aux) = &self.aux else {
            return Ok(HeadOutput { stage: Stage { heatmaps: heatmaps.clone(), aux: None }, heatmaps });
        };
        let pointmaps = sigmoid(&aux.pointmaps.forward(features)?)?;
        let edgemaps = sigmoid(&aux.edgemaps.forward(features)?)?;
        let (b, e, h, w) = edgemaps.dims4()?;
        let on_edges = aux.matrix.broadcast_matmul(&edgemaps.reshape((b, e, h * w))?)?;
        let on_edges = on_edges.reshape(pointmaps.shape())?.broadcast_add(&aux.bias)?;
        let fused = ((on_edges * &pointmaps)? * &heatmaps)?;
        let stage = Stage { heatmaps: fused, aux: Some(AuxMaps { pointmaps, edgemaps }) };
        Ok(HeadOutput { stage, heatmaps })
    }
}
