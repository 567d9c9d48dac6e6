//! The gradient of a 3x3 convolution's weights by Winograd's F(4x4, 3x3): 36 outer products where the direct way has 144.
//!
//! It is [`super::winograd`] turned round. Tiles of the input are transformed as there, those of the output's gradient by the transposed
//! output transform; their outer products are summed over all tiles, position by position, and the sums are transformed by the transposed
//! weight transform, once.

use super::gradients::{Outer, outer};
use super::simd::{Simd, zero};
use super::winograd::{PADDING, POSITIONS, TILE, forward, pixels};

/// Consecutive tiles of a batch, some of the inputs and some of the outputs.
#[derive(Clone, Copy)]
pub(crate) struct TileGradient {
    /// `[images, height, width, x_stride]`, from the first of these inputs on.
    pub(crate) x: *const f32,
    pub(crate) x_stride: usize,
    /// Null, or the norm with a ReLU, `max(0, x scale + shift)`, that the convolution reads `x` through.
    pub(crate) scale: *const f32,
    pub(crate) shift: *const f32,
    /// The gradient at the output, `[images, height, width, d_stride]`, from the first of these outputs on.
    pub(crate) d: *const f32,
    pub(crate) d_stride: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// The first tile, counted along rows of tiles, image by image.
    pub(crate) first: usize,
    pub(crate) tiles: usize,
    /// Multiples of the lanes.
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// [`sums`] floats: 36 matrices `[outputs, inputs]`, to which the products are added.
    pub(crate) sums: *mut f32,
    /// [`scratch`] floats.
    pub(crate) scratch: *mut f32,
}

/// Floats of scratch for `tiles` tiles.
pub(crate) fn scratch(tiles: usize, inputs: usize, outputs: usize) -> usize {
    POSITIONS * (tiles * (inputs + outputs) + 2 * PADDING)
}

/// Floats of sums.
pub(crate) fn sums(inputs: usize, outputs: usize) -> usize {
    POSITIONS * (inputs * outputs + PADDING)
}

/// One line of the transposed output transform.
#[inline(always)]
unsafe fn lift<S: Simd>(d: [S::V; 4]) -> [S::V; 6] {
    let four = S::splat(4.0);
    let (even, odd) = (S::add(d[0], d[2]), S::add(d[1], d[3]));
    let (far, half) = (S::fma(four, d[2], d[0]), S::fma(four, d[3], d[1]));
    let odd_far = S::add(half, half);
    [d[0], S::add(even, odd), S::sub(even, odd), S::add(far, odd_far), S::sub(far, odd_far), d[3]]
}

/// One line of the transposed weight transform.
#[inline(always)]
unsafe fn narrow<S: Simd>(u: [S::V; 6]) -> [S::V; 3] {
    let (quarter, sixth) = (S::splat(1.0 / 4.0), S::splat(1.0 / 6.0));
    let (twelfth, minus_sixth) = (S::splat(1.0 / 12.0), S::splat(-1.0 / 6.0));
    let near = S::mul(minus_sixth, S::add(u[1], u[2]));
    let far = S::add(u[3], u[4]);
    [
        S::fma(quarter, u[0], S::fma(S::splat(1.0 / 24.0), far, near)),
        S::fma(twelfth, S::sub(u[3], u[4]), S::mul(sixth, S::sub(u[2], u[1]))),
        S::fma(sixth, far, S::add(near, u[5])),
    ]
}

/// Transforms a tile of the input into row `t` of the 36 matrices at `v`.
#[inline(always)]
unsafe fn transform_input<S: Simd, const NORMED: bool>(
    g: &TileGradient,
    from: &[[*const f32; 6]; 6],
    t: usize,
    v: *mut f32,
    step: usize,
) {
    let mut c = 0;
    while c < g.inputs {
        let mut columns = [[zero::<S>(); 6]; 6];
        for j in 0..6 {
            let mut d = [zero::<S>(); 6];
            for i in 0..6 {
                // Beyond the border lie zeros, which no norm is applied to.
                if !from[i][j].is_null() {
                    d[i] = S::load(from[i][j].add(c));
                    if NORMED {
                        let normed = S::fma(d[i], S::load(g.scale.add(c)), S::load(g.shift.add(c)));
                        d[i] = S::max(zero::<S>(), normed);
                    }
                }
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
                S::store(v.add((i * 6 + j) * step + t * g.inputs + c), line[j]);
            }
        }
        c += S::LANES;
    }
}

