//! A compiled network: steps over slots of memory, in order, for one image.

use super::memory::Buffer;
use super::ops::Stored;
use super::ops::heads::Layout;
use super::ops::panels::Panels;
use super::ops::pointwise::{Cells, ScaleRelu};
use crate::HeatmapActivation;
use crate::activation::Activation;

/// What a step does. Inputs and outputs are channels-last; numbers of slots come first.
pub(super) enum Op {
    /// The first convolution, of an image that is padded already.
    Stem {
        image: usize,
        padded: usize,
        kernel: usize,
        stride: usize,
        panels: Panels,
        constant: Option<Buffer>,
        activation: Activation,
        bf16: bool,
        /// Whether the output and the constant are of pairs in bf16.
        pairs: bool,
    },
    /// 1x1 convolution of one or several inputs.
    Pointwise {
        sources: Vec<Input>,
        prepare: Option<ScaleRelu>,
        panels: Panels,
        residual: Addend,
        activation: Activation,
        pixels: usize,
        cells: Cells,
        /// Whether the output and what is added are of pairs in bf16.
        pairs: bool,
    },
    /// 3x3 convolution, by Winograd.
    Winograd {
        input: usize,
        height: usize,
        width: usize,
        channels: usize,
        panels: Panels,
        residual: Addend,
        activation: Activation,
        bf16: bool,
    },
    /// Convolution, by laying windows side by side, or in bf16 directly.
    Window {
        input: usize,
        height: usize,
        width: usize,
        channels: usize,
        kernel: usize,
        stride: usize,
        panels: Panels,
        residual: Addend,
        activation: Activation,
        /// In bf16, what lies in memory as pairs.
        bf16: Option<Stored>,
    },
    /// Convolution of each channel by itself, by weights `[kernel, kernel, channels]` and biases.
    Depthwise {
        input: usize,
        height: usize,
        width: usize,
        channels: usize,
        kernel: usize,
        stride: usize,
        taps: Buffer,
        activation: Activation,
    },
    /// 2x2 max-pooling to this height and width.
    MaxPool { input: usize, height: usize, width: usize, floats: usize, pairs: bool },
    /// Adds the nearest upsampling of an input of this height and width to the output.
    UpsampleAdd { low: usize, height: usize, width: usize, floats: usize, pairs: bool },
    /// Adds the bilinear upsampling of an input of this height and width by a factor to another value.
    Bilinear {
        low: usize,
        height: usize,
        width: usize,
        channels: usize,
        factor: usize,
        base: Addend,
        activation: Activation,
    },
    /// The heads' activations, in place: this one on the heatmaps, the sigmoid on the others.
    Activate { heatmaps: HeatmapActivation },
    /// Coordinate channels, masked by the last heatmap of a slot.
    Coordinates { maps: Option<usize> },
    /// Shows a stage's maps, which are its output, to the caller.
    Stage { stage: usize },
}

/// What one stretch of a 1x1 convolution's inner loop reads.
#[derive(Clone, Copy)]
pub(super) struct Input {
    pub(super) slot: usize,
    pub(super) floats: usize,
    pub(super) stride: usize,
    pub(super) len: usize,
    /// Whether it is of pairs in bf16.
    pub(super) pairs: bool,
}

/// What a convolution or an upsampling adds to.
#[derive(Clone, Copy)]
pub(super) enum Addend {
    None,
    InPlace,
    Slot(usize),
}

/// One step.
pub(super) struct Step {
    /// Where in the network it is, such as `hgs.0.up1.conv2`.
    pub(super) name: String,
    pub(super) op: Op,
    /// Slot that it writes to.
    pub(super) output: usize,
    /// Floats of its output.
    pub(super) floats: usize,
    /// Multiplications of the plain convolution, whatever way it is computed.
    pub(super) multiplications: u64,
}

/// A whole network.
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    /// Floats of each slot.
    pub(super) slots: Vec<usize>,
    /// Slot of the padded image and its border.
    pub(super) image: usize,
    pub(super) border: usize,
    pub(super) image_size: usize,
    pub(super) map_size: usize,
    pub(super) stages: usize,
    pub(super) layout: Layout,
    /// The edge-to-point matrix, where there is attention.
    pub(super) gates: Option<Panels>,
    /// Coordinates of the maps' pixels.
    pub(super) coordinates: Vec<f32>,
}

impl Program {
    /// Bytes of packed weights and constants.
    pub(super) fn weight_bytes(&self) -> usize {
        let constants =
            self.coordinates.len() * size_of::<f32>() + self.gates.as_ref().map_or(0, Panels::bytes);
        constants
            + self
                .steps
                .iter()
                .map(|step| match &step.op {
                    Op::Stem { panels, constant, .. } => {
                        panels.bytes() + constant.as_ref().map_or(0, Buffer::bytes)
                    }
                    Op::Pointwise { panels, .. }
                    | Op::Winograd { panels, .. }
                    | Op::Window { panels, .. } => panels.bytes(),
                    Op::Depthwise { taps, .. } => taps.bytes(),
                    _ => 0,
                })
                .sum::<usize>()
    }
}
