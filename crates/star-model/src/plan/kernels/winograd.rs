//! 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3): 36 products where the direct way has 144.
//!
//! A block of 4x4-pixel tiles is transformed into 36 small matrices `[tiles, channels]`, which stay in the
//! second-level cache; panel by panel, each is multiplied with its own matrix of transformed weights, and the products
//! are transformed back. Matrices: Lavin and Gray 2016, points 0, 1, -1, 2, -2.

use super::gemm::{Run, Strip, strip, strip_bf16};
use super::simd::{Simd, zero};
use crate::activation::Activation;

/// Positions of a transformed tile.
pub(crate) const POSITIONS: usize = 36;

/// Output pixels along a tile's side.
pub(crate) const TILE: usize = 4;

/// Floats between two positions' matrices beyond their size, so that they do not all fall into one set of a cache.
pub(super) const PADDING: usize = 16;

/// Consecutive tiles times consecutive panels of one image.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// `[height, width, channels]`
    pub(crate) input: *const f32,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// At least `max(channels, 2 lanes)` zeros.
    pub(crate) zeros: *const f32,
    /// The first tile, counted along rows of tiles.
    pub(crate) first: usize,
    pub(crate) tiles: usize,
    /// Panels `[36, channels, 2 lanes]`, the last may be `[36, channels, lanes]`; the first of this block.
    pub(crate) weights: *const f32,
    /// One value an output channel, from this block's first on.
    pub(crate) bias: *const f32,
    /// Output channels of this block, a multiple of the lanes.
    pub(crate) out_channels: usize,
    /// `[height, width, out_stride]`, from this block's first channel on.
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    /// Null, or what is added before the ReLU, laid out as `out`.
    pub(crate) residual: *const f32,
    pub(crate) activation: Activation,
    /// Whether the products are in bf16, by panels of pairs `[36, channels / 2, lanes]`.
    pub(crate) bf16: bool,
    /// [`scratch`] floats.
    pub(crate) scratch: *mut f32,
}

/// Floats of scratch that a block of `tiles` tiles over `channels` channels needs.
pub(crate) fn scratch(tiles: usize, channels: usize, lanes: usize) -> usize {
    POSITIONS * (tiles * channels + PADDING + tiles * 2 * lanes + PADDING)
}

/// One line of the input transform.
#[inline(always)]
pub(super) unsafe fn forward<S: Simd>(d: [S::V; 6]) -> [S::V; 6] {
    let (two, four, minus_four, minus_five) = (S::splat(2.0), S::splat(4.0), S::splat(-4.0), S::splat(-5.0));
    let (a, b) = (S::fma(minus_four, d[2], d[4]), S::fma(minus_four, d[1], d[3]));
    let (c, e) = (S::sub(d[4], d[2]), S::mul(two, S::sub(d[3], d[1])));
    [
        S::fma(four, d[0], S::fma(minus_five, d[2], d[4])),
        S::add(a, b),
        S::sub(a, b),
        S::add(c, e),
        S::sub(c, e),
        S::fma(four, d[1], S::fma(minus_five, d[3], d[5])),
    ]
}

/// One line of the output transform.
#[inline(always)]
unsafe fn backward<S: Simd>(m: [S::V; 6]) -> [S::V; 4] {
    let (two, four, eight) = (S::splat(2.0), S::splat(4.0), S::splat(8.0));
    let (s1, d1, s2, d2) = (S::add(m[1], m[2]), S::sub(m[1], m[2]), S::add(m[3], m[4]), S::sub(m[3], m[4]));
    [
        S::add(S::add(m[0], s1), s2),
        S::fma(two, d2, d1),
        S::fma(four, s2, s1),
        S::add(S::fma(eight, d2, d1), m[5]),
    ]
}

/// Where the pixels of an `N` by `N` tile lie, whose first is at `corner`, in an image of pixels that are `stride` floats apart; those
/// beyond its border at `outside`.
#[inline(always)]
pub(super) unsafe fn pixels<const N: usize>(
    image: *const f32,
    stride: usize,
    (height, width): (usize, usize),
    corner: (usize, usize),
    outside: *const f32,
) -> [[*const f32; N]; N] {
    let mut at = [[outside; N]; N];
    for (i, line) in at.iter_mut().enumerate() {
        let y = corner.0.wrapping_add(i);
        if y < height {
            for (j, pixel) in line.iter_mut().enumerate() {
                let x = corner.1.wrapping_add(j);
                if x < width {
                    *pixel = image.add((y * width + x) * stride);
                }
            }
        }
    }
    at
}

