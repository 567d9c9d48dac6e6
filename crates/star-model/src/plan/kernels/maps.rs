//! What the heads do with their maps, channels-last: instance norm with ReLU, sigmoid, attention, and moments.

use super::pixels::get;
use super::simd::{Simd, sigmoid, zero};

/// Some pixels whose channels are summed.
#[derive(Clone, Copy)]
pub(crate) struct Summed {
    /// `pixels` pixels, `stride` floats apart, of floats or of `pairs` in bf16.
    pub(crate) x: *const f32,
    pub(crate) stride: usize,
    pub(crate) pairs: bool,
    pub(crate) pixels: usize,
    /// A multiple of the lanes.
    pub(crate) channels: usize,
    /// What is subtracted, a pixel as those at `x`.
    pub(crate) reference: *const f32,
    /// Sums of `x - reference` and of its square, a channel each.
    pub(crate) first: *mut f32,
    pub(crate) second: *mut f32,
}

/// Sums over the pixels of one block.
///
/// # Safety
/// The pointers must cover what the sizes say; `first` and `second` must overlap nothing else.
#[inline(always)]
pub(super) unsafe fn sums<S: Simd>(s: &Summed) {
    let two = s.channels / (2 * S::LANES) * 2 * S::LANES;
    for c in (0..two).step_by(2 * S::LANES) {
        column::<S, 2>(s, c);
    }
    for c in (two..s.channels).step_by(S::LANES) {
        column::<S, 1>(s, c);
    }
}

/// `R` registers of channels from `c` on of all pixels.
#[inline(always)]
unsafe fn column<S: Simd, const R: usize>(s: &Summed, c: usize) {
    let [mut first, mut second, mut origin] = [[zero::<S>(); R]; 3];
    for r in 0..R {
        origin[r] = get::<S>(s.reference, c + r * S::LANES, s.pairs);
    }
    for p in 0..s.pixels {
        for r in 0..R {
            let d = S::sub(get::<S>(s.x.add(p * s.stride), c + r * S::LANES, s.pairs), origin[r]);
            first[r] = S::add(first[r], d);
            second[r] = S::fma(d, d, second[r]);
        }
    }
    for r in 0..R {
        S::store(s.first.add(c + r * S::LANES), first[r]);
        S::store(s.second.add(c + r * S::LANES), second[r]);
    }
}

/// In place: `max(floor, (x - centre) scale)` on the first `normed` channels, the sigmoid on the others.
///
/// # Safety
/// `x` must hold `pixels * channels` values, `centre` and `scale` `normed` values; both a multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn activate<S: Simd>(
    x: *mut f32,
    pixels: usize,
    channels: usize,
    normed: usize,
    centre: *const f32,
    scale: *const f32,
    floor: f32,
) {
    for p in 0..pixels {
        let x = x.add(p * channels);
        let mut c = 0;
        while c < normed {
            let y = S::mul(S::sub(S::load(x.add(c)), S::load(centre.add(c))), S::load(scale.add(c)));
            S::store(x.add(c), S::max(S::splat(floor), y));
            c += S::LANES;
        }
        while c < channels {
            S::store(x.add(c), sigmoid::<S>(S::load(x.add(c))));
            c += S::LANES;
        }
    }
}

/// In place: `gate[p, c] *= max(0, heat[p, c]) point[p, c]`.
///
/// # Safety
/// `heat` and `point` must hold `pixels` rows of `stride` values (`channels` in the last), `gate` rows of `channels`,
/// a multiple of the lanes; `gate` must not overlap the others.
#[inline(always)]
pub(super) unsafe fn gate<S: Simd>(
    heat: *const f32,
    point: *const f32,
    stride: usize,
    pixels: usize,
    channels: usize,
    gate: *mut f32,
) {
    for p in 0..pixels {
        let mut c = 0;
        while c < channels {
            let heat = S::max(zero::<S>(), S::load(heat.add(p * stride + c)));
            let product = S::mul(heat, S::load(point.add(p * stride + c)));
            let at = gate.add(p * channels + c);
            S::store(at, S::mul(S::load(at), product));
            c += S::LANES;
        }
    }
}

/// The gradient `fused` of the product `max(0, z) p g` at some pixels, and those of `z`'s ReLU and of `p`.
#[derive(Clone, Copy)]
pub(crate) struct GateBackward {
    /// Heatmaps `z` and point maps `p`, `stride` floats from pixel to pixel, and the gradients by them, which are added to.
    pub(crate) z: *const f32,
    pub(crate) p: *const f32,
    pub(crate) dz: *mut f32,
    pub(crate) dp: *mut f32,
    pub(crate) stride: usize,
    /// `[pixels, channels]` both; `fused` becomes the gradient by `g`.
    pub(crate) g: *const f32,
    pub(crate) fused: *mut f32,
    pub(crate) pixels: usize,
    /// A multiple of the lanes.
    pub(crate) channels: usize,
}

