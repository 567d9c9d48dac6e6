//! Convolutions of each channel by itself: a row of pixels at a time, a register of channels at a time.

use super::simd::{Simd, zero};
use crate::activation::Activation;

/// Sides of windows that these kernels know.
pub(crate) const SIDES: [usize; 3] = [3, 5, 7];

/// Pixels side by side that share each weight.
const TILE: usize = 8;

/// A row of the output, and the rows of the input that it sees.
pub(crate) struct Row<'a> {
    /// One for each row of the window, null beyond the border: `[width, channels]`.
    pub(crate) rows: &'a [*const f32],
    pub(crate) width: usize,
    pub(crate) out_width: usize,
    pub(crate) channels: usize,
    pub(crate) stride: usize,
}

/// What a row is convolved by.
pub(crate) struct Forward<'a> {
    pub(crate) row: Row<'a>,
    /// The weights `[kernel, kernel, channels]`, then the biases `[channels]`.
    pub(crate) taps: *const f32,
    pub(crate) activation: Activation,
    /// `[out_width, channels]`
    pub(crate) out: *mut f32,
}

/// The gradient of the weights by a row.
pub(crate) struct Back<'a> {
    pub(crate) row: Row<'a>,
    /// The gradient at the output, `[out_width, channels]`.
    pub(crate) d: *const f32,
    /// Added to: `[kernel, kernel, channels]`.
    pub(crate) weights: *mut f32,
}

impl Row<'_> {
    /// The outputs whose windows do not reach beyond the ends of the row.
    fn inner(&self) -> std::ops::Range<usize> {
        let (kernel, border) = (self.rows.len(), self.rows.len() / 2);
        let first = border.div_ceil(self.stride).min(self.out_width);
        let end = (self.width + border).checked_sub(kernel).map_or(0, |last| last / self.stride + 1);
        first..end.clamp(first, self.out_width)
    }

    /// Where the input's pixel for column `kx` of output `x`'s window lies.
    fn at(&self, x: usize, kx: usize) -> Option<usize> {
        (x * self.stride + kx).checked_sub(self.rows.len() / 2).filter(|&at| at < self.width)
    }
}

/// Convolves a row.
///
/// # Safety
/// The window must be one of [`SIDES`]; all pointers must hold what their fields say, `channels` a multiple of the lanes, and the
/// output must overlap nothing.
#[inline(always)]
pub(super) unsafe fn depthwise_row<S: Simd>(forward: &Forward) {
    match forward.row.rows.len() {
        3 => forward_row::<S, 3>(forward),
        5 => forward_row::<S, 5>(forward),
        _ => forward_row::<S, 7>(forward),
    }
}

#[inline(always)]
unsafe fn forward_row<S: Simd, const K: usize>(forward: &Forward) {
    let Forward { row, taps, activation, out } = forward;
    let (channels, inner) = (row.channels, row.inner());
    let mut c = 0;
    while c < channels {
        let bias = S::load(taps.add(K * K * channels + c));
        let weight = |ky: usize, kx: usize| S::load(taps.add((ky * K + kx) * channels + c));
        let store = |x: usize, value: S::V| {
            let value = if activation.is_relu() { S::max(zero::<S>(), value) } else { value };
            S::store(out.add(x * channels + c), value);
        };
        let mut x = inner.start;
        while x + TILE <= inner.end {
            let mut sums = [bias; TILE];
            for ky in 0..K {
                if row.rows[ky].is_null() {
                    continue;
                }
                let line = row.rows[ky].add((x * row.stride - K / 2) * channels + c);
                if row.stride == 1 {
                    let mut weights = [zero::<S>(); K];
                    for kx in 0..K {
                        weights[kx] = weight(ky, kx);
                    }
                    side_by_side::<S, K>(line, channels, &weights, &mut sums);
                    continue;
                }
                for kx in 0..K {
                    let weight = weight(ky, kx);
                    for p in 0..TILE {
                        let value = S::load(line.add((p * row.stride + kx) * channels));
                        sums[p] = S::fma(value, weight, sums[p]);
                    }
                }
            }
            for p in 0..TILE {
                store(x + p, sums[p]);
            }
            x += TILE;
        }
        for x in (0..inner.start).chain(x..row.out_width) {
            let mut sum = bias;
            for ky in 0..K {
                for kx in 0..K {
                    if let (false, Some(at)) = (row.rows[ky].is_null(), row.at(x, kx)) {
                        sum = S::fma(S::load(row.rows[ky].add(at * channels + c)), weight(ky, kx), sum);
                    }
                }
            }
            store(x, sum);
        }
        c += S::LANES;
    }
}

/// Adds a row of windows of stride 1, whose values are `channels` apart from `line` on: each is read once for all that see it.
#[inline(always)]
unsafe fn side_by_side<S: Simd, const K: usize>(
    line: *const f32,
    channels: usize,
    weights: &[S::V; K],
    sums: &mut [S::V; TILE],
) {
    for i in 0..TILE + K - 1 {
        let value = S::load(line.add(i * channels));
        for kx in 0..K {
            if i >= kx && i - kx < TILE {
                sums[i - kx] = S::fma(value, weights[kx], sums[i - kx]);
            }
        }
    }
}

/// Adds what a row contributes to the gradient of the weights.
///
/// # Safety
/// As [`depthwise_row`].
#[inline(always)]
pub(super) unsafe fn depthwise_back_row<S: Simd>(back: &Back) {
    match back.row.rows.len() {
        3 => back_row::<S, 3>(back),
        5 => back_row::<S, 5>(back),
        _ => back_row::<S, 7>(back),
    }
}

#[inline(always)]
unsafe fn back_row<S: Simd, const K: usize>(back: &Back) {
    let Back { row, d, weights } = back;
    let (channels, inner) = (row.channels, row.inner());
    for ky in 0..K {
        if row.rows[ky].is_null() {
            continue;
        }
        let mut c = 0;
        while c < channels {
            let to = |kx: usize| weights.add((ky * K + kx) * channels + c);
            let mut sums = [zero::<S>(); K];
            for kx in 0..K {
                sums[kx] = S::load(to(kx));
            }
            for x in inner.clone() {
                let d = S::load(d.add(x * channels + c));
                let line = row.rows[ky].add((x * row.stride - K / 2) * channels + c);
                for kx in 0..K {
                    sums[kx] = S::fma(S::load(line.add(kx * channels)), d, sums[kx]);
                }
            }
            for x in (0..inner.start).chain(inner.end..row.out_width) {
                let d = S::load(d.add(x * channels + c));
                for kx in 0..K {
                    if let Some(at) = row.at(x, kx) {
                        sums[kx] = S::fma(S::load(row.rows[ky].add(at * channels + c)), d, sums[kx]);
                    }
                }
            }
            for kx in 0..K {
                S::store(to(kx), sums[kx]);
            }
            c += S::LANES;
        }
    }
}
