//! Convolution of each channel by itself, with "same" padding.

use super::super::kernels::depthwise::{Back, Forward, Row, SIDES};
use super::Machine;
use super::shared::{Shared, part};
use super::spatial::rows;
use crate::activation::Activation;
use crate::plan::kernels::Kernels;

/// Windows of one image `[height, width, channels]`.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    pub(crate) input: &'a [f32],
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Padded to whole registers.
    pub(crate) channels: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
}

impl Windows<'_> {
    /// Height and width of the output.
    pub(crate) fn output_size(&self) -> (usize, usize) {
        (self.height.div_ceil(self.stride), self.width.div_ceil(self.stride))
    }

    /// Calls `work` with the rows of the input that row `y` of the output sees.
    fn row<R>(&self, y: usize, work: impl FnOnce(Row) -> R) -> R {
        assert!(SIDES.contains(&self.kernel) && self.stride > 0, "depthwise: a window of {}", self.kernel);
        let mut lines = [std::ptr::null(); SIDES[SIDES.len() - 1]];
        let floats = self.width * self.channels;
        for (ky, line) in lines[..self.kernel].iter_mut().enumerate() {
            let at = (y * self.stride + ky).checked_sub(self.kernel / 2).filter(|&at| at < self.height);
            *line = at.map_or(std::ptr::null(), |at| part(self.input, at * floats, floats));
        }
        let Self { width, channels, stride, .. } = *self;
        let out_width = self.output_size().1;
        work(Row { rows: &lines[..self.kernel], width, out_width, channels, stride })
    }

    /// Convolves by `taps`, `[kernel, kernel, channels]` and a bias a channel, into `out`, `[out_height, out_width, channels]`.
    pub(crate) fn run(&self, machine: &mut Machine, taps: &[f32], activation: Activation, out: &mut [f32]) {
        let (kernels, (height, width)) = (machine.kernels, self.output_size());
        let floats = width * self.channels;
        assert!(self.channels.is_multiple_of(kernels.lanes()), "depthwise: pixels of no whole registers");
        let out = Shared::new(out);
        rows(machine, height, floats * self.kernel, |y| {
            self.row(y, |row| {
                let taps = part(taps, 0, (self.kernel * self.kernel + 1) * self.channels);
                let forward = Forward { row, taps, activation, out: out.part(y * floats, floats) };
                #[expect(unsafe_code, reason = "call of a kernel")]
                // SAFETY: the rows, the weights and the output were checked to hold what is read and written; each row is written by one
                // task.
                unsafe {
                    kernels.depthwise_row(&forward);
                }
            });
        });
    }

    /// Adds to `weights`, `[kernel, kernel, channels]`, their gradient, `d` being that at the output.
    pub(crate) fn weight_gradient(&self, kernels: &dyn Kernels, d: &[f32], weights: &mut [f32]) {
        let (height, width) = self.output_size();
        let floats = width * self.channels;
        let weights = Shared::new(weights);
        assert!(self.channels.is_multiple_of(kernels.lanes()), "depthwise: pixels of no whole registers");
        for y in 0..height {
            self.row(y, |row| {
                let weights = weights.part(0, self.kernel * self.kernel * self.channels);
                let back = Back { row, d: part(d, y * floats, floats), weights };
                #[expect(unsafe_code, reason = "call of a kernel")]
                // SAFETY: as in `run`; nobody else has `weights`.
                unsafe {
                    kernels.depthwise_back_row(&back);
                }
            });
        }
    }
}
