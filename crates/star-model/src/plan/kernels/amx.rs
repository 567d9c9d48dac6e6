//! AMX: products in bf16 and of bytes by registers of tiles, 16 rows of 64 bytes each.
//!
//! The compiler's functions for these instructions are not stable, so they are assembly. Nothing else uses the tiles: they are set up at
//! the start of a strip and given back, all zero, at its end.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::avx512::Avx512;
use super::gemm::{Direct, Run, Strip};
use super::gradients::Outer;
use super::simd::Simd;
use crate::activation::Activation;

/// Rows of a tile.
const ROWS: usize = 16;

/// What is done without tiles.
type Wide = Avx512<true>;

/// Places of floats in a row of a tile: pairs in bf16, or fours of bytes.
const CELLS: usize = 16;

/// AVX-512 with tiles for products in bf16 and of bytes.
pub(super) struct Amx;

/// Shapes of the tiles, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Sums in tiles 0 to 3, two rows of two; pixels in 4 and 5, so many each; weights in 6 and 7.
    fn of(pixels: [usize; 2]) -> Self {
        let [first, second] = pixels.map(|rows| rows.max(1) as u8);
        let mut shapes =
            Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        shapes.row_bytes[..8].fill(64);
        shapes.rows[..8].copy_from_slice(&[first, first, second, second, first, second, 16, 16]);
        shapes
    }

    unsafe fn load(&self) {
        asm!("ldtilecfg [{}]", in(reg) self, options(nostack, preserves_flags));
    }
}

/// An instruction on a tile and memory: `bytes` from row to row.
macro_rules! tile {
    (load $tile:literal, $from:expr, $bytes:expr) => {
        asm!(concat!("tileloadd tmm", $tile, ", [{p} + {s}]"), p = in(reg) $from, s = in(reg) $bytes,
            options(nostack, preserves_flags, readonly))
    };
    (store $tile:literal, $to:expr, $bytes:expr) => {
        asm!(concat!("tilestored [{p} + {s}], tmm", $tile), p = in(reg) $to, s = in(reg) $bytes,
            options(nostack, preserves_flags))
    };
    (zero $tile:literal) => {
        asm!(concat!("tilezero tmm", $tile), options(nostack, preserves_flags, nomem))
    };
    (dot $int8:ident $sums:literal, $pixels:literal, $weights:literal) => {
        if $int8 {
            asm!(concat!("tdpbusd tmm", $sums, ", tmm", $pixels, ", tmm", $weights),
                options(nostack, preserves_flags, nomem))
        } else {
            asm!(concat!("tdpbf16ps tmm", $sums, ", tmm", $pixels, ", tmm", $weights),
                options(nostack, preserves_flags, nomem))
        }
    };
}

/// Calls a function for this many pixels in the second tile and this many channels.
macro_rules! by_shape {
    ($second:expr, $width:expr, $function:ident [$($generic:expr),*] $arguments:tt) => {
        match ($second > 0, $width > CELLS) {
            (true, true) => $function::<$($generic,)* true, true> $arguments,
            (true, false) => $function::<$($generic,)* true, false> $arguments,
            (false, true) => $function::<$($generic,)* false, true> $arguments,
            (false, false) => $function::<$($generic,)* false, false> $arguments,
        }
    };
}

/// Shapes of the tiles, loaded where they change.
struct Tiles([usize; 2]);

impl Tiles {
    unsafe fn shape(&mut self, pixels: [usize; 2]) {
        if self.0 != pixels {
            self.0 = pixels;
            Shapes::of(pixels).load();
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: whoever made this has tiles.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) }
    }
}

/// [`super::gemm::strip_bf16`].
///
/// # Safety
/// As that, where [`super::Isa::Amx`] is available.
#[target_feature(enable = "avx512f,avx512bf16,avx512vnni")]
pub(super) unsafe fn strip_bf16(s: &Strip) {
    strip::<BF16>(s, std::ptr::null());
}

/// [`super::gemm::strip_int8`].
///
/// # Safety
/// As [`strip_bf16`].
#[target_feature(enable = "avx512f,avx512bf16,avx512vnni")]
pub(super) unsafe fn strip_int8(s: &Strip, scale: *const f32) {
    strip::<INT8>(s, scale);
}

/// What numbers a product is of.
const BF16: bool = false;
const INT8: bool = true;

