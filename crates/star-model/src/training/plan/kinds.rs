//! What the values of a training step are.

use crate::HeatmapActivation;
use crate::graph::NodeId;
use crate::training::parameters::{ConvAt, NormAt};

/// What a value is.
#[derive(Clone)]
pub(in crate::training) enum Kind {
    /// Part of another value, or not needed.
    Gone,
    /// The images, with coordinate channels behind the colours or without.
    Image {
        coordinates: bool,
    },
    /// Sum of 1x1 convolutions, and of a value as it is.
    Linear {
        parts: Vec<Part>,
        addend: Option<NodeId>,
        convs: Vec<ConvAt>,
    },
    /// Any other convolution.
    Window {
        conv: ConvAt,
        kernel: usize,
        stride: usize,
        x: NodeId,
    },
    /// A convolution of each channel by itself.
    Depthwise {
        conv: ConvAt,
        kernel: usize,
        stride: usize,
        x: NodeId,
    },
    /// `max(0, norm(x))`, which is never stored: who reads it works it out, a block of pixels at a time.
    Norm {
        x: NodeId,
        at: NormAt,
    },
    /// Sum of values, normed or not, upsampled or not, and a ReLU.
    Sum {
        terms: Vec<Term>,
        relu: bool,
    },
    MaxPool {
        x: NodeId,
    },
    UpsampleAdd {
        base: NodeId,
        low: NodeId,
    },
    Coordinates {
        boundary: Option<NodeId>,
    },
    /// The maps of a stage side by side, heads and activations.
    Maps {
        heads: Part,
        convs: Vec<ConvAt>,
        activation: HeatmapActivation,
        stage: usize,
    },
}

/// What a product reads of one value, and by which weights.
#[derive(Clone)]
pub(in crate::training) struct Part {
    pub(in crate::training) x: NodeId,
    pub(in crate::training) slices: Vec<Slice>,
}

/// Inputs `from` on of a convolution's weights, as many as what they are multiplied with has channels.
#[derive(Clone, Copy)]
pub(in crate::training) struct Slice {
    pub(in crate::training) conv: ConvAt,
    pub(in crate::training) from: usize,
    pub(in crate::training) len: usize,
    /// Which maps of a stage, where the value is one.
    pub(in crate::training) maps: WhichMaps,
}

/// A kind of map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::training) enum WhichMaps {
    Heat,
    Points,
    Edges,
}

/// `upsample(norm(x))`, bilinear by `factor`; 1 leaves it as it is.
#[derive(Clone, Copy)]
pub(in crate::training) struct Term {
    pub(in crate::training) x: NodeId,
    pub(in crate::training) norm: Option<NormAt>,
    pub(in crate::training) factor: usize,
}

impl Kind {
    /// The values that it reads, and whether the backward pass reads them again.
    pub(in crate::training) fn reads(&self) -> Vec<(NodeId, bool)> {
        match self {
            Self::Gone | Self::Image { .. } => vec![],
            Self::Linear { parts, addend, .. } => {
                let sums = addend.iter().map(|&x| (x, false));
                parts.iter().map(|part| (part.x, true)).chain(sums).collect()
            }
            Self::Window { x, .. }
            | Self::Depthwise { x, .. }
            | Self::Norm { x, .. }
            | Self::MaxPool { x } => vec![(*x, true)],
            Self::Sum { terms, .. } => terms.iter().map(|term| (term.x, term.norm.is_some())).collect(),
            Self::UpsampleAdd { base, low } => vec![(*base, false), (*low, false)],
            Self::Coordinates { boundary } => boundary.iter().map(|&x| (x, false)).collect(),
            Self::Maps { heads, .. } => vec![(heads.x, true)],
        }
    }

    /// Its norms, each with what it norms.
    pub(in crate::training) fn norms(&self) -> Vec<(NodeId, NormAt)> {
        match self {
            Self::Norm { x, at } => vec![(*x, *at)],
            Self::Sum { terms, .. } => {
                terms.iter().filter_map(|term| term.norm.map(|at| (term.x, at))).collect()
            }
            _ => vec![],
        }
    }
}
