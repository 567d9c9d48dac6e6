//! One level of an hourglass: the branch at full resolution, and the branch that goes through half of it.

use super::block::{Block, Kept};
use super::memory::Floats;
use super::parameters::Gradients;
use super::{Maps, Passes};
use crate::plan::ops::shared::{Shared, part};

pub(super) struct Level {
    pub(super) up1: Block,
    pub(super) low1: Block,
    pub(super) low2: Inner,
    pub(super) low3: Block,
}

pub(super) enum Inner {
    Level(Box<Level>),
    Bottom(Box<Block>),
}

/// What a forward pass leaves for its backward pass: `pooled`, `low1_out` and `low2_out` are the inputs of the blocks after them.
pub(super) struct KeptLevel {
    up1: Kept,
    pooled: Floats,
    low1: Kept,
    low1_out: Floats,
    low2: KeptInner,
    low2_out: Floats,
    low3: Kept,
}

enum KeptInner {
    Level(Box<KeptLevel>),
    Bottom(Box<Kept>),
}

impl Level {
    pub(super) fn forward(&self, passes: &Passes, maps: Maps, x: &[f32]) -> (Floats, KeptLevel) {
        let half = maps.halved();
        let (mut y, up1) = self.up1.forward(passes, maps, x);
        let pooled = max_pool(passes, maps, x);
        let (low1_out, low1) = self.low1.forward(passes, half, &pooled);
        let (low2_out, low2) = match &self.low2 {
            Inner::Level(level) => {
                let (out, kept) = level.forward(passes, half, &low1_out);
                (out, KeptInner::Level(Box::new(kept)))
            }
            Inner::Bottom(block) => {
                let (out, kept) = block.forward(passes, half, &low1_out);
                (out, KeptInner::Bottom(Box::new(kept)))
            }
        };
        let (low, low3) = self.low3.forward(passes, half, &low2_out);
        upsample_add(passes, half, &low, &mut y);
        (y, KeptLevel { up1, pooled, low1, low1_out, low2, low2_out, low3 })
    }

    pub(super) fn backward(
        &self,
        passes: &Passes,
        maps: Maps,
        x: &[f32],
        kept: KeptLevel,
        dy: Floats,
        gradients: &mut Gradients,
    ) -> Floats {
        let half = maps.halved();
        let KeptLevel { up1, pooled, low1, low1_out, low2, low2_out, low3 } = kept;
        let d = upsample_back(passes, half, &dy);
        let d = self.low3.backward(passes, half, &low2_out, low3, d, gradients);
        drop(low2_out);
        let d = match (&self.low2, low2) {
            (Inner::Level(level), KeptInner::Level(kept)) => {
                level.backward(passes, half, &low1_out, *kept, d, gradients)
            }
            (Inner::Bottom(block), KeptInner::Bottom(kept)) => {
                block.backward(passes, half, &low1_out, *kept, d, gradients)
            }
            _ => unreachable!("a level keeps what its own forward pass left"),
        };
        drop(low1_out);
        let d = self.low1.backward(passes, half, &pooled, low1, d, gradients);
        drop(pooled);
        let mut dx = self.up1.backward(passes, maps, x, up1, dy, gradients);
        max_pool_back(passes, maps, x, &d, &mut dx);
        dx
    }
}

/// Rows of pixels of all images of `maps`, and the floats of one, for `len` floats.
fn rows(maps: Maps, len: usize) -> (usize, usize) {
    let rows = maps.images * maps.height;
    (rows, len / rows)
}

/// The largest of each 2x2 block.
pub(super) fn max_pool(passes: &Passes, maps: Maps, x: &[f32]) -> Floats {
    let half = maps.halved();
    let mut out = passes.memory.take(x.len() / 4);
    let (rows, row) = rows(half, out.len());
    let target = Shared::new(&mut out);
    passes.memory.each(rows, |y, _| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: both parts were checked to lie inside their slices; each row is written by one task.
        unsafe {
            let (x, out) = (part(x, 4 * y * row, 4 * row), target.part(y * row, row));
            passes.kernels.max_pool_row(x, half.width, row / half.width, out);
        }
    });
    out
}

/// Adds the gradient `d` of pooled maps to the largest of each 2x2 block in `dx`.
pub(super) fn max_pool_back(passes: &Passes, maps: Maps, x: &[f32], d: &[f32], dx: &mut [f32]) {
    let half = maps.halved();
    let (rows, row) = rows(half, d.len());
    let dx = Shared::new(dx);
    passes.memory.each(rows, |y, _| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `max_pool`.
        unsafe {
            let (x, dx) = (part(x, 4 * y * row, 4 * row), dx.part(4 * y * row, 4 * row));
            passes.kernels.max_pool_back_row(x, part(d, y * row, row), half.width, row / half.width, dx);
        }
    });
}

/// `base += nearest(low)`, `low` being of size `half`.
fn upsample_add(passes: &Passes, half: Maps, low: &[f32], base: &mut [f32]) {
    let (rows, row) = rows(half, low.len());
    let base = Shared::new(base);
    passes.memory.each(rows, |y, _| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `max_pool`.
        unsafe {
            let (low, base) = (part(low, y * row, row), base.part(4 * y * row, 4 * row));
            passes.kernels.upsample_add_row(base, low, half.width, row / half.width);
        }
    });
}

/// The gradient by `low` of [`upsample_add`].
fn upsample_back(passes: &Passes, half: Maps, d: &[f32]) -> Floats {
    let mut out = passes.memory.take(d.len() / 4);
    let (rows, row) = rows(half, out.len());
    let target = Shared::new(&mut out);
    passes.memory.each(rows, |y, _| {
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `max_pool`.
        unsafe {
            let (d, out) = (part(d, 4 * y * row, 4 * row), target.part(y * row, row));
            passes.kernels.upsample_back_row(d, half.width, row / half.width, out);
        }
    });
    out
}
