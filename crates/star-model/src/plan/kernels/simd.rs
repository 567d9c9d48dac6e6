//! One vector register of `f32`, and the few things that the kernels do with it.

/// Vector arithmetic of one instruction set. The kernels are written once over this trait and compiled once for each
/// instruction set, inside functions that enable it.
///
/// # Safety
/// Every function may only be called where the CPU has the instruction set. `load` and `store` touch
/// [`Simd::LANES`] values from the pointer on, which need no alignment.
pub(super) trait Simd: Copy {
    /// A register.
    type V: Copy;

    /// Values in a register.
    const LANES: usize;

    /// Pixels of the largest tile: with two registers of channels each, and three more registers, all fit.
    const PIXELS: usize;

    /// All lanes `x`.
    unsafe fn splat(x: f32) -> Self::V;

    /// `LANES` values from `p` on.
    unsafe fn load(p: *const f32) -> Self::V;

    /// Writes `LANES` values from `p` on.
    unsafe fn store(p: *mut f32, v: Self::V);

    /// `a b + c`, rounded once where the CPU can.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// Writes `v` as `LANES / 2` pairs of numbers in bf16, rounded to the nearest, ties to even; at most 16 lanes.
    #[inline(always)]
    unsafe fn store_bf16(p: *mut f32, v: Self::V) {
        by_lanes::store_bf16::<Self>(p, v);
    }

    /// `LANES` numbers in bf16 from `p` on, where [`Simd::store_bf16`] has written them; at most 16 lanes.
    #[inline(always)]
    unsafe fn load_bf16(p: *const f32) -> Self::V {
        by_lanes::load_bf16::<Self>(p)
    }

    /// Pairs of numbers in bf16, rounded as by [`Simd::store_bf16`]: lane by lane those of `a` and of `b`; at most 16 lanes.
    #[inline(always)]
    unsafe fn zip_bf16(a: Self::V, b: Self::V) -> Self::V {
        by_lanes::zip_bf16::<Self>(a, b)
    }

    /// [`Simd::zip_bf16`] of the numbers that [`Simd::load_bf16`] reads at `a` and `b`.
    #[inline(always)]
    unsafe fn zip_pairs(a: *const f32, b: *const f32) -> Self::V {
        Self::zip_bf16(Self::load_bf16(a), Self::load_bf16(b))
    }

    /// Writes `v`, rounded to the nearest, ties to even, and limited to 0 to 255, as `LANES` bytes; at most 16 lanes.
    #[inline(always)]
    unsafe fn store_u8(p: *mut f32, v: Self::V) {
        by_lanes::store_u8::<Self>(p, v);
    }

    /// `c`, whole numbers in the places of floats, and the four products of each lane's bytes, those of `a` without and those of `b`
    /// with a sign; at most 16 lanes.
    #[inline(always)]
    unsafe fn dot_u8(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        by_lanes::dot_u8::<Self>(a, b, c)
    }

    /// Whole numbers in the places of floats as floats; at most 16 lanes.
    #[inline(always)]
    unsafe fn whole(v: Self::V) -> Self::V {
        by_lanes::whole::<Self>(v)
    }

    /// The lower half of each lane's bits as a number in bf16.
    unsafe fn low(v: Self::V) -> Self::V;

    /// The upper half of each lane's bits as a number in bf16.
    unsafe fn high(v: Self::V) -> Self::V;

    /// `c` and the products of both pairs of numbers in bf16 that each lane of `a` and `b` holds, in `f32`.
    #[inline(always)]
    unsafe fn dot(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let c = Self::fma(Self::low(a), Self::low(b), c);
        Self::fma(Self::high(a), Self::high(b), c)
    }

    /// `a + b`
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;

    /// `a - b`
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;

    /// `a b`
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;

    /// `a / b`
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;

    /// The larger of each lane; NaN where `b` is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;

    /// The smaller of each lane; NaN where `b` is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;

    /// `v` where `test` is above 0, else 0.
    unsafe fn positive(test: Self::V, v: Self::V) -> Self::V;

    /// `v` where `a` equals `b`, else 0.
    unsafe fn equal(a: Self::V, b: Self::V, v: Self::V) -> Self::V;

    /// Asks for the cache line at `p`, which need not be readable.
    unsafe fn prefetch(_p: *const f32) {}

    /// `2^n` for whole numbers `n` in `-126..=127`.
    unsafe fn power_of_two(n: Self::V) -> Self::V;
}

