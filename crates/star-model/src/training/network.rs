//! The network behind its stem, from the stem's activations to the maps of every stage and back.

use std::collections::BTreeMap;

use candle_core::Result;

use super::block::{Block, Kept};
use super::heads::{Gates, KeptMaps, MapConvs, Stage};
use super::level::{Inner, Level, max_pool, max_pool_back};
use super::memory::Floats;
use super::parameters::{Collector, ConvAt, Gradients, NormAt};
use super::stack::{KeptStack, Merge, Shape, Stack, StackInput};
use super::{Maps, Passes};
use crate::StackedHourglass;
use crate::gate::edge_to_point;
use crate::graph::NodeId;
use crate::plan::ops::coordinates;
use crate::plan::ops::heads::Layout;
use crate::plan::ops::pointwise::ScaleRelu;

/// Where the parameters of each layer are, and what the layers share.
pub(super) struct Network {
    pre: [Block; 3],
    stacks: Vec<Stack>,
    stem: Maps,
    pub(super) shape: Shape,
    /// Whether only what goes into a stack is kept of it.
    recompute: bool,
}

/// What a forward pass leaves for its backward pass: blocks, and what goes into them.
pub(super) struct KeptNetwork {
    x: Floats,
    first: Kept,
    first_out: Floats,
    pooled: Floats,
    second: Kept,
    second_out: Floats,
    third: Kept,
    stacks: Vec<Left>,
}

/// What is left of a stack.
enum Left {
    All(Box<KeptStack>),
    Inputs(StackInput),
}

/// Finds a network's parameters by their places.
struct Finder<'a, 'b> {
    layers: BTreeMap<&'a str, NodeId>,
    network: &'a crate::networks::Network,
    collector: &'b mut Collector<'a>,
}

impl<'a> Finder<'a, '_> {
    fn node(&self, place: &str) -> Result<NodeId> {
        self.layers.get(place).copied().map_or_else(|| candle_core::bail!("{place}: no such layer"), Ok)
    }

    fn conv(&mut self, place: &str) -> Result<ConvAt> {
        let node = self.node(place)?;
        self.collector.conv(self.network.layers.conv(node)?)
    }

    fn norm(&mut self, place: &str) -> Result<NormAt> {
        let node = self.node(place)?;
        self.collector.norm(self.network.layers.norm(node)?)
    }

    /// The convolution at `place`, where there is one.
    fn conv_if(&mut self, place: &str) -> Result<Option<ConvAt>> {
        self.layers.contains_key(place).then(|| self.conv(place)).transpose()
    }

    fn block(&mut self, place: &str) -> Result<Block> {
        let mut norm = |n: usize| self.norm(&format!("{place}.bn{n}"));
        let norms = [norm(1)?, norm(2)?, norm(3)?];
        let mut conv = |n: usize| self.conv(&format!("{place}.conv{n}.conv"));
        let convs = [conv(1)?, conv(2)?, conv(3)?];
        Ok(Block { norms, convs, skip: self.conv_if(&format!("{place}.skip_layer.conv"))? })
    }

    fn level(&mut self, place: &str, levels: usize) -> Result<Level> {
        let inner = format!("{place}.low2");
        Ok(Level {
            up1: self.block(&format!("{place}.up1"))?,
            low1: self.block(&format!("{place}.low1"))?,
            low2: if levels > 1 {
                Inner::Level(Box::new(self.level(&inner, levels - 1)?))
            } else {
                Inner::Bottom(Box::new(self.block(&inner)?))
            },
            low3: self.block(&format!("{place}.low3"))?,
        })
    }

    /// A convolution for each kind of map, `out` or `merge`.
    fn maps(&mut self, which: &str, stack: usize) -> Result<MapConvs> {
        let place = |kind: &str| format!("{which}_{kind}.{stack}.conv");
        let points = self.conv_if(&place("pointmaps"))?;
        let edges = self.conv_if(&place("edgemaps"))?;
        let aux = points.zip(edges).map(|(points, edges)| [points, edges]);
        Ok(MapConvs { heatmaps: self.conv(&place("heatmaps"))?, aux })
    }

    fn stack(&mut self, stack: usize, levels: usize) -> Result<Stack> {
        let merge = match self.conv_if(&format!("merge_features.{stack}.conv"))? {
            Some(features) => Some(Merge { features, maps: self.maps("merge", stack)? }),
            None => None,
        };
        Ok(Stack {
            entry: self.conv_if(&format!("hgs.{stack}.coordconv.conv"))?,
            hourglass: self.level(&format!("hgs.{stack}"), levels)?,
            feature_block: self.block(&format!("features.{stack}.0"))?,
            feature_conv: self.conv(&format!("features.{stack}.1.conv"))?,
            feature_norm: self.norm(&format!("features.{stack}.1.bn"))?,
            heads: self.maps("out", stack)?,
            merge,
        })
    }
}

