//! The network behind its stem, from the stem's activations to the maps of every stage and back.

use candle_core::Result;

use super::block::{Block, Kept};
use super::heads::{Gates, KeptMaps, MapConvs, Stage};
use super::level::{Inner, Level, max_pool, max_pool_back};
use super::memory::Floats;
use super::parameters::{Collector, Gradients};
use super::stack::{KeptStack, Merge, Shape, Stack, StackInput};
use super::{Maps, Passes, Settings};
use crate::hourglass::{attention, layers::Layers, residual, stack};
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

fn block<'a>(block: &'a residual::Residual, c: &mut Collector<'a>) -> Result<Block> {
    Ok(Block {
        norms: [c.norm(&block.bn1)?, c.norm(&block.bn2)?, c.norm(&block.bn3)?],
        convs: [c.conv(&block.conv1)?, c.conv(&block.conv2)?, c.conv(&block.conv3)?],
        skip: block.skip.as_ref().map(|skip| c.conv(skip)).transpose()?,
    })
}

fn level<'a>(from: &'a stack::Hourglass, c: &mut Collector<'a>) -> Result<Level> {
    Ok(Level {
        up1: block(&from.up1, c)?,
        low1: block(&from.low1, c)?,
        low2: match &from.low2 {
            stack::Inner::Level(inner) => Inner::Level(Box::new(level(inner, c)?)),
            stack::Inner::Bottom(bottom) => Inner::Bottom(Box::new(block(bottom, c)?)),
        },
        low3: block(&from.low3, c)?,
    })
}

fn stack<'a>(from: &'a stack::Stack, c: &mut Collector<'a>) -> Result<Stack> {
    let aux =
        |points, edges, c: &mut Collector<'a>| Ok::<_, candle_core::Error>([c.conv(points)?, c.conv(edges)?]);
    Ok(Stack {
        entry: from.entry.as_ref().map(|entry| c.conv(entry)).transpose()?,
        hourglass: level(&from.hourglass, c)?,
        feature_block: block(&from.feature_block, c)?,
        feature_conv: c.conv(&from.feature_conv.conv)?,
        feature_norm: c.norm(&from.feature_conv.bn)?,
        heads: MapConvs {
            heatmaps: c.conv(&from.heads.heatmaps)?,
            aux: match &from.heads.aux {
                Some(heads) => Some(aux(&heads.pointmaps, &heads.edgemaps, c)?),
                None => None,
            },
        },
        merge: match &from.merge {
            Some(merge) => Some(Merge {
                features: c.conv(&merge.features)?,
                maps: MapConvs {
                    heatmaps: c.conv(&merge.heatmaps)?,
                    aux: match &merge.aux {
                        Some((points, edges)) => Some(aux(points, edges, c)?),
                        None => None,
                    },
                },
            }),
            None => None,
        },
    })
}

impl Network {
    /// Finds the parameters of `layers`, for batches of `images` images and registers of `lanes` values.
    pub(super) fn new<'a>(
        layers: &'a Layers,
        settings: &Settings,
        images: usize,
        lanes: usize,
        c: &mut Collector<'a>,
    ) -> Result<Self> {
        let config = &layers.config;
        for channels in [config.channels, layers.stem_channels()?] {
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
            gates: config.attention.then(|| Gates::new(&attention::edge_to_point(config), edges, lanes)),
            table: coordinates::table(side)?,
            relu: ScaleRelu { scale: vec![1.0; layout.channels], shift: vec![0.0; layout.channels] },
            layout,
        };
        let [first, second, third] = &layers.pre;
        Ok(Self {
            pre: [block(first, c)?, block(second, c)?, block(third, c)?],
            stacks: layers.stacks.iter().map(|from| stack(from, c)).collect::<Result<_>>()?,
            stem: Maps { images, height: 2 * side, width: 2 * side },
            shape,
            recompute: settings.recompute,
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
