//! A network's graph as the operations of a training step: what is cheap to recompute is not a value, sums are part of products, and
//! the maps of a stage lie side by side.

mod kinds;
mod planner;

use std::ops::Range;

use super::parameters::NormAt;
use crate::graph::{Graph, NodeId};
pub(super) use kinds::{Kind, Part, Slice, Term, WhichMaps};
use planner::Planner;

/// A layer whose parameters are in the list, weight and bias of each.
#[derive(Clone, Copy)]
pub(super) enum LayerAt {
    Conv(NodeId),
    Norm(NodeId),
}

/// A training step's operations; values have the numbers of the graph's nodes.
pub(crate) struct Plan {
    pub(super) kinds: Vec<Kind>,
    pub(super) channels: Vec<usize>,
    pub(super) sides: Vec<usize>,
    /// How many values read each.
    pub(super) readers: Vec<usize>,
    /// Whether the backward pass reads it again.
    pub(super) kept: Vec<bool>,
    /// The norm that alone reads a value, whose sums are taken while the value is made.
    pub(super) norm_behind: Vec<Option<NormAt>>,
    /// The values of each part of the network.
    pub(super) sections: Vec<Range<NodeId>>,
    pub(super) layers: Vec<LayerAt>,
    /// Number of norms.
    pub(super) norms: usize,
    pub(super) points: usize,
    /// Whether values may lie in memory as pairs in bf16: where none is upsampled between its pixels or convolved channel by channel.
    pub(super) pairs: bool,
    /// The edges of the gates, where there are some.
    pub(super) edges: Option<Vec<Vec<usize>>>,
    pub(super) stages: usize,
}

impl Plan {
    /// `None` for networks that these operations cannot train.
    pub(crate) fn new(graph: &Graph) -> Option<Self> {
        let Planner { kinds, channels, sides, layers, norms, edges, .. } = Planner::plan(graph)?;
        let section = |section: usize| {
            let of = |id: &NodeId| graph.nodes[*id].section == section;
            let first = (0..kinds.len()).find(of).unwrap_or(0);
            first..(first..kinds.len()).take_while(of).last().map_or(first, |last| last + 1)
        };
        let count = kinds.len();
        let (mut readers, mut kept, mut norm_behind) =
            (vec![0; count], vec![false; count], vec![None; count]);
        for (id, kind) in kinds.iter().enumerate() {
            for (x, again) in kind.reads() {
                readers[x] += 1;
                kept[x] |= again;
            }
            // Where its ReLU cut is read off its result.
            kept[id] |= matches!(kind, Kind::Sum { relu: true, .. });
        }
        for kind in &kinds {
            for (x, at) in kind.norms() {
                norm_behind[x] = Some(at).filter(|_| readers[x] == 1);
            }
        }
        let pairs = |kind: &Kind| match kind {
            Kind::Depthwise { .. } => false,
            Kind::Sum { terms, .. } => terms.iter().all(|term| term.factor == 1),
            _ => true,
        };
        Some(Self {
            pairs: kinds.iter().all(pairs),
            sections: (0..graph.sections.len()).map(section).collect(),
            points: graph.nodes[graph.last_heatmaps()].channels,
            stages: graph.stages.len(),
            kinds,
            channels,
            sides,
            readers,
            kept,
            norm_behind,
            layers,
            norms,
            edges,
        })
    }

    /// Side of the maps that the network returns.
    pub(super) fn map_side(&self) -> usize {
        let maps = self.kinds.iter().position(|kind| matches!(kind, Kind::Maps { .. }));
        maps.map_or(0, |maps| self.sides[maps])
    }
}
