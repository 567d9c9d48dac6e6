//! The register-blocked product at the heart of every convolution: a strip of pixels times panels of weights.
//!
//! Activations are channels-last, so the values that one output pixel is made of are runs of consecutive floats. A
//! tile keeps `P` pixels times two registers of output channels in registers; each step of the inner loop loads two
//! registers of weights, which are packed in just that order, and broadcasts one value of each pixel.

use super::simd::{Simd, zero};
use crate::activation::Activation;

/// One run of the inner loop: `len` values from `x` on for the first pixel, `stride` values further for each next.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) x: *const f32,
    pub(crate) stride: usize,
    pub(crate) len: usize,
}

/// A strip of pixels times consecutive panels: `out[p, n] = activate(bias[n] + sum_k x[p, k] w[k, n] + residual[p, n])`.
#[derive(Clone, Copy)]
pub(crate) struct Strip<'a> {
    /// The runs whose lengths add up to the depth of the panels.
    pub(crate) runs: &'a [Run],
    pub(crate) pixels: usize,
    /// Panels of two registers of output channels, each `[depth, 2 lanes]`; the last may be `[depth, lanes]`.
    pub(crate) weights: *const f32,
    /// One value an output channel.
    pub(crate) bias: *const f32,
    /// Output channels, a multiple of the lanes.
    pub(crate) channels: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    /// Null, or what is added before the ReLU.
    pub(crate) residual: *const f32,
    pub(crate) residual_stride: usize,
    pub(crate) activation: Activation,
    /// Whether `out` and `residual` are of pairs in bf16, half as many as there are channels.
    pub(crate) pairs: bool,
}

/// Rows of pixels whose windows are read where they lie: a row of a window is one run of pairs in bf16.
#[derive(Clone, Copy)]
pub(crate) struct Direct {
    /// The first window's first row; `line` floats from row to row.
    pub(crate) x: *const f32,
    pub(crate) line: usize,
    /// Floats from window to window, along a row and from one row of windows to the next.
    pub(crate) step: usize,
    pub(crate) row: usize,
    /// Rows of a window, and floats of one.
    pub(crate) kernel: usize,
    pub(crate) len: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// As those of [`Strip`], over all pixels of all rows.
    pub(crate) weights: *const f32,
    pub(crate) bias: *const f32,
    pub(crate) channels: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    pub(crate) residual: *const f32,
    pub(crate) activation: Activation,
    pub(crate) pairs: bool,
}

/// Most rows of a window.
pub(crate) const MOST_ROWS: usize = 11;

/// Numbers of a product: `f32`, pairs in bf16, or fours of bytes.
const F32: u8 = 0;
const BF16: u8 = 1;
const INT8: u8 = 2;

/// One tile: `P` pixels times `R` registers of channels.
#[inline(always)]
unsafe fn tile<S: Simd, const N: u8, const R: usize, const P: usize>(
    s: &Strip,
    pixel: usize,
    weights: *const f32,
    channel: usize,
    scale: *const f32,
) {
    let mut sums = [[zero::<S>(); R]; P];
    if N != INT8 {
        for r in 0..R {
            let bias = S::load(s.bias.add(channel + r * S::LANES));
            for sum in &mut sums {
                sum[r] = bias;
            }
        }
    }
    let pairs = N != F32 && s.pairs;
    let residual = |p: usize, r: usize| {
        let at = channel + r * S::LANES;
        s.residual.wrapping_add((pixel + p) * s.residual_stride + if pairs { at / 2 } else { at })
    };
    // What is added may lie far away: it comes while the product is computed.
    if !s.residual.is_null() {
        for p in 0..P {
            S::prefetch(residual(p, 0));
            S::prefetch(residual(p, R - 1));
        }
    }
    let mut w = weights;
    for run in s.runs {
        let x = run.x.add(pixel * run.stride);
        for k in 0..run.len {
            let mut row = [zero::<S>(); R];
            for r in 0..R {
                row[r] = S::load(w.add(r * S::LANES));
            }
            w = w.add(R * S::LANES);
            for p in 0..P {
                let value = S::splat(*x.add(p * run.stride + k));
                for r in 0..R {
                    let product = match N {
                        BF16 => S::dot,
                        INT8 => S::dot_u8,
                        _ => S::fma,
                    };
                    sums[p][r] = product(value, row[r], sums[p][r]);
                }
            }
        }
    }
    if N == INT8 {
        for r in 0..R {
            let at = channel + r * S::LANES;
            let (scale, bias) = (S::load(scale.add(at)), S::load(s.bias.add(at)));
            for sum in &mut sums {
                sum[r] = S::fma(S::whole(sum[r]), scale, bias);
            }
        }
    }
    if pairs {
        // Of a copy: with these longer loops, which are not unrolled, the sums themselves would not stay in registers.
        let sums = sums;
        return end_in_pairs::<S, R, P>(s, pixel, channel, &sums);
    }
    if !s.residual.is_null() {
        for p in 0..P {
            for r in 0..R {
                sums[p][r] = S::add(sums[p][r], S::load(residual(p, r)));
            }
        }
    }
    if s.activation.is_relu() {
        for sum in &mut sums {
            for value in sum {
                *value = S::max(zero::<S>(), *value);
            }
        }
    }
    for p in 0..P {
        for r in 0..R {
            let (out, at) = (s.out.add((pixel + p) * s.out_stride), channel + r * S::LANES);
            S::store(out.add(at), sums[p][r]);
        }
    }
}

