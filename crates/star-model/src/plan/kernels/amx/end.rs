//! What comes after a block's product: the residual, the activation and the way to memory, while the next block is multiplied.

use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::simd::Simd;
use super::{CELLS, ROWS, Wide, store};

/// Sums of a block, as they leave the tiles.
#[repr(align(64))]
pub(super) struct Sums(#[expect(dead_code, reason = "read by pointer")] [[f32; 2 * CELLS]; 2 * ROWS]);

/// What comes after the product of a block.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) pixels: [usize; 2],
    /// Sums in bf16 begin with it; to sums of bytes it is added here, behind their scale.
    pub(super) bias: *const f32,
    pub(super) scale: *const f32,
    /// First channel of the output, whose pixels begin at `out`.
    pub(super) channel: usize,
    pub(super) out: [*mut f32; 2],
    pub(super) out_stride: usize,
    pub(super) residual: [*const f32; 2],
    pub(super) residual_stride: usize,
    pub(super) has_residual: bool,
    pub(super) relu: bool,
    pub(super) pairs: bool,
}

impl End {
    /// Takes the sums of some pixels of a tile, one register a pixel or two where the block is `wide`; makes floats of whole numbers, adds the
    /// residual, activates, and writes the output.
    #[inline(always)]
    unsafe fn write<const INT8: bool, const PAIRS: bool, const RESIDUAL: bool>(
        &self,
        tile: usize,
        pixels: Range<usize>,
        sums: *const f32,
        wide: bool,
    ) {
        let first = if PAIRS { self.channel / 2 } else { self.channel };
        let (out, residual) = (self.out[tile].wrapping_add(first), self.residual[tile].wrapping_add(first));
        // What this is not above stays as it is, NaN too.
        let floor = _mm512_set1_ps(if self.relu { 0.0 } else { f32::NEG_INFINITY });
        for p in pixels {
            let sums = sums.add((tile * ROWS + p) * 2 * CELLS);
            let (out, residual) =
                (out.add(p * self.out_stride), residual.wrapping_add(p * self.residual_stride));
            self.register::<INT8, PAIRS, RESIDUAL>(0, sums, floor, residual, out);
            if wide {
                self.register::<INT8, PAIRS, RESIDUAL>(CELLS, sums, floor, residual, out);
            }
        }
    }

    /// A register of a pixel from channel `c` of the block on. No closure: those that the compiler does not put in place have none of the
    /// instructions.
    #[inline(always)]
    unsafe fn register<const INT8: bool, const PAIRS: bool, const RESIDUAL: bool>(
        &self,
        c: usize,
        sums: *const f32,
        floor: __m512,
        residual: *const f32,
        out: *mut f32,
    ) {
        let at = if PAIRS { c / 2 } else { c };
        let mut value = _mm512_load_ps(sums.add(c));
        if INT8 {
            let whole = _mm512_cvtepi32_ps(_mm512_castps_si512(value));
            let (scale, bias) = (_mm512_loadu_ps(self.scale.add(c)), _mm512_loadu_ps(self.bias.add(c)));
            value = _mm512_fmadd_ps(whole, scale, bias);
        }
        if RESIDUAL {
            let residual = residual.add(at);
            let more = if PAIRS { Wide::load_bf16(residual) } else { _mm512_loadu_ps(residual) };
            value = _mm512_add_ps(value, more);
        }
        value = _mm512_max_ps(floor, value);
        if PAIRS {
            Wide::store_bf16(out.add(at), value);
        } else {
            _mm512_storeu_ps(out.add(at), value);
        }
    }
}

/// The block multiplied last, whose sums have left the tiles for `sums`: its [`End`] is done between the steps of the next block, which
/// leave the other units of the core free. After the last block comes [`Before::rest`]; `INT8` is the same in every call.
pub(super) struct Before<'a> {
    end: End,
    /// Whether it has two registers of channels.
    wide: bool,
    sums: *mut f32,
    owner: PhantomData<&'a mut Sums>,
    /// Pixels that are done, pixels of the block, and how many are done a step.
    done: usize,
    pixels: usize,
    share: usize,
}

impl<'a> Before<'a> {
    /// None yet; blocks have `steps` steps.
    pub(super) fn nothing(sums: &'a mut MaybeUninit<Sums>, steps: usize) -> Self {
        let null = std::ptr::null();
        let end = End {
            pixels: [0; 2],
            bias: null,
            scale: null,
            channel: 0,
            out: [std::ptr::null_mut(); 2],
            out_stride: 0,
            residual: [null; 2],
            residual_stride: 0,
            has_residual: false,
            relu: false,
            pairs: false,
        };
        let (sums, share) = (sums.as_mut_ptr().cast(), (2 * ROWS).div_ceil(steps.max(1)));
        Self { end, wide: false, sums, owner: PhantomData, done: 0, pixels: 0, share }
    }

    /// Does a step's share of it.
    #[inline(always)]
    pub(super) unsafe fn some<const INT8: bool>(&mut self) {
        if self.done < self.pixels {
            self.until::<INT8>(self.pixels.min(self.done + self.share));
        }
    }

    /// Does what is left of it.
    #[inline(always)]
    pub(super) unsafe fn rest<const INT8: bool>(&mut self) {
        if self.done < self.pixels {
            self.until::<INT8>(self.pixels);
        }
    }

    /// A function by itself, with the instructions that it needs: every shape of block calls it.
    #[target_feature(enable = "avx512f,avx512bf16,avx512vnni")]
    unsafe fn until<const INT8: bool>(&mut self, until: usize) {
        let (end, sums, wide, from) = (self.end, self.sums.cast_const(), self.wide, self.done);
        let first = end.pixels[0];
        let parts = [from.min(first)..until.min(first), from.max(first) - first..until.max(first) - first];
        for (tile, pixels) in parts.into_iter().enumerate() {
            match (end.pairs, end.has_residual) {
                (true, true) => end.write::<INT8, true, true>(tile, pixels, sums, wide),
                (true, false) => end.write::<INT8, true, false>(tile, pixels, sums, wide),
                (false, true) => end.write::<INT8, false, true>(tile, pixels, sums, wide),
                (false, false) => end.write::<INT8, false, false>(tile, pixels, sums, wide),
            }
        }
        self.done = until;
    }

    /// Finishes it; a block whose product is in the tiles takes its place.
    #[inline(always)]
    pub(super) unsafe fn follow<const INT8: bool, const TALL: bool, const WIDE: bool>(&mut self, end: End) {
        self.rest::<INT8>();
        if !INT8 && !end.pairs && !end.has_residual && !end.relu {
            return store::<TALL, WIDE>(end.out.map(|out| out.wrapping_add(end.channel)), end.out_stride);
        }
        store::<TALL, WIDE>([self.sums, self.sums.add(ROWS * 2 * CELLS)], 2 * CELLS);
        (self.wide, self.done, self.pixels, self.end) = (WIDE, 0, end.pixels.iter().sum(), end);
    }
}

impl Drop for Before<'_> {
    fn drop(&mut self) {
        debug_assert_eq!(self.done, self.pixels, "a block whose end was left out");
    }
}
