//! The inner loops that only training needs: gradients of weights, of norms, of pooling and upsampling.

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
    /// `[outputs, out_stride]`
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
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
    for p in 0..P {
        for r in 0..R {
            sums[p][r] = S::load(s.out.add(p * s.out_stride + r * S::LANES));
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

/// [`outer`] of pairs of pixels in bf16, as [`pair_pixels`] makes them; sums are in `f32`.
///
/// # Safety
/// As [`outer`].
#[inline(always)]
pub(super) unsafe fn outer_bf16<S: Simd>(s: &Outer) {
    tiles::<S, true>(s);
}

/// Two pixels of `channels` values, a multiple of the lanes, as pairs in bf16.
///
/// # Safety
/// `first` and `second` must hold the values, and `out` take as many, which must overlap nothing.
#[inline(always)]
pub(super) unsafe fn pair_pixels<S: Simd>(
    first: *const f32,
    second: *const f32,
    channels: usize,
    out: *mut f32,
) {
    let mut c = 0;
    while c < channels {
        S::store(out.add(c), S::zip_bf16(S::load(first.add(c)), S::load(second.add(c))));
        c += S::LANES;
    }
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
    /// `[pixels, channels]` both.
    pub(crate) x: *const f32,
    pub(crate) d: *mut f32,
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
    let mut c = 0;
    while c < s.channels {
        let (scale, shift, mean) = (S::load(s.scale.add(c)), S::load(s.shift.add(c)), S::load(s.mean.add(c)));
        let (mut a, mut b) = (zero::<S>(), zero::<S>());
        for p in 0..s.pixels {
            let at = p * s.channels + c;
            let x = S::load(s.x.add(at));
            let d = S::positive(S::fma(x, scale, shift), S::load(s.d.add(at)));
            S::store(s.d.add(at), d);
            a = S::add(a, d);
            b = S::fma(d, S::sub(x, mean), b);
        }
        S::store(s.first.add(c), a);
        S::store(s.second.add(c), b);
        c += S::LANES;
    }
}

/// The second half of a norm's gradient, once the sums of the whole batch are known.
#[derive(Clone, Copy)]
pub(crate) struct NormBackward {
    /// `[pixels, channels]` all.
    pub(crate) x: *const f32,
    pub(crate) d: *mut f32,
    /// Null, or what is added besides.
    pub(crate) add: *const f32,
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
    for p in 0..s.pixels {
        let mut c = 0;
        while c < s.channels {
            let at = p * s.channels + c;
            let line = S::fma(S::load(s.x.add(at)), S::load(s.by_x.add(c)), S::load(s.offset.add(c)));
            let mut d = S::fma(S::load(s.d.add(at)), S::load(s.by_d.add(c)), line);
            if !s.add.is_null() {
                d = S::add(d, S::load(s.add.add(at)));
            }
            S::store(s.d.add(at), d);
            c += S::LANES;
        }
    }
}

/// Adds the gradient of a row of pooled pixels to the first largest of each 2x2 block: two rows of `2 width` pixels at `x` and `dx`,
/// one of `width` at `d`.
///
/// # Safety
/// `x` and `dx` must hold `4 * width * channels` values, `d` a quarter of them; `channels` must be a multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn max_pool_back_row<S: Simd>(
    x: *const f32,
    d: *const f32,
    width: usize,
    channels: usize,
    dx: *mut f32,
) {
    for p in 0..width {
        let corner = 2 * p * channels;
        let below = corner + 2 * width * channels;
        let places = [corner, corner + channels, below, below + channels];
        let mut c = 0;
        while c < channels {
            let values = places.map(|at| S::load(x.add(at + c)));
            let largest = S::max(S::max(values[0], values[1]), S::max(values[2], values[3]));
            let mut left = S::load(d.add(p * channels + c));
            for (at, value) in places.into_iter().zip(values) {
                let taken = S::equal(value, largest, left);
                left = S::sub(left, taken);
                S::store(dx.add(at + c), S::add(S::load(dx.add(at + c)), taken));
            }
            c += S::LANES;
        }
    }
}

/// Sums of 2x2 blocks: two rows of `2 width` pixels at `d` into one row of `width` pixels.
///
/// # Safety
/// As [`max_pool_back_row`].
#[inline(always)]
pub(super) unsafe fn upsample_back_row<S: Simd>(d: *const f32, width: usize, channels: usize, out: *mut f32) {
    let below = d.add(2 * width * channels);
    for p in 0..width {
        let (a, b, out) = (d.add(2 * p * channels), below.add(2 * p * channels), out.add(p * channels));
        let mut c = 0;
        while c < channels {
            let top = S::add(S::load(a.add(c)), S::load(a.add(channels + c)));
            let bottom = S::add(S::load(b.add(c)), S::load(b.add(channels + c)));
            S::store(out.add(c), S::add(top, bottom));
            c += S::LANES;
        }
    }
}