/// What comes after a tile's product where output and residual are of pairs.
#[inline(always)]
unsafe fn end_in_pairs<S: Simd, const R: usize, const P: usize>(
    s: &Strip,
    pixel: usize,
    channel: usize,
    sums: &[[S::V; R]; P],
) {
    for p in 0..P {
        for r in 0..R {
            let at = (channel + r * S::LANES) / 2;
            let mut value = sums[p][r];
            if !s.residual.is_null() {
                value = S::add(value, S::load_bf16(s.residual.add((pixel + p) * s.residual_stride + at)));
            }
            if s.activation.is_relu() {
                value = S::max(zero::<S>(), value);
            }
            S::store_bf16(s.out.add((pixel + p) * s.out_stride + at), value);
        }
    }
}

/// All panels over all pixels, panel by panel so that one stays in the first-level cache; at most [`Simd::PIXELS`] a
/// tile, the pixels shared out evenly over the tiles.
///
/// # Safety
/// The pointers of `s` must cover what its sizes say, and `out` must overlap nothing but `residual`, pixel by pixel.
#[inline(always)]
pub(super) unsafe fn strip<S: Simd>(s: &Strip) {
    panels::<S, F32>(s, std::ptr::null());
}

/// [`strip`] on pairs of numbers in bf16, which have the places of floats: what [`super::pixels::pairs`] writes, and weights packed
/// alike. Products and sums are in `f32`.
///
/// # Safety
/// As [`strip`], lengths counting pairs.
#[inline(always)]
pub(super) unsafe fn strip_bf16<S: Simd>(s: &Strip) {
    panels::<S, BF16>(s, std::ptr::null());
}

/// The products of all windows.
///
/// # Safety
/// As [`strip_bf16`], `out_stride` also of the residual; there may be at most [`MOST_ROWS`] rows of a window.
#[inline(always)]
pub(super) unsafe fn direct<S: Simd>(d: &Direct) {
    for y in 0..d.rows {
        let mut runs = [Run { x: d.x, stride: d.step, len: d.len }; MOST_ROWS];
        for k in 0..d.kernel {
            runs[k].x = d.x.add(y * d.row + k * d.line);
        }
        let at = y * d.width * d.out_stride;
        panels::<S, BF16>(
            &Strip {
                runs: &runs[..d.kernel],
                pixels: d.width,
                weights: d.weights,
                bias: d.bias,
                channels: d.channels,
                out: d.out.add(at),
                out_stride: d.out_stride,
                residual: if d.residual.is_null() { d.residual } else { d.residual.add(at) },
                residual_stride: d.out_stride,
                activation: d.activation,
                pairs: d.pairs,
            },
            std::ptr::null(),
        );
    }
}

/// [`strip`] on fours of bytes, which have the places of floats: what [`super::pixels::bytes`] writes, and weights with a sign packed
/// alike. Sums are whole numbers; `scale`, one value an output channel, makes floats of them, before the bias.
///
/// # Safety
/// As [`strip`], lengths counting fours; `scale` must hold as much as the bias.
#[inline(always)]
pub(super) unsafe fn strip_int8<S: Simd>(s: &Strip, scale: *const f32) {
    panels::<S, INT8>(s, scale);
}

#[inline(always)]
unsafe fn panels<S: Simd, const N: u8>(s: &Strip, scale: *const f32) {
    let depth: usize = s.runs.iter().map(|run| run.len).sum();
    let tiles = s.pixels.div_ceil(S::PIXELS);
    let (mut channel, mut weights) = (0, s.weights);
    while channel < s.channels {
        let registers = ((s.channels - channel) / S::LANES).min(2);
        let mut pixel = 0;
        for t in 0..tiles {
            let next = s.pixels * (t + 1) / tiles;
            if registers == 2 {
                sized::<S, N, 2>(s, pixel, next - pixel, weights, channel, scale);
            } else {
                sized::<S, N, 1>(s, pixel, next - pixel, weights, channel, scale);
            }
            pixel = next;
        }
        channel += registers * S::LANES;
        weights = weights.add(depth * registers * S::LANES);
    }
}

/// Chooses the tile of `pixels` pixels, at most [`Simd::PIXELS`].
#[inline(always)]
unsafe fn sized<S: Simd, const N: u8, const R: usize>(
    s: &Strip,
    pixel: usize,
    pixels: usize,
    weights: *const f32,
    channel: usize,
    scale: *const f32,
) {
    // Larger tiles than an instruction set has registers for are not compiled for it.
    macro_rules! choose {
        ($($p:literal)*) => {
            match pixels {
                $($p if $p <= S::PIXELS => tile::<S, N, R, $p>(s, pixel, weights, channel, scale),)*
                _ => {}
            }
        };
    }
    choose!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// `steps` times the multiply-adds of one step of the largest tile, on registers alone.
///
/// # Safety
/// `values` must hold a register of values, which the sums overwrite.
#[inline(always)]
pub(super) unsafe fn registers<S: Simd>(steps: usize, values: *mut f32) {
    macro_rules! choose {
        ($($p:literal)*) => {
            match S::PIXELS {
                $($p => alone::<S, $p>(steps, values),)*
                _ => {}
            }
        };
    }
    choose!(6 12 14);
}

#[inline(always)]
unsafe fn alone<S: Simd, const P: usize>(steps: usize, values: *mut f32) {
    let (a, b) = (S::load(values), S::splat(*values));
    // Each product is of the sum before, so that none can be worked out once for all steps.
    let mut sums = [[a; 2]; P];
    for _ in 0..steps {
        for sum in &mut sums {
            for r in 0..2 {
                sum[r] = S::fma(sum[r], b, a);
            }
        }
    }
    let mut all = zero::<S>();
    for sum in sums {
        all = S::add(all, S::add(sum[0], sum[1]));
    }
    S::store(values, all);
}
