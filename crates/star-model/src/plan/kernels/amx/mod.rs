//! AMX: products in bf16 and of bytes by registers of tiles, 16 rows of 64 bytes each.
//!
//! The compiler's functions for these instructions are not stable, so they are assembly. Nothing else uses the tiles: they are set up at
//! the start of a strip and given back, all zero, at its end. What comes after the product of a block is done while the next block is
//! multiplied: see [`Before`].

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::avx512::Avx512;
use super::gemm::{Direct, Run, Strip};

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

// After the macros that they use.
mod end;
mod outer;

use end::{Before, End, Sums};
pub(super) use outer::outer;

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

/// Panel by panel, block by block of 32 pixels.
#[inline(always)]
unsafe fn strip<const INT8: bool>(s: &Strip, scale: *const f32) {
    let depth: usize = s.runs.iter().map(|run| run.len).sum();
    let steps: usize = s.runs.iter().map(|run| run.len / CELLS).sum();
    let (mut tiles, mut sums) = (Tiles([0; 2]), MaybeUninit::<Sums>::uninit());
    let mut before = Before::nothing(&mut sums, steps);
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
                relu: s.activation.is_relu(),
                pairs: s.pairs,
            };
            by_shape!(pixels[1], width, block[INT8](s.runs, pixel, weights, end, &mut before));
        }
        channel += width;
        weights = weights.add(depth * width);
    }
    before.rest::<INT8>();
}

/// A block of a strip.
#[inline(always)]
unsafe fn block<const INT8: bool, const TALL: bool, const WIDE: bool>(
    runs: &[Run],
    pixel: usize,
    weights: *const f32,
    end: End,
    before: &mut Before,
) {
    begin::<INT8, TALL, WIDE>(end.bias);
    let mut w = weights;
    for run in runs {
        let x = [0, ROWS].map(|more| run.x.wrapping_add((pixel + more) * run.stride));
        add::<INT8, TALL, WIDE>(x, run.stride, run.len, w, end.pixels, before);
        w = w.add(run.len * if WIDE { 2 * CELLS } else { CELLS });
    }
    before.follow::<INT8, TALL, WIDE>(end);
}

/// [`super::gemm::direct`].
///
/// # Safety
/// As [`strip_bf16`].
#[target_feature(enable = "avx512f,avx512bf16,avx512vnni")]
pub(super) unsafe fn direct(d: &Direct) {
    let (across, depth) = (d.width.div_ceil(ROWS), d.kernel * d.len);
    let (mut tiles, mut sums) = (Tiles([0; 2]), MaybeUninit::<Sums>::uninit());
    let mut before = Before::nothing(&mut sums, d.kernel * (d.len / CELLS));
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
                relu: d.activation.is_relu(),
                pairs: d.pairs,
            };
            let x = at.map(|(y, x)| d.x.wrapping_add(y * d.row + x * d.step));
            by_shape!(pixels[1], width, windows [] (d, x, weights, end, &mut before));
        }
        channel += width;
        weights = weights.add(depth * width);
    }
    before.rest::<BF16>();
}

/// A block of windows.
#[inline(always)]
unsafe fn windows<const TALL: bool, const WIDE: bool>(
    d: &Direct,
    x: [*const f32; 2],
    weights: *const f32,
    end: End,
    before: &mut Before,
) {
    begin::<BF16, TALL, WIDE>(end.bias);
    let mut w = weights;
    for ky in 0..d.kernel {
        let x = x.map(|x| x.wrapping_add(ky * d.line));
        add::<BF16, TALL, WIDE>(x, d.step, d.len, w, end.pixels, before);
        w = w.add(d.len * if WIDE { 2 * CELLS } else { CELLS });
    }
    before.follow::<BF16, TALL, WIDE>(end);
}

/// Cells of a step that is not whole, filled up with zeros.
#[repr(align(64))]
struct Rest([[f32; CELLS]; 2 * ROWS], [[f32; 2 * CELLS]; CELLS]);

/// Sums begin with the bias, or with zeros of whole numbers.
#[inline(always)]
unsafe fn begin<const INT8: bool, const TALL: bool, const WIDE: bool>(bias: *const f32) {
    if INT8 {
        zero();
    } else {
        // A distance of 0: each row is the bias.
        load::<TALL, WIDE>([bias.cast_mut(); 2], 0);
    }
}

/// Sums of nothing.
#[inline(always)]
unsafe fn zero() {
    tile!(zero 0);
    tile!(zero 1);
    tile!(zero 2);
    tile!(zero 3);
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

/// Adds the products of `len` cells of each pixel, `stride` floats from pixel to pixel, and goes on with the block before.
#[inline(always)]
unsafe fn add<const INT8: bool, const TALL: bool, const WIDE: bool>(
    mut x: [*const f32; 2],
    stride: usize,
    len: usize,
    mut w: *const f32,
    pixels: [usize; 2],
    before: &mut Before,
) {
    let width = if WIDE { 2 * CELLS } else { CELLS };
    for _ in 0..len / CELLS {
        step::<INT8, TALL, WIDE>(x, stride, (w, width));
        before.some::<INT8>();
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