/// A lane after the other, at most 16: what [`Simd`] does where the CPU has no instruction for it.
pub(super) mod by_lanes {
    use super::super::pixels::{pair, unpair};
    use super::Simd;

    #[inline(always)]
    pub(in super::super) unsafe fn store_bf16<S: Simd>(p: *mut f32, v: S::V) {
        let mut values = [0.0; 16];
        S::store(values.as_mut_ptr(), v);
        for i in 0..S::LANES / 2 {
            *p.add(i) = pair(values[2 * i], values[2 * i + 1]);
        }
    }

    #[inline(always)]
    pub(in super::super) unsafe fn load_bf16<S: Simd>(p: *const f32) -> S::V {
        let mut values = [0.0; 16];
        for i in 0..S::LANES / 2 {
            [values[2 * i], values[2 * i + 1]] = unpair(*p.add(i));
        }
        S::load(values.as_ptr())
    }

    #[inline(always)]
    pub(in super::super) unsafe fn zip_bf16<S: Simd>(a: S::V, b: S::V) -> S::V {
        let [mut first, mut second] = [[0.0; 16]; 2];
        S::store(first.as_mut_ptr(), a);
        S::store(second.as_mut_ptr(), b);
        first.iter_mut().zip(second).for_each(|(first, second)| *first = pair(*first, second));
        S::load(first.as_ptr())
    }

    #[inline(always)]
    pub(in super::super) unsafe fn store_u8<S: Simd>(p: *mut f32, v: S::V) {
        let mut values = [0.0f32; 16];
        S::store(values.as_mut_ptr(), v);
        for i in 0..S::LANES {
            *p.cast::<u8>().add(i) = values[i].round_ties_even() as u8;
        }
    }

    #[inline(always)]
    pub(in super::super) unsafe fn dot_u8<S: Simd>(a: S::V, b: S::V, c: S::V) -> S::V {
        let mut lanes = [[0.0f32; 16]; 3];
        for (lane, v) in lanes.iter_mut().zip([a, b, c]) {
            S::store(lane.as_mut_ptr(), v);
        }
        let [a, b, mut c] = lanes;
        for i in 0..S::LANES {
            let (a, b) = (a[i].to_bits().to_le_bytes(), b[i].to_bits().to_le_bytes());
            let sum: i32 = (0..4).map(|j| i32::from(a[j]) * i32::from(b[j].cast_signed())).sum();
            c[i] = f32::from_bits(c[i].to_bits().wrapping_add(sum.cast_unsigned()));
        }
        S::load(c.as_ptr())
    }

    #[inline(always)]
    pub(in super::super) unsafe fn whole<S: Simd>(v: S::V) -> S::V {
        let mut values = [0.0f32; 16];
        S::store(values.as_mut_ptr(), v);
        for value in &mut values {
            *value = value.to_bits().cast_signed() as f32;
        }
        S::load(values.as_ptr())
    }
}

/// All lanes zero.
#[inline(always)]
pub(super) unsafe fn zero<S: Simd>() -> S::V {
    S::splat(0.0)
}

/// `1.5 * 2^23`: adding and subtracting it rounds a small number to a whole one.
const ROUNDER: f32 = 12_582_912.0;

/// Inputs of [`exp`] are clamped to +-this, so that neither the result nor its reciprocal leaves the normal range.
const EXP_LIMIT: f32 = 87.0;

/// `e^x` to 2 units in the last place: `x = n ln 2 + r`, a polynomial in `r`, times `2^n`. Coefficients: Cephes' `expf`.
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    let x = S::max(S::splat(-EXP_LIMIT), S::min(S::splat(EXP_LIMIT), x));
    let n = S::sub(S::fma(x, S::splat(std::f32::consts::LOG2_E), S::splat(ROUNDER)), S::splat(ROUNDER));
    // ln 2 in two parts, so that n times the first is exact
    let r = S::fma(n, S::splat(-355.0 / 512.0), x);
    let r = S::fma(n, S::splat(2.121_944_4e-4), r);
    let mut y = S::splat(1.987_569_1e-4);
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        y = S::fma(y, r, S::splat(coefficient));
    }
    let y = S::add(S::fma(S::mul(r, r), y, r), S::splat(1.0));
    S::mul(y, S::power_of_two(n))
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub(super) unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    let e = exp::<S>(S::sub(zero::<S>(), x));
    S::div(S::splat(1.0), S::add(S::splat(1.0), e))
}
