//! Gradients of weights by tiles.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::gradients::Outer;
use super::end::Sums;
use super::{BF16, CELLS, ROWS, Tiles, load, store, zero};

/// Steps of 16 pairs of pixels whose gradients are turned over at once.
const STEPS: usize = 12;

/// [`super::super::gradients::outer_bf16`]: the gradients of 16 outputs, turned over, are the rows of one tile, the inputs of 16 pairs of
/// pixels those of the other.
///
/// # Safety
/// As [`super::strip_bf16`].
#[target_feature(enable = "avx512f,avx512bf16,avx512vnni")]
pub(in super::super) unsafe fn outer(s: &Outer) {
    let each = s.width.div_ceil(CELLS);
    let mut turned = MaybeUninit::<[[Tile; 2]; STEPS]>::uninit();
    let turned = turned.as_mut_ptr().cast::<Tile>();
    let mut tiles = Tiles([0; 2]);
    for output in (0..s.outputs).step_by(2 * ROWS) {
        let first = (s.outputs - output).min(ROWS);
        let second = (s.outputs - output - first).min(ROWS);
        tiles.shape([first, second]);
        for start in (0..s.rows * each).step_by(STEPS) {
            let steps = STEPS.min(s.rows * each - start);
            for step in 0..steps {
                let (row, pixel) = ((start + step) / each, (start + step) % each * CELLS);
                let d = s.d.add(row * s.d_row + pixel * s.d_stride + output);
                let pixels = (s.width - pixel).min(CELLS);
                turn(d, s.d_stride, pixels, first, turned.add(2 * step));
                if second > 0 {
                    turn(d.add(ROWS), s.d_stride, pixels, second, turned.add(2 * step + 1));
                }
            }
            for input in (0..s.inputs).step_by(2 * CELLS) {
                by_shape!(second, s.inputs - input, product [] (s, [output, input], start..start + steps, turned));
            }
        }
    }
}

/// What a tile holds, in memory.
#[repr(align(64))]
struct Tile(#[expect(dead_code, reason = "read by pointer")] [[f32; CELLS]; ROWS]);

/// Up to two tiles of outputs times up to two of inputs, over some steps of pixels.
#[inline(always)]
unsafe fn product<const TALL: bool, const WIDE: bool>(
    s: &Outer,
    [output, input]: [usize; 2],
    steps: Range<usize>,
    turned: *const Tile,
) {
    let (each, width) = (s.width.div_ceil(CELLS), if WIDE { 2 * CELLS } else { CELLS });
    let out = s.out.add(output * s.out_stride + input);
    let places = [out, out.wrapping_add(ROWS * s.out_stride)];
    if s.fresh && steps.start == 0 {
        zero();
    } else {
        load::<TALL, WIDE>(places, s.out_stride);
    }
    for (i, at) in steps.enumerate() {
        let (row, pixel) = (at / each, at % each * CELLS);
        let pixels = (s.width - pixel).min(CELLS);
        let (mut x, mut stride) = (s.x.add(row * s.x_row + pixel * s.x_stride + input), s.x_stride);
        let mut rest = MaybeUninit::<Sums>::uninit();
        if pixels < CELLS {
            // What lies beyond the row is other rows', or nobody's.
            let to = rest.as_mut_ptr().cast::<f32>();
            for p in 0..CELLS {
                for c in (0..width).step_by(CELLS) {
                    let inside = if p < pixels { u16::MAX } else { 0 };
                    let values = _mm512_maskz_loadu_ps(inside, x.wrapping_add(p * stride + c));
                    _mm512_store_ps(to.add(p * 2 * CELLS + c), values);
                }
            }
            (x, stride) = (to, 2 * CELLS);
        }
        let d = turned.add(2 * i).cast::<f32>();
        tile!(load 6, x, 4 * stride);
        tile!(load 4, d, 4 * CELLS);
        tile!(dot BF16 0, 4, 6);
        if WIDE {
            tile!(load 7, x.add(CELLS), 4 * stride);
            tile!(dot BF16 1, 4, 7);
        }
        if TALL {
            tile!(load 5, d.add(ROWS * CELLS), 4 * CELLS);
            tile!(dot BF16 2, 5, 6);
        }
        if TALL && WIDE {
            tile!(dot BF16 3, 5, 7);
        }
    }
    store::<TALL, WIDE>(places, s.out_stride);
}

/// Cells of up to 16 pixels, `stride` apart, times up to 16 channels as rows of channels; pixels beyond are 0, channels beyond anything.
#[inline(always)]
unsafe fn turn(x: *const f32, stride: usize, pixels: usize, channels: usize, to: *mut Tile) {
    let mask = (((1u32 << channels) - 1) & 0xffff) as u16;
    let mut rows = [_mm512_setzero_ps(); 16];
    for p in 0..16 {
        if p < pixels {
            rows[p] = _mm512_maskz_loadu_ps(mask, x.add(p * stride));
        }
    }
    let mut twos = [_mm512_setzero_ps(); 16];
    for i in 0..8 {
        twos[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        twos[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    let (low, high) = (
        |a, b| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))),
        |a, b| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))),
    );
    // Each quarter of register 4 i + k holds four rows of channel k, k + 4, k + 8 or k + 12.
    let mut fours = [_mm512_setzero_ps(); 16];
    for i in 0..4 {
        fours[4 * i] = low(twos[4 * i], twos[4 * i + 2]);
        fours[4 * i + 1] = high(twos[4 * i], twos[4 * i + 2]);
        fours[4 * i + 2] = low(twos[4 * i + 1], twos[4 * i + 3]);
        fours[4 * i + 3] = high(twos[4 * i + 1], twos[4 * i + 3]);
    }
    let to = to.cast::<f32>();
    for k in 0..4 {
        let even = _mm512_shuffle_f32x4::<0x88>(fours[k], fours[4 + k]);
        let odd = _mm512_shuffle_f32x4::<0xdd>(fours[k], fours[4 + k]);
        let even_below = _mm512_shuffle_f32x4::<0x88>(fours[8 + k], fours[12 + k]);
        let odd_below = _mm512_shuffle_f32x4::<0xdd>(fours[8 + k], fours[12 + k]);
        _mm512_store_ps(to.add(k * CELLS), _mm512_shuffle_f32x4::<0x88>(even, even_below));
        _mm512_store_ps(to.add((4 + k) * CELLS), _mm512_shuffle_f32x4::<0x88>(odd, odd_below));
        _mm512_store_ps(to.add((8 + k) * CELLS), _mm512_shuffle_f32x4::<0xdd>(even, even_below));
        _mm512_store_ps(to.add((12 + k) * CELLS), _mm512_shuffle_f32x4::<0xdd>(odd, odd_below));
    }
}
