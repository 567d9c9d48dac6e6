//! The inner loops that only training needs: gradients of weights, of norms, of pooling and upsampling.

use super::pixels::{get, put};
use super::simd::{Simd, zero};

/// Outer products summed over the pixels of some rows: `out[o, i] += sum_p d[p, o] x[p, i]`.
#[derive(Clone, Copy)]
pub(crate) struct Outer {
    /// `rows` rows of `width` pixels, `d_stride` floats from pixel to pixel and `d_row` from row to row.
    pub(crate) d: *const f32,
    pub(crate) d_stride: usize,
    pub(crate) d_row: usize,
    /// The same for `x`.
    pub(crate) x: *const f32,
    pub(crate) x_stride: usize,
    pub(crate) x_row: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) outputs: usize,
    /// A multiple of the lanes.
    pub(crate) inputs: usize,
    /// `[outputs, out_stride]`: what is added to, or, where it is `fresh` (and there are pixels), overwritten.
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    pub(crate) fresh: bool,
    /// Null, or [`outer_scratch`] floats: of many channels pixels are copied there first, since only so many that lie a power of two
    /// apart find room in a cache.
    pub(crate) scratch: *mut f32,
}

/// Floats of scratch for the [`outer`] product of so many pixels.
pub(crate) fn outer_scratch(pixels: usize, outputs: usize, lanes: usize) -> usize {
    pixels * (outputs + 2 * lanes)
}

/// Panels of inputs, and tiles of outputs, from which on pixels are copied.
const COPIED: usize = 4;

/// Copies the first `len` floats of each pixel, half a register or more, to where they lie without gaps, a register at a time: what it
/// writes beyond them, the next pixel's overwrite. Reads beyond them what the next pixel holds.
#[inline(always)]
unsafe fn gather<S: Simd>(
    (rows, width): (usize, usize),
    (from, stride, row): (*const f32, usize, usize),
    len: usize,
    mut to: *mut f32,
) {
    for y in 0..rows {
        for x in 0..width {
            let from = from.add(y * row + x * stride);
            if (y, x) == (rows - 1, width - 1) {
                return std::ptr::copy_nonoverlapping(from, to, len);
            }
            let mut c = 0;
            while c < len {
                S::store(to.add(c), S::load(from.add(c)));
                c += S::LANES;
            }
            to = to.add(len);
        }
    }
}

/// One tile, the first `P` outputs times the first `R` registers of inputs; with `PAIRS` each value is two in bf16, of two pixels.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const P: usize, const PAIRS: bool>(s: &Outer) {
    let mut sums = [[zero::<S>(); R]; P];
    if !s.fresh {
        for p in 0..P {
            for r in 0..R {
                sums[p][r] = S::load(s.out.add(p * s.out_stride + r * S::LANES));
            }
        }
    }
    for row in 0..s.rows {
        let mut d = s.d.add(row * s.d_row);
        let mut x = s.x.add(row * s.x_row);
        for _ in 0..s.width {
            let mut line = [zero::<S>(); R];
            for r in 0..R {
                line[r] = S::load(x.add(r * S::LANES));
            }
            for p in 0..P {
                let value = S::splat(*d.add(p));
                for r in 0..R {
                    sums[p][r] = if PAIRS {
                        S::dot(value, line[r], sums[p][r])
                    } else {
                        S::fma(value, line[r], sums[p][r])
                    };
                }
            }
            d = d.add(s.d_stride);
            x = x.add(s.x_stride);
        }
    }
    for p in 0..P {
        for r in 0..R {
            S::store(s.out.add(p * s.out_stride + r * S::LANES), sums[p][r]);
        }
    }
}

/// All outputs and inputs, two registers of inputs at a time.
///
/// # Safety
/// The pointers must cover what the sizes say, and `out` and `scratch` must overlap neither input. The last row of `d` and `x` need only
/// reach to its last pixel's last value.
#[inline(always)]
pub(super) unsafe fn outer<S: Simd>(s: &Outer) {
    tiles::<S, false>(s);
}

/// [`outer`] of pairs of pixels in bf16, as [`super::pixels::pixel_pairs`] makes them; sums are in `f32`.
///
/// # Safety
/// As [`outer`].
#[inline(always)]
pub(super) unsafe fn outer_bf16<S: Simd>(s: &Outer) {
    tiles::<S, true>(s);
}

