//! Convolution with any window, stride and padding: the window's values are laid side by side, then a matrix product.
//! For the few layers that are too small for Winograd, or do not have its shape.

use super::super::kernels::gemm::{Run, Strip};
use super::panels::Panels;
use super::pointwise::Residual;
use super::shared::Shared;
use super::{Machine, Split};
use crate::activation::Activation;

/// Pixels a task.
const BLOCK: usize = 48;

/// A convolution of one image `[height, width, channels]`; `panels.depth` is `kernel * kernel * channels`.
pub(crate) struct Window<'a> {
    pub(crate) input: &'a [f32],
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) panels: &'a Panels,
    pub(crate) residual: Residual<'a>,
    pub(crate) activation: Activation,
}

impl Window<'_> {
    /// Height and width of the output, "same" padding of `kernel / 2`.
    pub(crate) fn output_size(&self) -> (usize, usize) {
        let out = |side: usize| (side + 2 * (self.kernel / 2) - self.kernel) / self.stride + 1;
        (out(self.height), out(self.width))
    }

    /// Runs it into `out`, `[out_height, out_width, panels.channels]`.
    pub(crate) fn run(&self, machine: &mut Machine, out: &mut [f32]) {
        let (kernels, panels) = (machine.kernels, self.panels);
        assert_eq!(
            self.kernel * self.kernel * self.channels,
            panels.depth,
            "window: weights of another depth"
        );
        let (out_height, out_width) = self.output_size();
        let total = out_height * out_width;
        let work = total * panels.depth * panels.channels;
        let split = Split::new(total, BLOCK, panels.count(), machine.team.threads(), work);
        let (stride, out) = (panels.channels, Shared::new(out));
        machine.team.each(split.tasks(), |task, scratch| {
            let [pixels, group] = split.task(task, total, panels.count());
            let (first, count) =
                (panels.first(group.start), panels.first(group.end) - panels.first(group.start));
            if pixels.is_empty() || count == 0 {
                return;
            }
            let windows = scratch.take(pixels.len() * panels.depth);
            for (window, pixel) in windows.chunks_exact_mut(panels.depth).zip(pixels.clone()) {
                self.unfold(pixel / out_width, pixel % out_width, window);
            }
            let (weights, bias) = panels.pointers(&group);
            let (at, span) = (pixels.start * stride + first, (pixels.len() - 1) * stride + count);
            let target = out.part(at, span);
            let strip = Strip {
                runs: &[Run { x: windows.as_ptr(), stride: panels.depth, len: panels.depth }],
                pixels: pixels.len(),
                weights,
                bias,
                channels: count,
                out: target,
                out_stride: stride,
                residual: self.residual.pointer(target, at, span),
                residual_stride: stride,
                activation: self.activation,
                pairs: false,
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: the windows hold pixels * depth values, panels and output were checked; tasks have disjoint
            // pixels or panels.
            unsafe {
                kernels.strip(&strip);
            }
        });
    }

    /// The window of output pixel (`oy`, `ox`), zeros beyond the border.
    fn unfold(&self, oy: usize, ox: usize, window: &mut [f32]) {
        let padding = self.kernel / 2;
        for (tap, to) in window.chunks_exact_mut(self.channels).enumerate() {
            let y = (oy * self.stride + tap / self.kernel).wrapping_sub(padding);
            let x = (ox * self.stride + tap % self.kernel).wrapping_sub(padding);
            if y < self.height && x < self.width {
                to.copy_from_slice(&self.input[(y * self.width + x) * self.channels..][..self.channels]);
            } else {
                to.fill(0.0);
            }
        }
    }
}