#[inline(always)]
unsafe fn strip<const INT8: bool>(s: &Strip, scale: *const f32) {
    let depth: usize = s.runs.iter().map(|run| run.len).sum();
    let mut tiles = Tiles([0; 2]);
    let (mut channel, mut weights) = (0, s.weights);
    while channel < s.channels {
        let width = (s.channels - channel).min(2 * CELLS);
        for pixel in (0..s.pixels).step_by(2 * ROWS) {
            let first = (s.pixels - pixel).min(ROWS);
            let pixels = [first, (s.pixels - pixel - first).min(ROWS)];
            tiles.shape(pixels);
            let end = End {
                pixels,
                bias: s.bias.add(channel),
                scale: scale.wrapping_add(channel),
                out: [0, ROWS].map(|more| s.out.wrapping_add((pixel + more) * s.out_stride)),
                out_stride: s.out_stride,
                channel,
                residual: [0, ROWS].map(|more| s.residual.wrapping_add((pixel + more) * s.residual_stride)),
                residual_stride: s.residual_stride,
                has_residual: !s.residual.is_null(),
                activation: s.activation,
                pairs: s.pairs,
            };
            by_shape!(pixels[1], width, block[INT8](s.runs, pixel, weights, &end));
        }
        channel += width;
        weights = weights.add(depth * width);
    }
}

/// A block of a strip.
#[inline(always)]
unsafe fn block<const INT8: bool, const TALL: bool, const WIDE: bool>(
    runs: &[Run],
    pixel: usize,
    weights: *const f32,
    end: &End,
) {
    end.ask();
    begin::<INT8, TALL, WIDE>(end.bias);
    let mut w = weights;
    for run in runs {
        let x = [0, ROWS].map(|more| run.x.wrapping_add((pixel + more) * run.stride));
        add::<INT8, TALL, WIDE>(x, run.stride, run.len, w, end.pixels);
        w = w.add(run.len * if WIDE { 2 * CELLS } else { CELLS });
    }
    end.run::<INT8, TALL, WIDE>();
}

/// [`super::gemm::direct`].
///
/// # Safety
/// As [`strip_bf16`].
#[target_feature(enable = "avx512f,avx512bf16,avx512vnni")]
pub(super) unsafe fn direct(d: &Direct) {
    let (across, depth) = (d.width.div_ceil(ROWS), d.kernel * d.len);
    let mut tiles = Tiles([0; 2]);
    let (mut channel, mut weights) = (0, d.weights);
    while channel < d.channels {
        let width = (d.channels - channel).min(2 * CELLS);
        // The end of a row and the start of the next one may share a block.
        for tile in (0..d.rows * across).step_by(2) {
            let at = [tile, tile + 1].map(|tile| (tile / across, tile % across * ROWS));
            let count = |(y, x): (usize, usize)| if y < d.rows { (d.width - x).min(ROWS) } else { 0 };
            let pixels = at.map(count);
            tiles.shape(pixels);
            let end = End {
                pixels,
                bias: d.bias.add(channel),
                scale: std::ptr::null(),
                out: at.map(|(y, x)| d.out.wrapping_add((y * d.width + x) * d.out_stride)),
                out_stride: d.out_stride,
                channel,
                residual: at.map(|(y, x)| d.residual.wrapping_add((y * d.width + x) * d.out_stride)),
                residual_stride: d.out_stride,
                has_residual: !d.residual.is_null(),
                activation: d.activation,
                pairs: d.pairs,
            };
            let x = at.map(|(y, x)| d.x.wrapping_add(y * d.row + x * d.step));
            by_shape!(pixels[1], width, windows [] (d, x, weights, &end));
        }
        channel += width;
        weights = weights.add(depth * width);
    }
}

/// A block of windows.
#[inline(always)]
unsafe fn windows<const TALL: bool, const WIDE: bool>(
    d: &Direct,
    x: [*const f32; 2],
    weights: *const f32,
    end: &End,
) {
    end.ask();
    begin::<BF16, TALL, WIDE>(end.bias);
    let mut w = weights;
    for ky in 0..d.kernel {
        let x = x.map(|x| x.wrapping_add(ky * d.line));
        add::<BF16, TALL, WIDE>(x, d.step, d.len, w, end.pixels);
        w = w.add(d.len * if WIDE { 2 * CELLS } else { CELLS });
    }
    end.run::<BF16, TALL, WIDE>();
}