#[inline(always)]
unsafe fn tiles<S: Simd, const PAIRS: bool>(s: &Outer) {
    let tiles = s.outputs.div_ceil(S::PIXELS);
    let bounds = |t: usize| (s.outputs * t / tiles, s.outputs * (t + 1) / tiles);
    let (pixels, panel) = (s.rows * s.width, 2 * S::LANES);
    let many = tiles >= COPIED && s.inputs >= COPIED * panel && 2 * (s.outputs / tiles) >= S::LANES;
    let copied = many && !s.scratch.is_null();
    let (of_x, of_d) = (s.scratch, s.scratch.wrapping_add(if copied { pixels * panel } else { 0 }));
    if copied {
        for t in 0..tiles {
            let (output, next) = bounds(t);
            let from = (s.d.add(output), s.d_stride, s.d_row);
            gather::<S>((s.rows, s.width), from, next - output, of_d.add(pixels * output));
        }
    }
    let mut input = 0;
    while input < s.inputs {
        let registers = ((s.inputs - input) / S::LANES).min(2);
        let mut part = *s;
        part.x = s.x.add(input);
        if copied {
            let len = registers * S::LANES;
            gather::<S>((s.rows, s.width), (part.x, s.x_stride, s.x_row), len, of_x);
            (part.x, part.x_stride, part.x_row) = (of_x, len, s.width * len);
        }
        for t in 0..tiles {
            let (output, next) = bounds(t);
            let outputs = next - output;
            part.d = s.d.add(output);
            if copied {
                part.d = of_d.add(pixels * output);
                (part.d_stride, part.d_row) = (outputs, s.width * outputs);
            }
            part.out = s.out.add(output * s.out_stride + input);
            if registers == 2 {
                sized::<S, 2, PAIRS>(&part, outputs);
            } else {
                sized::<S, 1, PAIRS>(&part, outputs);
            }
        }
        input += registers * S::LANES;
    }
}

