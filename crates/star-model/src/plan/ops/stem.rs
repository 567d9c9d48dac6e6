//! The first convolution: few input channels and a large window, so that a window's row is one run of values.

use super::super::kernels::gemm::{Run, Strip};
use super::panels::Panels;
use super::shared::{Shared, part};
use super::{Machine, Split};
use crate::activation::Activation;

/// Largest window side.
const MOST: usize = 11;

/// Stride-`stride` convolution of an image that already has its border of `kernel / 2` zeros.
pub(crate) struct Stem<'a> {
    /// `[height, width, channels]`
    pub(crate) input: &'a [f32],
    /// Height and width, border included.
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) panels: &'a Panels,
    /// Added before the activation, as large as the output: what constant input channels contribute.
    pub(crate) constant: Option<&'a [f32]>,
    pub(crate) activation: Activation,
}

impl Stem<'_> {
    /// Height and width of the output.
    pub(crate) fn output_size(&self) -> [usize; 2] {
        self.size.map(|side| (side - self.kernel) / self.stride + 1)
    }

    /// Runs it into `out`, `[out_height, out_width, panels.channels]`.
    pub(crate) fn run(&self, machine: &mut Machine, out: &mut [f32]) {
        let (kernels, panels, [height, side]) = (machine.kernels, self.panels, self.output_size());
        let (row, line) = (self.size[1] * self.channels, self.kernel * self.channels);
        assert!(self.kernel <= MOST && self.kernel * line == panels.depth, "stem: weights of another depth");
        let work = height * side * panels.depth * panels.channels;
        let split = Split::new(height, 4, panels.count(), machine.team.threads(), work);
        let (width, out) = (panels.channels, Shared::new(out));
        machine.team.each(split.tasks(), |task, _| {
            let [rows, group] = split.task(task, height, panels.count());
            let (first, count) =
                (panels.first(group.start), panels.first(group.end) - panels.first(group.start));
            let (weights, bias) = panels.pointers(&group);
            for y in rows {
                let mut runs =
                    [Run { x: std::ptr::null(), stride: self.stride * self.channels, len: line }; MOST];
                let runs = &mut runs[..self.kernel];
                for (k, run) in runs.iter_mut().enumerate() {
                    let span = (side - 1) * self.stride * self.channels + line;
                    run.x = part(self.input, (y * self.stride + k) * row, span);
                }
                let (at, span) = (y * side * width + first, (side - 1) * width + count);
                let strip = Strip {
                    runs,
                    pixels: side,
                    weights,
                    bias,
                    channels: count,
                    out: out.part(at, span),
                    out_stride: width,
                    residual: self.constant.map_or(std::ptr::null(), |constant| part(constant, at, span)),
                    residual_stride: width,
                    activation: self.activation,
                };
                #[expect(unsafe_code, reason = "call of a kernel")]
                // SAFETY: every run, the panels, the output and the constant were checked to hold what the strip
                // reads or writes; tasks have disjoint rows or panels.
                unsafe {
                    kernels.strip(&strip);
                }
            }
        });
    }
}
