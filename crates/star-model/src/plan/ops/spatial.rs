//! Halving and doubling of resolution.

use super::Machine;
use super::shared::{Shared, part};

/// Floats a task.
const BLOCK: usize = 64 * 1024;

/// The largest of each 2x2 block: `[2 height, 2 width, channels]` into `[height, width, channels]`.
pub(crate) fn max_pool(
    machine: &mut Machine,
    x: &[f32],
    (height, width, channels): (usize, usize, usize),
    out: &mut [f32],
) {
    let (kernels, row) = (machine.kernels, width * channels);
    let out = Shared::new(out);
    rows(machine, height, 4 * row, |y| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: both parts were checked to lie inside their slices; each row is written by one task.
        unsafe {
            kernels.max_pool_row(part(x, 4 * y * row, 4 * row), width, channels, out.part(y * row, row));
        }
    });
}

/// `base += nearest(low)`: `[2 height, 2 width, channels]` and `[height, width, channels]`.
pub(crate) fn upsample_add(
    machine: &mut Machine,
    base: &mut [f32],
    low: &[f32],
    (height, width, channels): (usize, usize, usize),
) {
    let (kernels, row) = (machine.kernels, width * channels);
    let base = Shared::new(base);
    rows(machine, height, 4 * row, |y| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `max_pool`.
        unsafe {
            kernels.upsample_add_row(
                base.part(4 * y * row, 4 * row),
                part(low, y * row, row),
                width,
                channels,
            );
        }
    });
}

/// Calls `work` for each of `height` rows, which touch `floats` floats each.
fn rows(machine: &mut Machine, height: usize, floats: usize, work: impl Fn(usize) + Sync) {
    let tasks = (height * floats).div_ceil(BLOCK).clamp(1, height.max(1));
    machine.team.each(tasks, |task, _| (height * task / tasks..height * (task + 1) / tasks).for_each(&work));
}