/// Transforms a tile of the output's gradient into row `t` of the 36 matrices at `v`.
#[inline(always)]
unsafe fn transform_gradient<S: Simd>(
    g: &TileGradient,
    from: &[[*const f32; 4]; 4],
    t: usize,
    v: *mut f32,
    step: usize,
) {
    let mut c = 0;
    while c < g.outputs {
        let mut columns = [[zero::<S>(); 6]; 4];
        for j in 0..4 {
            let mut d = [zero::<S>(); 4];
            for i in 0..4 {
                if !from[i][j].is_null() {
                    d[i] = S::load(from[i][j].add(c));
                }
            }
            columns[j] = lift::<S>(d);
        }
        for i in 0..6 {
            let line = lift::<S>([columns[0][i], columns[1][i], columns[2][i], columns[3][i]]);
            for j in 0..6 {
                S::store(v.add((i * 6 + j) * step + t * g.outputs + c), line[j]);
            }
        }
        c += S::LANES;
    }
}

/// Adds the products of some tiles.
///
/// # Safety
/// The pointers of `g` must cover what its sizes say; `sums` and `scratch` must overlap nothing else.
#[inline(always)]
pub(super) unsafe fn gradient<S: Simd>(g: &TileGradient) {
    let (down, across) = (g.height.div_ceil(TILE), g.width.div_ceil(TILE));
    let (x_step, d_step) = (g.tiles * g.inputs + PADDING, g.tiles * g.outputs + PADDING);
    let (x, d) = (g.scratch, g.scratch.add(POSITIONS * x_step));
    for t in 0..g.tiles {
        let (n, tile) = ((g.first + t) / (down * across), (g.first + t) % (down * across));
        let (y, column) = (tile / across * TILE, tile % across * TILE);
        let image = n * g.height * g.width;
        let size = (g.height, g.width);
        let outside = std::ptr::null();
        let corner = (y.wrapping_sub(1), column.wrapping_sub(1));
        let from = pixels::<6>(g.x.add(image * g.x_stride), g.x_stride, size, corner, outside);
        if g.scale.is_null() {
            transform_input::<S, false>(g, &from, t, x, x_step);
        } else {
            transform_input::<S, true>(g, &from, t, x, x_step);
        }
        let from = pixels::<4>(g.d.add(image * g.d_stride), g.d_stride, size, (y, column), outside);
        transform_gradient::<S>(g, &from, t, d, d_step);
    }
    for position in 0..POSITIONS {
        outer::<S>(&Outer {
            d: d.add(position * d_step),
            d_stride: g.outputs,
            d_row: 0,
            x: x.add(position * x_step),
            x_stride: g.inputs,
            x_row: 0,
            rows: 1,
            width: g.tiles,
            outputs: g.outputs,
            inputs: g.inputs,
            out: g.sums.add(position * (g.outputs * g.inputs + PADDING)),
            out_stride: g.inputs,
            fresh: false,
            scratch: std::ptr::null_mut(),
        });
    }
}

/// The weights' gradient that sums of [`gradient`] stand for.
#[derive(Clone, Copy)]
pub(crate) struct TileWeights {
    /// Of a [`TileGradient`].
    pub(crate) sums: *const f32,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    /// So many of the outputs are wanted.
    pub(crate) rows: usize,
    /// `[9, rows, inputs]`, each `tap_stride` and `out_stride` floats apart.
    pub(crate) out: *mut f32,
    pub(crate) tap_stride: usize,
    pub(crate) out_stride: usize,
}

/// Writes it.
///
/// # Safety
/// The pointers of `w` must cover what its sizes say.
#[inline(always)]
pub(super) unsafe fn weights<S: Simd>(w: &TileWeights) {
    let matrix = w.outputs * w.inputs + PADDING;
    for row in 0..w.rows {
        let mut c = 0;
        while c < w.inputs {
            let from = w.sums.add(row * w.inputs + c);
            let mut columns = [[zero::<S>(); 3]; 6];
            for j in 0..6 {
                let mut u = [zero::<S>(); 6];
                for i in 0..6 {
                    u[i] = S::load(from.add((i * 6 + j) * matrix));
                }
                columns[j] = narrow::<S>(u);
            }
            for i in 0..3 {
                let mut u = [zero::<S>(); 6];
                for j in 0..6 {
                    u[j] = columns[j][i];
                }
                let line = narrow::<S>(u);
                for j in 0..3 {
                    S::store(w.out.add((i * 3 + j) * w.tap_stride + row * w.out_stride + c), line[j]);
                }
            }
            c += S::LANES;
        }
    }
}