/// Chooses the tile of `outputs` outputs, at most [`Simd::PIXELS`].
#[inline(always)]
unsafe fn sized<S: Simd, const R: usize, const PAIRS: bool>(s: &Outer, outputs: usize) {
    macro_rules! choose {
        ($($p:literal)*) => {
            match outputs {
                $($p if $p <= S::PIXELS => tile::<S, R, $p, PAIRS>(s),)*
                _ => {}
            }
        };
    }
    choose!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// A batch norm with its ReLU at some pixels of its input `x`, and the gradient `d` by its output.
#[derive(Clone, Copy)]
pub(crate) struct Masked {
    /// `[pixels, channels]` both, of floats or of `pairs` in bf16.
    pub(crate) x: *const f32,
    pub(crate) d: *mut f32,
    pub(crate) pairs: bool,
    pub(crate) pixels: usize,
    /// A multiple of the lanes.
    pub(crate) channels: usize,
    /// The norm: `x scale + shift`; its mean.
    pub(crate) scale: *const f32,
    pub(crate) shift: *const f32,
    pub(crate) mean: *const f32,
    /// Sums of `d` and of `d (x - mean)`, a channel each.
    pub(crate) first: *mut f32,
    pub(crate) second: *mut f32,
}

/// Cuts `d` in place where the ReLU did, and sums what is left.
///
/// # Safety
/// The pointers must cover what the sizes say; `d`, `first` and `second` must overlap nothing else.
#[inline(always)]
pub(super) unsafe fn mask<S: Simd>(s: &Masked) {
    let two = s.channels / (2 * S::LANES) * 2 * S::LANES;
    for c in (0..two).step_by(2 * S::LANES) {
        mask_column::<S, 2>(s, c);
    }
    for c in (two..s.channels).step_by(S::LANES) {
        mask_column::<S, 1>(s, c);
    }
}

/// `R` registers of channels from `c` on of all pixels.
#[inline(always)]
unsafe fn mask_column<S: Simd, const R: usize>(s: &Masked, c: usize) {
    let [mut first, mut second] = [[zero::<S>(); R]; 2];
    let floats = if s.pairs { s.channels / 2 } else { s.channels };
    for p in 0..s.pixels {
        let (x, d) = (s.x.add(p * floats), s.d.add(p * floats));
        for r in 0..R {
            let c = c + r * S::LANES;
            let value = get::<S>(x, c, s.pairs);
            let normed = S::fma(value, S::load(s.scale.add(c)), S::load(s.shift.add(c)));
            let left = S::positive(normed, get::<S>(d, c, s.pairs));
            put::<S>(d, c, s.pairs, left);
            first[r] = S::add(first[r], left);
            second[r] = S::fma(left, S::sub(value, S::load(s.mean.add(c))), second[r]);
        }
    }
    for r in 0..R {
        S::store(s.first.add(c + r * S::LANES), first[r]);
        S::store(s.second.add(c + r * S::LANES), second[r]);
    }
}

/// The second half of a norm's gradient, once the sums of the whole batch are known.
#[derive(Clone, Copy)]
pub(crate) struct NormBackward {
    /// `[pixels, channels]` all, of floats or of `pairs` in bf16.
    pub(crate) x: *const f32,
    pub(crate) d: *mut f32,
    /// Null, or what is added besides.
    pub(crate) add: *const f32,
    pub(crate) pairs: bool,
    pub(crate) pixels: usize,
    /// A multiple of the lanes.
    pub(crate) channels: usize,
    pub(crate) by_d: *const f32,
    pub(crate) by_x: *const f32,
    pub(crate) offset: *const f32,
}

/// `d = by_d d + by_x x + offset + add`, in place.
///
/// # Safety
/// The pointers must cover what the sizes say; `d` must overlap nothing else.
#[inline(always)]
pub(super) unsafe fn norm_backward<S: Simd>(s: &NormBackward) {
    let floats = if s.pairs { s.channels / 2 } else { s.channels };
    for p in 0..s.pixels {
        let (x, d, add) = (s.x.add(p * floats), s.d.add(p * floats), s.add.wrapping_add(p * floats));
        for c in (0..s.channels).step_by(S::LANES) {
            let line = S::fma(get::<S>(x, c, s.pairs), S::load(s.by_x.add(c)), S::load(s.offset.add(c)));
            let mut by_x = S::fma(get::<S>(d, c, s.pairs), S::load(s.by_d.add(c)), line);
            if !s.add.is_null() {
                by_x = S::add(by_x, get::<S>(add, c, s.pairs));
            }
            put::<S>(d, c, s.pairs, by_x);
        }
    }
}

/// Adds `count` floats, or `pairs` in bf16, a multiple of the lanes of either, to `sum`.
///
/// # Safety
/// Both must hold them, and must not overlap.
#[inline(always)]
pub(super) unsafe fn add<S: Simd>(sum: *mut f32, more: *const f32, count: usize, pairs: bool) {
    let values = if pairs { 2 * count } else { count };
    for c in (0..values).step_by(S::LANES) {
        put::<S>(sum, c, pairs, S::add(get::<S>(sum, c, pairs), get::<S>(more, c, pairs)));
    }
}

/// Adds the gradient of a row of pooled pixels to the first largest of each 2x2 block: two rows of `2 width` pixels at `x` and `dx`,
/// one of `width` at `d`, of `floats` floats or `pairs` each.
///
/// # Safety
/// `x` and `dx` must hold `4 * width * floats` floats, `d` a quarter of them; a pixel's values must be a multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn max_pool_back_row<S: Simd>(
    x: *const f32,
    d: *const f32,
    width: usize,
    floats: usize,
    pairs: bool,
    dx: *mut f32,
) {
    for p in 0..width {
        let corner = 2 * p * floats;
        let below = corner + 2 * width * floats;
        let places = [corner, corner + floats, below, below + floats];
        for c in (0..if pairs { 2 * floats } else { floats }).step_by(S::LANES) {
            let mut values = [zero::<S>(); 4];
            for i in 0..4 {
                values[i] = get::<S>(x.add(places[i]), c, pairs);
            }
            let largest = S::max(S::max(values[0], values[1]), S::max(values[2], values[3]));
            let mut left = get::<S>(d.add(p * floats), c, pairs);
            for i in 0..4 {
                let taken = S::equal(values[i], largest, left);
                left = S::sub(left, taken);
                let dx = dx.add(places[i]);
                put::<S>(dx, c, pairs, S::add(get::<S>(dx, c, pairs), taken));
            }
        }
    }
}

/// Sums of 2x2 blocks: two rows of `2 width` pixels at `d` into one row of `width` pixels, of `floats` floats or `pairs` each.
///
/// # Safety
/// As [`max_pool_back_row`].
#[inline(always)]
pub(super) unsafe fn upsample_back_row<S: Simd>(
    d: *const f32,
    width: usize,
    floats: usize,
    pairs: bool,
    out: *mut f32,
) {
    let below = d.add(2 * width * floats);
    for p in 0..width {
        let (a, b, out) = (d.add(2 * p * floats), below.add(2 * p * floats), out.add(p * floats));
        for c in (0..if pairs { 2 * floats } else { floats }).step_by(S::LANES) {
            let top = S::add(get::<S>(a, c, pairs), get::<S>(a.add(floats), c, pairs));
            let bottom = S::add(get::<S>(b, c, pairs), get::<S>(b.add(floats), c, pairs));
            put::<S>(out, c, pairs, S::add(top, bottom));
        }
    }
}
