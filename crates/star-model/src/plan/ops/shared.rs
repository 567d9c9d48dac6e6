//! An output that several threads write to, each its own part.

#![expect(
    unsafe_code,
    reason = "threads write to parts of one slice that no iterator of chunks can describe"
)]

use std::marker::PhantomData;

/// A mutable slice that threads share.
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: handing out pointers is safe; who writes through them promises (where it does) that parts are disjoint.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), lifetime: PhantomData }
    }

    /// A pointer to value `at`, from which `count` values may be touched.
    ///
    /// # Panics
    /// When they are not all inside the slice.
    pub(crate) fn part(&self, at: usize, count: usize) -> *mut f32 {
        assert!(at <= self.len && count <= self.len - at, "a part beyond the end of an output");
        // SAFETY: `at` is inside the slice or at its end, asserted above.
        unsafe { self.start.add(at) }
    }

    /// Calls `work` with part `n` of parts of `size` values.
    ///
    /// # Panics
    /// When it is not all inside the slice.
    ///
    /// # Safety
    /// Nobody else may read or write the part meanwhile.
    pub(crate) unsafe fn with_part(&self, n: usize, size: usize, work: impl FnOnce(&mut [f32])) {
        // SAFETY: the part is inside the slice, asserted in `part`, and the caller's alone.
        work(unsafe { std::slice::from_raw_parts_mut(self.part(n * size, size), size) });
    }
}

/// A pointer to value `at` of `slice`, from which `count` values may be read.
///
/// # Panics
/// When they are not all inside the slice.
pub(crate) fn part(slice: &[f32], at: usize, count: usize) -> *const f32 {
    slice[at..at + count].as_ptr()
}