/// The gradients of [`gate`].
///
/// # Safety
/// The pointers must cover what the sizes say; `fused` must overlap nothing else. Behind the point maps other gradients may lie: there
/// `fused` is 0, so that nothing is added to them.
#[inline(always)]
pub(super) unsafe fn gate_backward<S: Simd>(s: &GateBackward) {
    for pixel in 0..s.pixels {
        for c in (0..s.channels).step_by(S::LANES) {
            let (at, own) = (pixel * s.stride + c, pixel * s.channels + c);
            let (p, g, fused) = (S::load(s.p.add(at)), S::load(s.g.add(own)), S::load(s.fused.add(own)));
            let h = S::max(zero::<S>(), S::load(s.z.add(at)));
            let (dz, dp) = (s.dz.add(at), s.dp.add(at));
            S::store(dz, S::add(S::load(dz), S::mul(S::mul(fused, p), g)));
            S::store(dp, S::add(S::load(dp), S::mul(S::mul(fused, h), g)));
            S::store(s.fused.add(own), S::mul(fused, S::mul(h, p)));
        }
    }
}

/// In place: the gradients `d` of `count` sigmoids `s` become those of what they are sigmoids of.
///
/// # Safety
/// Both must hold `count` values, a multiple of the lanes, and must not overlap.
#[inline(always)]
pub(super) unsafe fn sigmoid_backward<S: Simd>(s: *const f32, count: usize, d: *mut f32) {
    for c in (0..count).step_by(S::LANES) {
        let value = S::load(s.add(c));
        let slope = S::mul(value, S::sub(S::splat(1.0), value));
        S::store(d.add(c), S::mul(S::load(d.add(c)), slope));
    }
}

/// Heatmaps `z` at some pixels, brought to zero mean and unit variance, and the gradient `d` by `max(0, z)`.
#[derive(Clone, Copy)]
pub(crate) struct HeatBackward {
    /// `pixels` pixels of both, `stride` floats apart.
    pub(crate) z: *const f32,
    pub(crate) d: *mut f32,
    pub(crate) stride: usize,
    pub(crate) pixels: usize,
    /// A multiple of the lanes.
    pub(crate) channels: usize,
    /// Sums of `d` and of `d z`, a channel each: what the first half writes; their means are what the second half takes away.
    pub(crate) first: *mut f32,
    pub(crate) second: *mut f32,
    /// What `z` was multiplied by; null in the first half.
    pub(crate) scale: *const f32,
}

/// The first half: cuts `d` in place where the ReLU did, and sums what is left. The second: `d = scale (d - first - z second)`.
///
/// # Safety
/// The pointers must cover what the sizes say; what is written must overlap nothing else.
#[inline(always)]
pub(super) unsafe fn heat_backward<S: Simd>(s: &HeatBackward) {
    for c in (0..s.channels).step_by(S::LANES) {
        let (at_first, at_second) = (s.first.add(c), s.second.add(c));
        if s.scale.is_null() {
            let [mut first, mut second] = [zero::<S>(); 2];
            for p in 0..s.pixels {
                let (z, d) = (S::load(s.z.add(p * s.stride + c)), s.d.add(p * s.stride + c));
                let left = S::positive(z, S::load(d));
                S::store(d, left);
                first = S::add(first, left);
                second = S::add(second, S::mul(left, z));
            }
            S::store(at_first, first);
            S::store(at_second, second);
        } else {
            let (first, second, scale) = (S::load(at_first), S::load(at_second), S::load(s.scale.add(c)));
            for p in 0..s.pixels {
                let (z, d) = (S::load(s.z.add(p * s.stride + c)), s.d.add(p * s.stride + c));
                let rest = S::sub(S::sub(S::load(d), first), S::mul(z, second));
                S::store(d, S::mul(scale, rest));
            }
        }
    }
}

/// Sums over a row of `width` pixels, a channel each: of `f`, `x f`, `x^2 f` and `f^2`, `x` being `first + p step`.
///
/// # Safety
/// `f` must hold `width` rows of `stride` values (`channels` in the last), `out` 4 rows of `channels`, a multiple of
/// the lanes.
#[inline(always)]
pub(super) unsafe fn row_moments<S: Simd>(
    f: *const f32,
    stride: usize,
    width: usize,
    channels: usize,
    first: f32,
    step: f32,
    out: *mut f32,
) {
    let mut c = 0;
    while c < channels {
        let mut sums = [zero::<S>(); 4];
        for p in 0..width {
            let (value, x) = (S::load(f.add(p * stride + c)), S::splat(first + p as f32 * step));
            let xf = S::mul(x, value);
            sums[0] = S::add(sums[0], value);
            sums[1] = S::add(sums[1], xf);
            sums[2] = S::fma(x, xf, sums[2]);
            sums[3] = S::fma(value, value, sums[3]);
        }
        for (i, sum) in sums.into_iter().enumerate() {
            S::store(out.add(i * channels + c), sum);
        }
        c += S::LANES;
    }
}