/// Sums of a block, as they leave the tiles.
#[repr(align(64))]
struct Sums(#[expect(dead_code, reason = "read by pointer")] [[f32; 2 * CELLS]; 2 * ROWS]);

/// Cells of a step that is not whole, filled up with zeros.
#[repr(align(64))]
struct Rest([[f32; CELLS]; 2 * ROWS], [[f32; 2 * CELLS]; CELLS]);

/// Sums begin with the bias, or with zeros of whole numbers.
#[inline(always)]
unsafe fn begin<const INT8: bool, const TALL: bool, const WIDE: bool>(bias: *const f32) {
    if INT8 {
        tile!(zero 0);
        tile!(zero 1);
        tile!(zero 2);
        tile!(zero 3);
    } else {
        // A distance of 0: each row is the bias.
        load::<TALL, WIDE>([bias.cast_mut(); 2], 0);
    }
}

/// Reads the sums of both tiles' pixels, `stride` floats apart.
#[inline(always)]
unsafe fn load<const TALL: bool, const WIDE: bool>(from: [*mut f32; 2], stride: usize) {
    tile!(load 0, from[0], 4 * stride);
    if WIDE {
        tile!(load 1, from[0].add(CELLS), 4 * stride);
    }
    if TALL {
        tile!(load 2, from[1], 4 * stride);
    }
    if TALL && WIDE {
        tile!(load 3, from[1].add(CELLS), 4 * stride);
    }
}

/// Writes them.
#[inline(always)]
unsafe fn store<const TALL: bool, const WIDE: bool>(to: [*mut f32; 2], stride: usize) {
    tile!(store 0, to[0], 4 * stride);
    if WIDE {
        tile!(store 1, to[0].add(CELLS), 4 * stride);
    }
    if TALL {
        tile!(store 2, to[1], 4 * stride);
    }
    if TALL && WIDE {
        tile!(store 3, to[1].add(CELLS), 4 * stride);
    }
}

/// Adds the products of `len` cells of each pixel, `stride` floats from pixel to pixel.
#[inline(always)]
unsafe fn add<const INT8: bool, const TALL: bool, const WIDE: bool>(
    mut x: [*const f32; 2],
    stride: usize,
    len: usize,
    mut w: *const f32,
    pixels: [usize; 2],
) {
    let width = if WIDE { 2 * CELLS } else { CELLS };
    for _ in 0..len / CELLS {
        step::<INT8, TALL, WIDE>(x, stride, (w, width));
        x = x.map(|x| x.wrapping_add(CELLS));
        w = w.add(CELLS * width);
    }
    let rest = len % CELLS;
    if rest > 0 {
        let mut cells = Rest([[0.0; CELLS]; 2 * ROWS], [[0.0; 2 * CELLS]; CELLS]);
        let mask = (1u16 << rest) - 1;
        for tile in 0..2 {
            for p in 0..pixels[tile] {
                let row = _mm512_maskz_loadu_ps(mask, x[tile].add(p * stride));
                _mm512_store_ps(cells.0[tile * ROWS + p].as_mut_ptr(), row);
            }
        }
        let to = cells.1.as_mut_ptr().cast::<f32>();
        std::ptr::copy_nonoverlapping(w, to, rest * width);
        let from = cells.0.as_ptr().cast::<f32>();
        step::<INT8, TALL, WIDE>([from, from.add(ROWS * CELLS)], CELLS, (to, width));
    }
}

/// One step of the inner loop: a tile's row of every pixel.
#[inline(always)]
unsafe fn step<const INT8: bool, const TALL: bool, const WIDE: bool>(
    x: [*const f32; 2],
    stride: usize,
    (w, width): (*const f32, usize),
) {
    tile!(load 6, w, 4 * width);
    tile!(load 4, x[0], 4 * stride);
    tile!(dot INT8 0, 4, 6);
    if WIDE {
        tile!(load 7, w.add(CELLS), 4 * width);
        tile!(dot INT8 1, 4, 7);
    }
    if TALL {
        tile!(load 5, x[1], 4 * stride);
        tile!(dot INT8 2, 5, 6);
    }
    if TALL && WIDE {
        tile!(dot INT8 3, 5, 7);
    }
}

/// What comes after the product of a block.
struct End {
    pixels: [usize; 2],
    bias: *const f32,
    scale: *const f32,
    /// First channel of the output, whose pixels begin at `out`.
    channel: usize,
    out: [*mut f32; 2],
    out_stride: usize,
    residual: [*const f32; 2],
    residual_stride: usize,
    has_residual: bool,
    activation: Activation,
    pairs: bool,
}

impl End {
    /// Asks for the lines that the sums will go to, and for what is added: they come while the product is computed.
    #[inline(always)]
    unsafe fn ask(&self) {
        for tile in 0..2 {
            for p in 0..self.pixels[tile] {
                let out = self.out[tile].wrapping_add(p * self.out_stride);
                let residual = self.residual[tile].wrapping_add(p * self.residual_stride);
                if self.pairs {
                    _mm_prefetch::<_MM_HINT_ET0>(out.wrapping_add(self.channel / 2).cast());
                    if self.has_residual {
                        _mm_prefetch::<_MM_HINT_T0>(residual.wrapping_add(self.channel / 2).cast());
                    }
                    continue;
                }
                _mm_prefetch::<_MM_HINT_ET0>(out.wrapping_add(self.channel).cast());
                _mm_prefetch::<_MM_HINT_ET0>(out.wrapping_add(self.channel + CELLS).cast());
                if self.has_residual {
                    _mm_prefetch::<_MM_HINT_T0>(residual.wrapping_add(self.channel).cast());
                    _mm_prefetch::<_MM_HINT_T0>(residual.wrapping_add(self.channel + CELLS).cast());
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn run<const INT8: bool, const TALL: bool, const WIDE: bool>(&self) {
        if !INT8 && !self.pairs && !self.has_residual && !self.activation.is_relu() {
            return store::<TALL, WIDE>(self.out.map(|out| out.wrapping_add(self.channel)), self.out_stride);
        }
        let mut sums = MaybeUninit::<Sums>::uninit();
        let sums = sums.as_mut_ptr().cast::<f32>();
        store::<TALL, WIDE>([sums, sums.add(ROWS * 2 * CELLS)], 2 * CELLS);
        for tile in 0..2 {
            for p in 0..self.pixels[tile] {
                for c in (0..if WIDE { 2 * CELLS } else { CELLS }).step_by(CELLS) {
                    let value = _mm512_load_ps(sums.add((tile * ROWS + p) * 2 * CELLS + c));
                    self.value::<INT8>(tile, p, c, value);
                }
            }
        }
    }

    /// A register of sums of pixel `p` of a tile: floats of whole numbers, the residual, the activation, and where they go.
    #[inline(always)]
    unsafe fn value<const INT8: bool>(&self, tile: usize, p: usize, c: usize, mut value: __m512) {
        if INT8 {
            let whole = _mm512_cvtepi32_ps(_mm512_castps_si512(value));
            value =
                _mm512_fmadd_ps(whole, _mm512_loadu_ps(self.scale.add(c)), _mm512_loadu_ps(self.bias.add(c)));
        }
        let channel = self.channel + c;
        if self.has_residual {
            let residual = self.residual[tile].add(p * self.residual_stride);
            let more = if self.pairs {
                Wide::load_bf16(residual.add(channel / 2))
            } else {
                _mm512_loadu_ps(residual.add(channel))
            };
            value = _mm512_add_ps(value, more);
        }
        if self.activation.is_relu() {
            value = _mm512_max_ps(_mm512_setzero_ps(), value);
        }
        let out = self.out[tile].add(p * self.out_stride);
        if self.pairs {
            Wide::store_bf16(out.add(channel / 2), value);
        } else {
            _mm512_storeu_ps(out.add(channel), value);
        }
    }
}

/// Steps of 16 pairs of pixels whose gradients are turned over at once.
const STEPS: usize = 8;

/// [`super::gradients::outer_bf16`]: the gradients of 16 outputs, turned over, are the rows of one tile, the inputs of 16 pairs of pixels
/// those of the other.
///
/// # Safety
/// As [`strip_bf16`].
#[target_feature(enable = "avx512f,avx512bf16,avx512vnni")]
pub(super) unsafe fn outer(s: &Outer) {
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
    load::<TALL, WIDE>(places, s.out_stride);
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
