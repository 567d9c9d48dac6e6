//! What the heads do with their maps, channels-last: instance norm with ReLU, sigmoid, attention, and moments.

use super::simd::{Simd, sigmoid, zero};

/// Sums over the pixels of one block, a channel each: of `x - reference` and of its square.
///
/// # Safety
/// `x` must hold `pixels` rows of `stride` values, the others `channels` values, a multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn sums<S: Simd>(
    x: *const f32,
    stride: usize,
    pixels: usize,
    channels: usize,
    reference: *const f32,
    first: *mut f32,
    second: *mut f32,
) {
    let mut c = 0;
    while c < channels {
        let origin = S::load(reference.add(c));
        let (mut a, mut b) = (zero::<S>(), zero::<S>());
        for p in 0..pixels {
            let d = S::sub(S::load(x.add(p * stride + c)), origin);
            a = S::add(a, d);
            b = S::fma(d, d, b);
        }
        S::store(first.add(c), a);
        S::store(second.add(c), b);
        c += S::LANES;
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
