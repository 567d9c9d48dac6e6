//! The first convolution: few input channels and a large window, so that a window's row is one run of values.

use super::super::kernels::Kernels;
use super::super::kernels::gemm::{Run, Strip};
use super::super::kernels::pixels::Narrowed;
use super::panels::Panels;
use super::shared::{Shared, part};
use super::{Machine, Split};
use crate::activation::Activation;

/// Largest window side.
const MOST: usize = 11;

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
        let step = self.stride * self.channels;
        self.rows(machine, self.input, [row, line, step], out, |kernels, strip| {
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: as `rows` says.
            unsafe {
                kernels.strip(strip);
            }
        });
    }

    /// [`Stem::run`] in bf16: `panels` are of pairs, rows of [`line`] values; a step of `stride` pixels is an even number of values.
    pub(crate) fn run_bf16(&self, machine: &mut Machine, out: &mut [f32]) {
        let (values, line) = (self.size[1] * self.channels, line(self.kernel, self.channels) / 2);
        let step = self.stride * self.channels;
        assert!(step.is_multiple_of(2), "stem: pixels that do not start at a pair");
        // What a row's last windows read beyond it is multiplied by zeros, and must be numbers.
        let row = values.div_ceil(2) + line;
        let mut pairs = vec![0.0; self.size[0] * row];
        for (to, from) in pairs.chunks_exact_mut(row).zip(self.input.chunks_exact(values)) {
            let (scale, shift) = (std::ptr::null(), std::ptr::null());
            let (x, out) = (from.as_ptr(), to.as_mut_ptr());
            let (channels, cells) = (values, row);
            let narrowed = Narrowed { x, stride: values, pixels: 1, channels, scale, shift, out, cells };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: `x` holds a row and `to` its pairs.
            unsafe {
                machine.kernels.pairs(&narrowed);
            }
        }
        self.rows(machine, &pairs, [row, line, step / 2], out, |kernels, strip| {
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: as `rows` says.
            unsafe {
                kernels.strip_bf16(strip);
            }
        });
    }

    /// Calls `product` with a strip for each row of the output: `row` floats of input a row, `line` of them a window's row, `step` from
    /// pixel to pixel. Runs, panels, output and constant were checked to hold what the strip reads or writes; tasks have disjoint rows or
    /// panels.
    fn rows(
        &self,
        machine: &mut Machine,
        input: &[f32],
        [row, line, step]: [usize; 3],
        out: &mut [f32],
        product: impl Fn(&dyn Kernels, &Strip) + Sync,
    ) {
        let (kernels, panels, [height, side]) = (machine.kernels, self.panels, self.output_size());
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
                let mut runs = [Run { x: std::ptr::null(), stride: step, len: line }; MOST];
                let runs = &mut runs[..self.kernel];
                for (k, run) in runs.iter_mut().enumerate() {
                    run.x = part(input, (y * self.stride + k) * row, (side - 1) * step + line);
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
                    pairs: false,
                };
                product(kernels, &strip);
            }
        });
    }
}