/// Transforms tile (`ty`, `tx`) of the input into row `t` of the 36 matrices at `v`.
#[inline(always)]
unsafe fn transform_input<S: Simd, const BF16: bool>(
    b: &Block,
    (ty, tx): (usize, usize),
    t: usize,
    v: *mut f32,
    step: usize,
) {
    let corner = ((ty * TILE).wrapping_sub(1), (tx * TILE).wrapping_sub(1));
    let from = pixels::<6>(b.input, b.channels, (b.height, b.width), corner, b.zeros);
    let mut c = 0;
    while c < b.channels {
        let mut columns = [[zero::<S>(); 6]; 6];
        for j in 0..6 {
            let mut d = [zero::<S>(); 6];
            for i in 0..6 {
                d[i] = S::load(from[i][j].add(c));
            }
            columns[j] = forward::<S>(d);
        }
        for i in 0..6 {
            let mut d = [zero::<S>(); 6];
            for j in 0..6 {
                d[j] = columns[j][i];
            }
            let line = forward::<S>(d);
            for j in 0..6 {
                let at = v.add((i * 6 + j) * step);
                if BF16 {
                    S::store_bf16(at.add((t * b.channels + c) / 2), line[j]);
                } else {
                    S::store(at.add(t * b.channels + c), line[j]);
                }
            }
        }
        c += S::LANES;
    }
}

/// Transforms row `t` of the 36 products at `m`, `width` channels each, into tile (`ty`, `tx`) of the output.
#[inline(always)]
unsafe fn transform_output<S: Simd>(
    b: &Block,
    (ty, tx): (usize, usize),
    m: *const f32,
    step: usize,
    width: usize,
    channel: usize,
) {
    let (rows, columns) = ((b.height - ty * TILE).min(TILE), (b.width - tx * TILE).min(TILE));
    let at = (ty * TILE * b.width + tx * TILE) * b.out_stride + channel;
    let out = b.out.add(at);
    let mut c = 0;
    while c < width {
        let mut lines = [[zero::<S>(); 4]; 6];
        for j in 0..6 {
            let mut d = [zero::<S>(); 6];
            for i in 0..6 {
                d[i] = S::load(m.add((i * 6 + j) * step + c));
            }
            lines[j] = backward::<S>(d);
        }
        let bias = S::load(b.bias.add(channel + c));
        for i in 0..rows {
            let mut d = [zero::<S>(); 6];
            for j in 0..6 {
                d[j] = lines[j][i];
            }
            let line = backward::<S>(d);
            for j in 0..columns {
                let pixel = (i * b.width + j) * b.out_stride + c;
                let mut value = S::add(line[j], bias);
                if !b.residual.is_null() {
                    value = S::add(value, S::load(b.residual.add(at + pixel)));
                }
                if b.activation.is_relu() {
                    value = S::max(zero::<S>(), value);
                }
                S::store(out.add(pixel), value);
            }
        }
        c += S::LANES;
    }
}

/// Runs one block.
///
/// # Safety
/// The pointers of `b` must cover what its sizes say, and `out` and `scratch` must overlap nothing else.
#[inline(always)]
pub(super) unsafe fn block<S: Simd>(b: &Block) {
    if b.bf16 { transformed::<S, true>(b) } else { transformed::<S, false>(b) }
}

#[inline(always)]
unsafe fn transformed<S: Simd, const BF16: bool>(b: &Block) {
    let depth = if BF16 { b.channels / 2 } else { b.channels };
    let across = b.width.div_ceil(TILE);
    let at = |t: usize| ((b.first + t) / across, (b.first + t) % across);
    let (v, v_step) = (b.scratch, b.tiles * depth + PADDING);
    let m = b.scratch.add(POSITIONS * v_step);
    for t in 0..b.tiles {
        transform_input::<S, BF16>(b, at(t), t, v, v_step);
    }
    let (mut channel, mut weights) = (0, b.weights);
    while channel < b.out_channels {
        let width = (b.out_channels - channel).min(2 * S::LANES);
        let m_step = b.tiles * width + PADDING;
        for position in 0..POSITIONS {
            let run = Run { x: v.add(position * v_step), stride: depth, len: depth };
            let product = if BF16 { strip_bf16::<S> } else { strip::<S> };
            product(&Strip {
                runs: &[run],
                pixels: b.tiles,
                weights,
                bias: b.zeros,
                channels: width,
                out: m.add(position * m_step),
                out_stride: width,
                residual: std::ptr::null(),
                residual_stride: 0,
                activation: Activation::None,
                pairs: false,
            });
            weights = weights.add(depth * width);
        }
        for t in 0..b.tiles {
            transform_output::<S>(b, at(t), m.add(t * width), m_step, width, channel);
        }
        channel += width;
    }
}