impl Network {
    /// Finds the parameters of `model`, for batches of `images` images and registers of `lanes` values.
    pub(super) fn new<'a>(
        model: &'a StackedHourglass,
        images: usize,
        lanes: usize,
        collector: &mut Collector<'a>,
    ) -> Result<Self> {
        let config = model.config();
        for channels in [config.channels, model.stem_channels()] {
            if !channels.is_multiple_of(2 * lanes) {
                // Kernels read and write whole registers.
                candle_core::bail!("training: expected channels a multiple of {}, got {channels}", 2 * lanes)
            }
        }
        let side = config.map_size();
        let layout = Layout::new(config.keypoints, config.attention.then_some(config.edges.len()), lanes);
        let edges = config.edges.len();
        let shape = Shape {
            size: Maps { images, height: side, width: side },
            channels: config.channels,
            gates: config
                .attention
                .then(|| Gates::new(&edge_to_point(config.keypoints, &config.edges), edges, lanes)),
            table: coordinates::table(side)?,
            relu: ScaleRelu { scale: vec![1.0; layout.channels], shift: vec![0.0; layout.channels] },
            layout,
        };
        let network = &model.network;
        let nodes = network.graph.nodes.iter().enumerate();
        let layers = nodes.filter(|(_, node)| !node.place.is_empty());
        let layers = layers.map(|(id, node)| (node.place.as_str(), id)).collect();
        let mut find = Finder { layers, network, collector };
        Ok(Self {
            pre: [find.block("pre.1")?, find.block("pre.3")?, find.block("pre.4")?],
            stacks: (0..config.stacks).map(|s| find.stack(s, config.levels)).collect::<Result<_>>()?,
            stem: Maps { images, height: 2 * side, width: 2 * side },
            shape,
            recompute: model.training.recompute,
        })
    }

    /// `x` are the stem's activations, channels-last.
    pub(super) fn forward(&self, passes: &Passes, x: Floats) -> (Vec<Stage>, KeptNetwork) {
        let size = self.shape.size;
        let (first_out, first) = self.pre[0].forward(passes, self.stem, &x);
        let pooled = max_pool(passes, self.stem, &first_out);
        let (second_out, second) = self.pre[1].forward(passes, size, &pooled);
        let (trunk, third) = self.pre[2].forward(passes, size, &second_out);
        let (mut stages, mut stacks) = (Vec::new(), Vec::new());
        let grid = |stack: &Stack, before: Option<&KeptMaps>| {
            stack.entry.map(|_| self.shape.coordinates(passes, before))
        };
        let mut from = self.stacks.first().map(|stack| StackInput { trunk, grid: grid(stack, None) });
        for (i, stack) in self.stacks.iter().enumerate() {
            let Some(inputs) = from.take() else { break };
            let (stage, kept, next) = stack.forward(passes, &self.shape, inputs);
            stages.push(stage);
            let after = self.stacks.get(i + 1).zip(next);
            from = after.map(|(stack, trunk)| StackInput { trunk, grid: grid(stack, Some(&kept.maps)) });
            stacks.push(if self.recompute { Left::Inputs(kept.forget()) } else { Left::All(Box::new(kept)) });
        }
        (stages, KeptNetwork { x, first, first_out, pooled, second, second_out, third, stacks })
    }

    /// `stages` are the gradients by the maps of each stage, as planes; returns that by the stem's activations.
    pub(super) fn backward(
        &self,
        passes: &Passes,
        kept: KeptNetwork,
        stages: &[[Option<&[f32]>; 3]],
        gradients: &mut Gradients,
    ) -> Option<Floats> {
        let size = self.shape.size;
        let KeptNetwork { x, first, first_out, pooled, second, second_out, third, stacks } = kept;
        let mut d = None;
        for ((stack, left), stage) in self.stacks.iter().zip(stacks).zip(stages).rev() {
            let kept = match left {
                Left::All(kept) => *kept,
                Left::Inputs(from) => stack.forward(passes, &self.shape, from).1,
            };
            d = Some(stack.backward(passes, &self.shape, kept, *stage, d, gradients));
        }
        let d = self.pre[2].backward(passes, size, &second_out, third, d?, gradients);
        drop(second_out);
        let d = self.pre[1].backward(passes, size, &pooled, second, d, gradients);
        drop(pooled);
        let mut by_first = passes.memory.zeros(first_out.len());
        max_pool_back(passes, self.stem, &first_out, &d, &mut by_first);
        drop((d, first_out));
        Some(self.pre[0].backward(passes, self.stem, &x, first, by_first, gradients))
    }
}
