//! Convolution with a window in bf16, directly: the rows that a block of output rows reads are rounded once, between borders of zeros, and
//! a window's row is one run of them. For CPUs whose products in bf16 are so fast that Winograd's transforms would cost more.

use std::ops::Range;

use super::super::kernels::Kernels;
use super::super::kernels::gemm::{Direct, MOST_ROWS, Run, Strip};
use super::super::kernels::pixels::Prepared;
use super::pointwise::ScaleRelu;
use super::shared::{Shared, part};
use super::window::Window;
use super::{Machine, Split, Stored};

/// Floats of a block's rows as pairs: half of a second-level cache of a mebibyte, whose other half the weights stream through.
const ROWS: usize = 128 * 1024;

/// Outputs narrower than this have their windows laid side by side, since a row would not fill a tile.
const NARROWEST: usize = 16;

/// Pixels whose windows are laid side by side at once.
const BLOCK: usize = 32;

impl Window<'_> {
    /// [`Window::run`] in bf16: `panels` come from [`super::panels::Panels::pairs`], inputs of each tap by themselves; `channels` is even.
    /// `stored` says whether input and output, and with it what is added, lie in memory as pairs; `prepare` is applied to the input.
    pub(crate) fn run_bf16(
        &self,
        stored: Stored,
        prepare: Option<&ScaleRelu>,
        machine: &mut Machine,
        out: &mut [f32],
    ) {
        let (kernels, panels) = (machine.kernels, self.panels);
        let cells = self.channels / 2;
        assert!(
            self.channels.is_multiple_of(2) && self.kernel <= MOST_ROWS,
            "direct: an odd number of channels"
        );
        assert_eq!(self.kernel * self.kernel * cells, panels.depth, "direct: weights of another depth");
        let (out_height, out_width) = self.output_size();
        let line = (self.width + 2 * (self.kernel / 2)) * cells;
        let most = (ROWS / (line * self.stride).max(1)).saturating_sub(self.kernel).max(4);
        let work = out_height * out_width * panels.depth * panels.channels;
        let split = Split::new(out_height, most, panels.count(), machine.team.threads(), work);
        // Floats of so many channels of the output.
        let floats = |channels: usize| if stored.output { channels / 2 } else { channels };
        let (stride, out) = (floats(panels.channels), Shared::new(out));
        machine.team.each(split.tasks(), |task, scratch| {
            let [rows, group] = split.task(task, out_height, panels.count());
            let (first, count) =
                (panels.first(group.start), panels.first(group.end) - panels.first(group.start));
            if rows.is_empty() || count == 0 {
                return;
            }
            let lines = (rows.len() - 1) * self.stride + self.kernel;
            let windows = if out_width < NARROWEST { BLOCK * panels.depth } else { 0 };
            let (pairs, windows) = scratch.take(lines * line + windows).split_at_mut(lines * line);
            self.round(kernels, (stored.input, prepare), rows.start * self.stride, pairs, line);
            let (weights, bias) = panels.pointers(&group);
            let strip = |runs: &[Run], pixels: Range<usize>| {
                let at = pixels.start * stride + floats(first);
                let span = (pixels.len() - 1) * stride + floats(count);
                let target = out.part(at, span);
                let strip = Strip {
                    runs,
                    pixels: pixels.len(),
                    weights,
                    bias,
                    channels: count,
                    out: target,
                    out_stride: stride,
                    residual: self.residual.pointer(target, at, span),
                    residual_stride: stride,
                    activation: self.activation,
                    pairs: stored.output,
                };
                #[expect(unsafe_code, reason = "call of a kernel")]
                // SAFETY: the caller below checked that the runs hold what the pixels read, panels and output were checked; tasks have
                // disjoint pixels or panels.
                unsafe {
                    kernels.strip_bf16(&strip);
                }
            };
            if out_width < NARROWEST {
                let pixels = rows.start * out_width..rows.end * out_width;
                for start in pixels.clone().step_by(BLOCK) {
                    let block = start..pixels.end.min(start + BLOCK);
                    for (window, pixel) in windows.chunks_exact_mut(panels.depth).zip(block.clone()) {
                        let (y, x) = (pixel / out_width - rows.start, pixel % out_width);
                        for (k, to) in window.chunks_exact_mut(self.kernel * cells).enumerate() {
                            let at = (y * self.stride + k) * line + x * self.stride * cells;
                            to.copy_from_slice(&pairs[at..at + self.kernel * cells]);
                        }
                    }
                    let x = part(windows, 0, block.len() * panels.depth);
                    strip(&[Run { x, stride: panels.depth, len: panels.depth }], block);
                }
                return;
            }
            let span = (lines - 1) * line + ((out_width - 1) * self.stride + self.kernel) * cells;
            let (at, whole) = (rows.start * out_width * stride + floats(first), rows.len() * out_width);
            let span_out = (whole - 1) * stride + floats(count);
            let target = out.part(at, span_out);
            let direct = Direct {
                x: part(pairs, 0, span),
                line,
                step: self.stride * cells,
                row: self.stride * line,
                kernel: self.kernel,
                len: self.kernel * cells,
                rows: rows.len(),
                width: out_width,
                weights,
                bias,
                channels: count,
                out: target,
                out_stride: stride,
                residual: self.residual.pointer(target, at, span_out),
                activation: self.activation,
                pairs: stored.output,
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: `x` was checked to hold the windows' rows, panels, output and residual what is read and written; tasks have disjoint
            // rows or panels.
            unsafe {
                kernels.direct(&direct);
            }
        });
    }

    /// Writes rows of the input, which may be `stored` as pairs, prepared as pairs, `line` floats each, zeros beyond its border; the first is
    /// `first` rows below the border's first.
    fn round(
        &self,
        kernels: &dyn Kernels,
        (stored, prepare): (bool, Option<&ScaleRelu>),
        first: usize,
        pairs: &mut [f32],
        line: usize,
    ) {
        let (cells, padding, channels) = (self.channels / 2, self.kernel / 2, self.channels);
        let stride = if stored { cells } else { channels };
        let (scale, shift) = ScaleRelu::pointers(prepare, channels);
        for (i, to) in pairs.chunks_exact_mut(line).enumerate() {
            let y = (first + i).wrapping_sub(padding);
            if y >= self.height {
                to.fill(0.0);
                continue;
            }
            let (left, rest) = to.split_at_mut(padding * cells);
            let (inside, right) = rest.split_at_mut(self.width * cells);
            left.fill(0.0);
            right.fill(0.0);
            if stored && prepare.is_none() {
                inside.copy_from_slice(&self.input[y * self.width * cells..][..self.width * cells]);
                continue;
            }
            let x = part(self.input, y * self.width * stride, self.width * stride);
            let (pixels, out) = (self.width, inside.as_mut_ptr());
            let row = Prepared { x, paired: stored, stride, pixels, channels, scale, shift, out, cells };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: `x` was checked to hold a row, the norm to hold the channels, and `inside` holds the row's pixels as pairs.
            unsafe {
                kernels.pairs(&row);
            }
        }
    }
}
