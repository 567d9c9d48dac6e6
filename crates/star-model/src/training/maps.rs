//! Changes of resolution in both directions, channels-last.

use super::memory::Floats;
use super::{Maps, Passes};
use crate::plan::ops::shared::{Shared, part};

/// Rows of pixels of all images of `maps`, and the floats of one, for `len` floats.
fn rows(maps: Maps, len: usize) -> (usize, usize) {
    let rows = maps.images * maps.height;
    (rows, len / rows)
}

/// The largest of each 2x2 block, of floats or of `pairs` in bf16 as all values here.
pub(super) fn max_pool(passes: &Passes, maps: Maps, x: &[f32], pairs: bool) -> Floats {
    let half = maps.halved();
    let mut out = passes.memory.take(x.len() / 4);
    let (rows, row) = rows(half, out.len());
    let target = Shared::new(&mut out);
    passes.memory.each(rows, |y, _| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: both parts were checked to lie inside their slices; each row is written by one task.
        unsafe {
            let (x, out) = (part(x, 4 * y * row, 4 * row), target.part(y * row, row));
            passes.kernels.max_pool_row(x, half.width, row / half.width, pairs, out);
        }
    });
    out
}

/// Adds the gradient `d` of pooled maps to the largest of each 2x2 block in `dx`.
pub(super) fn max_pool_back(passes: &Passes, maps: Maps, x: &[f32], d: &[f32], pairs: bool, dx: &mut [f32]) {
    let half = maps.halved();
    let (rows, row) = rows(half, d.len());
    let dx = Shared::new(dx);
    passes.memory.each(rows, |y, _| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `max_pool`.
        unsafe {
            let (x, dx) = (part(x, 4 * y * row, 4 * row), dx.part(4 * y * row, 4 * row));
            let d = part(d, y * row, row);
            passes.kernels.max_pool_back_row(x, d, half.width, row / half.width, pairs, dx);
        }
    });
}

/// `base += nearest(low)`, `low` being of size `half`.
pub(super) fn upsample_add(passes: &Passes, half: Maps, low: &[f32], pairs: bool, base: &mut [f32]) {
    let (rows, row) = rows(half, low.len());
    let base = Shared::new(base);
    passes.memory.each(rows, |y, _| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `max_pool`.
        unsafe {
            let (low, base) = (part(low, y * row, row), base.part(4 * y * row, 4 * row));
            passes.kernels.upsample_add_row(base, low, half.width, row / half.width, pairs);
        }
    });
}

/// The gradient by `low` of [`upsample_add`].
pub(super) fn upsample_back(passes: &Passes, half: Maps, d: &[f32], pairs: bool) -> Floats {
    let mut out = passes.memory.take(d.len() / 4);
    let (rows, row) = rows(half, out.len());
    let target = Shared::new(&mut out);
    passes.memory.each(rows, |y, _| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `max_pool`.
        unsafe {
            let (d, out) = (part(d, 4 * y * row, 4 * row), target.part(y * row, row));
            passes.kernels.upsample_back_row(d, half.width, row / half.width, pairs, out);
        }
    });
    out
}

/// `sum += more`, of floats or of `pairs` in bf16.
pub(super) fn add(passes: &Passes, more: &[f32], pairs: bool, sum: &mut [f32]) {
    const CHUNK: usize = 16 * 1024;
    let whole = more.len().is_multiple_of(passes.kernels.lanes() / if pairs { 2 } else { 1 });
    assert!(sum.len() == more.len() && whole, "a sum: sizes");
    let (len, sum) = (more.len(), Shared::new(sum));
    passes.memory.each(len.div_ceil(CHUNK), |chunk, _| {
        let (at, count) = (chunk * CHUNK, CHUNK.min(len - chunk * CHUNK));
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `max_pool`; values are whole registers.
        unsafe {
            passes.kernels.add(sum.part(at, count), part(more, at, count), count, pairs);
        }
    });
}
