//! AVX-512: 16 lanes, 32 registers.

use std::arch::x86_64::*;

use super::simd::{Simd, by_lanes};

/// The AVX-512 foundation instructions, with `NARROW` also those for products in bf16 and of bytes.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const NARROW: bool>;

/// Places of the 16-bit numbers of a register that take turns between its halves.
const ALTERNATING: [i32; 16] = {
    let mut places = [0; 16];
    let mut i = 0;
    while i < 16 {
        places[i] = i as i32 | (16 + i as i32) << 16;
        i += 1;
    }
    places
};

impl<const NARROW: bool> Simd for Avx512<NARROW> {
    type V = __m512;
    const LANES: usize = 16;
    const PIXELS: usize = 14;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        _mm512_loadu_ps(p)
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        _mm512_storeu_ps(p, v);
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }

    #[inline(always)]
    unsafe fn store_bf16(p: *mut f32, v: __m512) {
        if NARROW {
            let half = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v));
            return _mm256_storeu_si256(p.cast(), half);
        }
        by_lanes::store_bf16::<Self>(p, v);
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const f32) -> __m512 {
        let half = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(half))
    }

    #[inline(always)]
    unsafe fn zip_bf16(a: __m512, b: __m512) -> __m512 {
        if NARROW {
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a));
            let places = _mm512_loadu_si512(ALTERNATING.as_ptr().cast());
            return _mm512_castsi512_ps(_mm512_permutexvar_epi16(places, both));
        }
        by_lanes::zip_bf16::<Self>(a, b)
    }

    #[inline(always)]
    unsafe fn zip_pairs(a: *const f32, b: *const f32) -> __m512 {
        let a = _mm512_cvtepu16_epi32(_mm256_loadu_si256(a.cast()));
        let b = _mm512_cvtepu16_epi32(_mm256_loadu_si256(b.cast()));
        _mm512_castsi512_ps(_mm512_or_si512(a, _mm512_slli_epi32::<16>(b)))
    }

    #[inline(always)]
    unsafe fn store_u8(p: *mut f32, v: __m512) {
        let whole = _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512());
        _mm_storeu_si128(p.cast(), _mm512_cvtusepi32_epi8(whole));
    }

    #[inline(always)]
    unsafe fn dot_u8(a: __m512, b: __m512, c: __m512) -> __m512 {
        let (a, b, c) = (_mm512_castps_si512(a), _mm512_castps_si512(b), _mm512_castps_si512(c));
        if NARROW {
            return _mm512_castsi512_ps(_mm512_dpbusd_epi32(c, a, b));
        }
        by_lanes::dot_u8::<Self>(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), _mm512_castsi512_ps(c))
    }

    #[inline(always)]
    unsafe fn whole(v: __m512) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_castps_si512(v))
    }

    #[inline(always)]
    unsafe fn low(v: __m512) -> __m512 {
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(v)))
    }

    #[inline(always)]
    unsafe fn high(v: __m512) -> __m512 {
        _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(!0xffff)))
    }

    #[inline(always)]
    unsafe fn dot(a: __m512, b: __m512, c: __m512) -> __m512 {
        if NARROW {
            // The same bits under the type that the instruction takes.
            let pairs = |v: __m512| std::mem::transmute::<__m512, __m512bh>(v);
            return _mm512_dpbf16_ps(c, pairs(a), pairs(b));
        }
        let c = Self::fma(Self::low(a), Self::low(b), c);
        Self::fma(Self::high(a), Self::high(b), c)
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }

    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        _mm512_sub_ps(a, b)
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }

    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        _mm512_div_ps(a, b)
    }

    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }

    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        _mm512_min_ps(a, b)
    }

    #[inline(always)]
    unsafe fn positive(test: __m512, v: __m512) -> __m512 {
        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(test, _mm512_setzero_ps()), v)
    }

    #[inline(always)]
    unsafe fn equal(a: __m512, b: __m512, v: __m512) -> __m512 {
        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), v)
    }

    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }

    #[inline(always)]
    unsafe fn power_of_two(n: __m512) -> __m512 {
        _mm512_scalef_ps(_mm512_set1_ps(1.0), n)
    }
}
