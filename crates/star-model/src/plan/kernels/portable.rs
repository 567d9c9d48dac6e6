//! Plain Rust in groups of four lanes, which compilers turn into whatever the target has.

use super::simd::Simd;

/// No special instructions.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const PIXELS: usize = 6;

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 4] {
        [x; 4]
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; 4] {
        p.cast::<[f32; 4]>().read_unaligned()
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; 4]) {
        p.cast::<[f32; 4]>().write_unaligned(v);
    }

    #[inline(always)]
    unsafe fn fma(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // without the instruction, f32::mul_add is a call into the maths library
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn low(v: [f32; 4]) -> [f32; 4] {
        v.map(|v| f32::from_bits(v.to_bits() << 16))
    }

    #[inline(always)]
    unsafe fn high(v: [f32; 4]) -> [f32; 4] {
        v.map(|v| f32::from_bits(v.to_bits() & 0xffff_0000))
    }

    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    unsafe fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn div(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] / b[i])
    }

    #[inline(always)]
    unsafe fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    unsafe fn min(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    unsafe fn positive(test: [f32; 4], v: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if test[i] > 0.0 { v[i] } else { 0.0 })
    }

    #[inline(always)]
    #[expect(clippy::float_cmp, reason = "the question is which value it is")]
    unsafe fn equal(a: [f32; 4], b: [f32; 4], v: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if a[i] == b[i] { v[i] } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn power_of_two(n: [f32; 4]) -> [f32; 4] {
        n.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
}
