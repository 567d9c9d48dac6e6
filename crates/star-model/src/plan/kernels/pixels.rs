//! Passes over channels-last pixels that do next to no arithmetic: scaling, pooling, upsampling.

use super::simd::{Simd, zero};
use crate::activation::Activation;

/// `x` as a number in bf16, to the nearest, ties to even, in the upper half of the bits. NaN stays NaN.
#[inline(always)]
pub(crate) fn to_bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    if x.is_nan() { bits | 0x0040_0000 } else { rounded }
}

/// Two numbers in bf16 in the place of a float, the first in the lower half.
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits((to_bf16(first) >> 16) | (to_bf16(second) & 0xffff_0000))
}

/// The two numbers of a pair.
#[inline(always)]
pub(crate) fn unpair(pair: f32) -> [f32; 2] {
    [pair.to_bits() << 16, pair.to_bits() & 0xffff_0000].map(f32::from_bits)
}

/// What a product reads, as it is made ready: the first `channels` values of `pixels` pixels, `stride` floats apart, `max(0, x scale + shift)`
/// of them where `scale` is not null.
#[derive(Clone, Copy)]
pub(crate) struct Prepared {
    pub(crate) x: *const f32,
    /// Whether `x` is of pairs in bf16 already.
    pub(crate) paired: bool,
    pub(crate) stride: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    pub(crate) scale: *const f32,
    pub(crate) shift: *const f32,
    /// `[pixels, cells]`
    pub(crate) out: *mut f32,
    /// Floats of a pixel of it, at least as many as its values take up; [`pairs`] and [`bytes`] make those beyond 0.
    pub(crate) cells: usize,
}

/// A register of values from channel `c` of the pixel at `x` on, which is of pairs in bf16 or of floats.
#[inline(always)]
pub(super) unsafe fn get<S: Simd>(x: *const f32, c: usize, pairs: bool) -> S::V {
    if pairs { S::load_bf16(x.add(c / 2)) } else { S::load(x.add(c)) }
}

/// Writes what [`get`] reads.
#[inline(always)]
pub(super) unsafe fn put<S: Simd>(out: *mut f32, c: usize, pairs: bool, v: S::V) {
    if pairs { S::store_bf16(out.add(c / 2), v) } else { S::store(out.add(c), v) }
}

impl Prepared {
    /// A register of values from channel `c` of the pixel at `x` on.
    #[inline(always)]
    unsafe fn register<S: Simd>(&self, x: *const f32, c: usize) -> S::V {
        let value = get::<S>(x, c, self.paired);
        if self.scale.is_null() {
            return value;
        }
        S::max(zero::<S>(), S::fma(value, S::load(self.scale.add(c)), S::load(self.shift.add(c))))
    }

    /// The value of channel `c` of the pixel at `x`.
    #[inline(always)]
    unsafe fn value(&self, x: *const f32, c: usize) -> f32 {
        let x = if self.paired { unpair(*x.add(c / 2))[c % 2] } else { *x.add(c) };
        if self.scale.is_null() {
            return x;
        }
        let y = x * *self.scale.add(c) + *self.shift.add(c);
        // Not `max`, which would hide a NaN.
        if y < 0.0 { 0.0 } else { y }
    }
}

/// Values as floats, whole registers of them; what lies beyond them stays as it is.
///
/// # Safety
/// As [`pairs`]; `channels` must be a multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn floats<S: Simd>(n: &Prepared) {
    for p in 0..n.pixels {
        let (x, out) = (n.x.add(p * n.stride), n.out.add(p * n.cells));
        for c in (0..n.channels).step_by(S::LANES) {
            S::store(out.add(c), n.register::<S>(x, c));
        }
    }
}

/// Values as pairs of numbers in bf16; an odd last one is paired with 0.
///
/// # Safety
/// `x` must hold what is read, `scale` and `shift` `channels` values, and `out` what is written, which must overlap nothing.
#[inline(always)]
pub(super) unsafe fn pairs<S: Simd>(n: &Prepared) {
    let cells = n.cells;
    let whole = n.channels / S::LANES * S::LANES;
    for p in 0..n.pixels {
        let (x, out) = (n.x.add(p * n.stride), n.out.add(p * cells));
        for c in (0..whole).step_by(S::LANES) {
            S::store_bf16(out.add(c / 2), n.register::<S>(x, c));
        }
        for c in (whole..n.channels).step_by(2) {
            let second = if c + 1 < n.channels { n.value(x, c + 1) } else { 0.0 };
            *out.add(c / 2) = pair(n.value(x, c), second);
        }
        for c in n.channels.div_ceil(2)..cells {
            *out.add(c) = 0.0;
        }
    }
}

/// Values of two neighbouring pixels as pairs in bf16, one line of them each two pixels; an odd last pixel is paired with zeros.
///
/// # Safety
/// As [`floats`].
#[inline(always)]
pub(super) unsafe fn pixel_pairs<S: Simd>(n: &Prepared) {
    let as_they_are = n.paired && n.scale.is_null();
    for q in 0..n.pixels.div_ceil(2) {
        let (x, out) = (n.x.add(2 * q * n.stride), n.out.add(q * n.cells));
        let (next, both) = (x.wrapping_add(n.stride), 2 * q + 1 < n.pixels);
        for c in (0..n.channels).step_by(S::LANES) {
            let pairs = if !both {
                S::zip_bf16(n.register::<S>(x, c), zero::<S>())
            } else if as_they_are {
                S::zip_pairs(x.add(c / 2), next.add(c / 2))
            } else {
                S::zip_bf16(n.register::<S>(x, c), n.register::<S>(next, c))
            };
            S::store(out.add(c), pairs);
        }
    }
}

