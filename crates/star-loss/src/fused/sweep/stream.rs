//! Copies past the caches.

use super::real::Real;

/// Copies past the caches, for outputs that are larger than these: a plain store would first read what it overwrites.
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "stores that bypass the cache exist as intrinsics alone; sizes and alignment are checked here"
)]
pub(crate) fn stream<T: Real>(from: &[T], to: &mut [T]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    const WIDTH: usize = size_of::<__m128i>();
    let aligned = to.as_ptr().cast::<u8>().align_offset(WIDTH) == 0;
    if from.len() != to.len() || !size_of_val(from).is_multiple_of(WIDTH) || !aligned {
        return to.copy_from_slice(from);
    }
    let vectors = size_of_val(from) / WIDTH;
    let (from, to) = (from.as_ptr().cast::<__m128i>(), to.as_mut_ptr().cast::<__m128i>());
    // SAFETY: both slices hold `vectors` whole vectors of plain floats, `to` is aligned, SSE2 is part of x86-64, and the fence
    // orders these stores before what other threads do next.
    unsafe {
        for i in 0..vectors {
            _mm_stream_si128(to.add(i), _mm_loadu_si128(from.add(i)));
        }
        _mm_sfence();
    }
}

/// Plain copy where the machine has no such stores.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn stream<T: Real>(from: &[T], to: &mut [T]) {
    to.copy_from_slice(from);
}
