//! The first convolution: few input channels and a large window, so that a window's row is one run of values.

use super::super::kernels::Kernels;
use super::super::kernels::gemm::{Run, Strip};
use super::super::kernels::pixels::Prepared;
use super::panels::Panels;
use super::shared::{Shared, part};
use super::{Machine, Split};
use crate::activation::Activation;

/// Largest window side.
const MOST: usize = 11;

/// Rows of the output a task.
const BLOCK: usize = 4;

/// Values of a window's row in bf16: `kernel` pixels of `channels`, filled up to whole registers of 16 pairs.
pub(crate) fn line(kernel: usize, channels: usize) -> usize {
    (kernel * channels).next_multiple_of(32)
}

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
    /// Whether the output and the constant are of pairs in bf16.
    pub(crate) pairs: bool,
    pub(crate) activation: Activation,
}

impl Stem<'_> {
    /// Height and width of the output.
    pub(crate) fn output_size(&self) -> [usize; 2] {
        self.size.map(|side| (side - self.kernel) / self.stride + 1)
    }

    /// Runs it into `out`, `[out_height, out_width, panels.channels]`.
    pub(crate) fn run(&self, machine: &mut Machine, out: &mut [f32]) {
        let (row, line) = (self.size[1] * self.channels, self.kernel * self.channels);
        assert!(!self.pairs, "stem: pairs of a product of floats");
        self.rows(machine, [row, line, self.stride * self.channels], false, out);
    }

    /// [`Stem::run`] in bf16: `panels` are of pairs, rows of [`line`] values; a step of `stride` pixels is an even number of values.
    pub(crate) fn run_bf16(&self, machine: &mut Machine, out: &mut [f32]) {
        let (values, line) = (self.size[1] * self.channels, line(self.kernel, self.channels) / 2);
        let step = self.stride * self.channels;
        assert!(step.is_multiple_of(2), "stem: pixels that do not start at a pair");
        // What a row's last windows read beyond it is multiplied by zeros, and must be numbers.
        self.rows(machine, [values.div_ceil(2) + line, line, step / 2], true, out);
    }

    /// The products of all rows of windows, in bf16 or not: `row` floats of input a row, `line` of them a window's row, `step` from pixel to
    /// pixel.
    fn rows(&self, machine: &mut Machine, [row, line, step]: [usize; 3], bf16: bool, out: &mut [f32]) {
        let (kernels, panels, [height, side]) = (machine.kernels, self.panels, self.output_size());
        assert!(self.kernel <= MOST && self.kernel * line == panels.depth, "stem: weights of another depth");
        let work = height * side * panels.depth * panels.channels;
        let split = Split::new(height, BLOCK, panels.count(), machine.team.threads(), work);
        // Floats of so many channels of the output.
        let floats = |channels: usize| if self.pairs { channels / 2 } else { channels };
        let (width, out) = (floats(panels.channels), Shared::new(out));
        machine.team.each(split.tasks(), |task, scratch| {
            let [rows, group] = split.task(task, height, panels.count());
            if rows.is_empty() {
                return;
            }
            let (first, count) =
                (panels.first(group.start), panels.first(group.end) - panels.first(group.start));
            let (weights, bias) = panels.pointers(&group);
            let read = rows.start * self.stride..(rows.end - 1) * self.stride + self.kernel;
            let (input, above) = if bf16 {
                let pairs = scratch.take(read.len() * row);
                self.round(kernels, read.start, pairs, row);
                (&*pairs, read.start)
            } else {
                (self.input, 0)
            };
            for y in rows {
                let mut runs = [Run { x: std::ptr::null(), stride: step, len: line }; MOST];
                let runs = &mut runs[..self.kernel];
                for (k, run) in runs.iter_mut().enumerate() {
                    run.x = part(input, (y * self.stride + k - above) * row, (side - 1) * step + line);
                }
                let (at, span) = (y * side * width + floats(first), (side - 1) * width + floats(count));
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
                    pairs: self.pairs,
                };
                #[expect(unsafe_code, reason = "call of a kernel")]
                // SAFETY: runs, panels, output and constant were checked to hold what the strip reads or writes; tasks have disjoint rows or
                // panels.
                unsafe {
                    if bf16 { kernels.strip_bf16(&strip) } else { kernels.strip(&strip) }
                }
            }
        });
    }

    /// Writes rows of the input from `first` on as pairs, `row` floats each.
    fn round(&self, kernels: &dyn Kernels, first: usize, pairs: &mut [f32], row: usize) {
        let channels = self.size[1] * self.channels;
        for (i, to) in pairs.chunks_exact_mut(row).enumerate() {
            let x = part(self.input, (first + i) * channels, channels);
            let (scale, shift, out) = (std::ptr::null(), std::ptr::null(), to.as_mut_ptr());
            let (paired, stride, pixels, cells) = (false, channels, 1, row);
            let row = Prepared { x, paired, stride, pixels, channels, scale, shift, out, cells };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: `x` was checked to hold a row, and `to` holds its pairs.
            unsafe {
                kernels.pairs(&row);
            }
        }
    }
}
