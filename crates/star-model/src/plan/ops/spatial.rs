//! Changes of resolution: pooling and upsampling.

use super::super::kernels::pixels::BilinearRow;
use super::Machine;
use super::pointwise::Residual;
use super::shared::{Shared, part};
use crate::activation::Activation;

/// Floats a task.
const BLOCK: usize = 64 * 1024;

/// The largest of each 2x2 block: `[2 height, 2 width, floats]` into `[height, width, floats]`, where each float may be one of `pairs`.
pub(crate) fn max_pool(
    machine: &mut Machine,
    x: &[f32],
    (height, width, floats): (usize, usize, usize),
    pairs: bool,
    out: &mut [f32],
) {
    let (kernels, row) = (machine.kernels, width * floats);
    let out = Shared::new(out);
    rows(machine, height, 4 * row, |y| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: both parts were checked to lie inside their slices; each row is written by one task.
        unsafe {
            let x = part(x, 4 * y * row, 4 * row);
            kernels.max_pool_row(x, width, floats, pairs, out.part(y * row, row));
        }
    });
}

/// `base += nearest(low)`: `[2 height, 2 width, floats]` and `[height, width, floats]`, as in [`max_pool`].
pub(crate) fn upsample_add(
    machine: &mut Machine,
    base: &mut [f32],
    low: &[f32],
    (height, width, floats): (usize, usize, usize),
    pairs: bool,
) {
    let (kernels, row) = (machine.kernels, width * floats);
    let base = Shared::new(base);
    rows(machine, height, 4 * row, |y| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `max_pool`.
        unsafe {
            kernels.upsample_add_row(
                base.part(4 * y * row, 4 * row),
                part(low, y * row, row),
                width,
                floats,
                pairs,
            );
        }
    });
}

/// Bilinear upsampling by `factor`, added to something: `[height, width, channels]` in.
pub(crate) struct Bilinear<'a> {
    pub(crate) low: &'a [f32],
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) factor: usize,
    pub(crate) base: Residual<'a>,
    pub(crate) activation: Activation,
}

impl Bilinear<'_> {
    /// Runs it into `out`, `[factor height, factor width, channels]`.
    pub(crate) fn run(&self, machine: &mut Machine, out: &mut [f32]) {
        let (kernels, low_row) = (machine.kernels, self.width * self.channels);
        let row = self.factor * low_row;
        let out = Shared::new(out);
        rows(machine, self.factor * self.height, row, |y| {
            // The row's centre among the lower resolution's; beyond the outer ones the border is kept.
            let at = ((y as f32 + 0.5) / self.factor as f32 - 0.5).max(0.0);
            let first = (at as usize).min(self.height - 1);
            let target = out.part(y * row, row);
            let line = BilinearRow {
                above: part(self.low, first * low_row, low_row),
                below: part(self.low, (first + 1).min(self.height - 1) * low_row, low_row),
                share: at - first as f32,
                width: self.width,
                factor: self.factor,
                channels: self.channels,
                base: self.base.pointer(target, y * row, row),
                out: target,
                activation: self.activation,
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: all rows were checked to lie inside their slices; each row is written by one task.
            unsafe {
                kernels.bilinear_row(&line);
            }
        });
    }
}

/// Calls `work` for each of `height` rows, which touch `floats` floats each.
pub(super) fn rows(machine: &mut Machine, height: usize, floats: usize, work: impl Fn(usize) + Sync) {
    let tasks = (height * floats).div_ceil(BLOCK).clamp(1, height.max(1));
    machine.team.each(tasks, |task, _| (height * task / tasks..height * (task + 1) / tasks).for_each(&work));
}