/// How the values of a source become bytes: `x inverse + zero`, rounded.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    pub(crate) inverse: f32,
    pub(crate) zero: f32,
}

/// Values as fours of bytes, the last four filled up with zeros. NaN becomes any byte.
///
/// # Safety
/// As [`pairs`].
#[inline(always)]
pub(super) unsafe fn bytes<S: Simd>(n: &Prepared, bytes: Bytes) {
    let cells = n.cells;
    let whole = n.channels / S::LANES * S::LANES;
    let (inverse, zero_at) = (S::splat(bytes.inverse), S::splat(bytes.zero));
    for p in 0..n.pixels {
        let (x, out) = (n.x.add(p * n.stride), n.out.add(p * cells));
        for c in (0..whole).step_by(S::LANES) {
            S::store_u8(out.add(c / 4), S::fma(n.register::<S>(x, c), inverse, zero_at));
        }
        for c in whole..4 * cells {
            let value = if c < n.channels { n.value(x, c) * bytes.inverse + bytes.zero } else { 0.0 };
            *out.cast::<u8>().add(c) = value.round_ties_even() as u8;
        }
    }
}

/// The largest of each 2x2 block: two rows of `2 width` pixels at `x` into one row of `width` pixels, of `floats` floats or `pairs` each.
///
/// # Safety
/// `x` must hold `4 * width * floats` floats and `out` a quarter of them, without overlap; a pixel's values must be a multiple of the
/// lanes.
#[inline(always)]
pub(super) unsafe fn max_pool_row<S: Simd>(
    x: *const f32,
    width: usize,
    floats: usize,
    pairs: bool,
    out: *mut f32,
) {
    let below = x.add(2 * width * floats);
    for p in 0..width {
        let (a, b, out) = (x.add(2 * p * floats), below.add(2 * p * floats), out.add(p * floats));
        for c in (0..if pairs { 2 * floats } else { floats }).step_by(S::LANES) {
            let larger = |x: *const f32| S::max(get::<S>(x, c, pairs), get::<S>(x.add(floats), c, pairs));
            put::<S>(out, c, pairs, S::max(larger(a), larger(b)));
        }
    }
}

/// One row of a bilinear upsampling by `factor`: `out = activate(base + upsampled)`.
#[derive(Clone, Copy)]
pub(crate) struct BilinearRow {
    /// The two rows of `width` pixels that it lies between, and the share of the second.
    pub(crate) above: *const f32,
    pub(crate) below: *const f32,
    pub(crate) share: f32,
    pub(crate) width: usize,
    pub(crate) factor: usize,
    pub(crate) channels: usize,
    /// Null, or `factor * width` pixels; may be `out`.
    pub(crate) base: *const f32,
    pub(crate) out: *mut f32,
    pub(crate) activation: Activation,
}

/// Runs one row. Positions are those of pixel centres; beyond the outer ones the border is kept.
///
/// # Safety
/// The pointers must cover what the sizes say; `channels` must be a multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn bilinear_row<S: Simd>(row: &BilinearRow) {
    let down = S::splat(row.share);
    for x in 0..row.factor * row.width {
        let at = ((x as f32 + 0.5) / row.factor as f32 - 0.5).max(0.0);
        let first = (at as usize).min(row.width - 1);
        let across = S::splat(at - first as f32);
        let (left, right) = (first * row.channels, (first + 1).min(row.width - 1) * row.channels);
        let mut c = 0;
        while c < row.channels {
            let line = |p: *const f32| {
                let a = S::load(p.add(left + c));
                S::fma(across, S::sub(S::load(p.add(right + c)), a), a)
            };
            let above = line(row.above);
            let mut value = S::fma(down, S::sub(line(row.below), above), above);
            let at = x * row.channels + c;
            if !row.base.is_null() {
                value = S::add(value, S::load(row.base.add(at)));
            }
            if row.activation.is_relu() {
                value = S::max(zero::<S>(), value);
            }
            S::store(row.out.add(at), value);
            c += S::LANES;
        }
    }
}

/// Adds one row of `width` pixels at `low` to two rows of `2 width` pixels at `base`, each pixel, of `floats` floats or `pairs`, to a 2x2
/// block.
///
/// # Safety
/// As [`max_pool_row`], the other way round.
#[inline(always)]
pub(super) unsafe fn upsample_add_row<S: Simd>(
    base: *mut f32,
    low: *const f32,
    width: usize,
    floats: usize,
    pairs: bool,
) {
    for row in 0..2 {
        for p in 0..2 * width {
            let base = base.add((row * 2 * width + p) * floats);
            let low = low.add((p / 2) * floats);
            for c in (0..if pairs { 2 * floats } else { floats }).step_by(S::LANES) {
                put::<S>(base, c, pairs, S::add(get::<S>(base, c, pairs), get::<S>(low, c, pairs)));
            }
        }
    }
}
