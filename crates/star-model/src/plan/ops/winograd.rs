//! 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3).

use super::super::kernels::winograd::{Block, TILE, scratch};
use super::panels::Panels;
use super::pointwise::Residual;
use super::shared::{Shared, part};
use super::{Machine, Split};
use crate::activation::Activation;

/// Floats of one block's transformed input: 32 tiles of 128 channels, which leaves room for the weights that stream
/// through a second-level cache of a mebibyte.
const TRANSFORMED: usize = 32 * 128;

/// A 3x3 convolution of one image `[height, width, channels]`; `panels` come from [`Panels::winograd`].
pub(crate) struct Winograd<'a> {
    pub(crate) input: &'a [f32],
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) panels: &'a Panels,
    pub(crate) residual: Residual<'a>,
    pub(crate) activation: Activation,
    /// Whether the products are in bf16, by panels of pairs.
    pub(crate) bf16: bool,
}

impl Winograd<'_> {
    /// Runs it into `out`, `[height, width, panels.channels]`.
    pub(crate) fn run(&self, machine: &mut Machine, out: &mut [f32]) {
        let (kernels, panels) = (machine.kernels, self.panels);
        let (channels, pixels) = (self.channels, self.height * self.width);
        let depth = if self.bf16 { channels / 2 } else { channels };
        assert_eq!(depth, panels.depth, "winograd: input and weights differ in channels");
        let tiles = self.height.div_ceil(TILE) * self.width.div_ceil(TILE);
        let most = (TRANSFORMED / channels.max(1)).clamp(8, 64);
        let work = tiles * 36 * channels * panels.channels;
        let split = Split::new(tiles, most, panels.count(), machine.team.threads(), work);
        let lanes = kernels.lanes();
        let zeros = vec![0.0; channels.max(2 * lanes)];
        assert!(out.len() >= pixels * panels.channels, "winograd: output too short");
        let (stride, out) = (panels.channels, Shared::new(out));
        machine.team.each(split.tasks(), |task, memory| {
            let [range, group] = split.task(task, tiles, panels.count());
            let (first, count) =
                (panels.first(group.start), panels.first(group.end) - panels.first(group.start));
            if range.is_empty() || count == 0 {
                return;
            }
            let (weights, bias) = panels.pointers(&group);
            let span = (pixels - 1) * stride + count;
            let target = out.part(first, span);
            let block = Block {
                input: part(self.input, 0, pixels * channels),
                height: self.height,
                width: self.width,
                channels,
                zeros: zeros.as_ptr(),
                first: range.start,
                tiles: range.len(),
                weights,
                bias,
                out_channels: count,
                out: target,
                out_stride: stride,
                residual: self.residual.pointer(target, first, span),
                activation: self.activation,
                bf16: self.bf16,
                scratch: memory.take(scratch(range.len(), channels, lanes)).as_mut_ptr(),
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: input and output hold the whole image, the panels their group, scratch what a block asks for;
            // tasks have disjoint tiles or panels, so no two write to one place.
            unsafe {
                kernels.winograd(&block);
            }
        });
    }
}
