//! How freed memory is kept for the next step.

/// Keeps freed memory instead of handing it back to the system between training steps.
///
/// A training step allocates and frees hundreds of buffers of many megabytes. glibc maps each afresh and the system clears every
/// page of it, which took a seventh of a step of the full-size network. With this a program holds on to the most memory that it
/// ever had from the allocator; a network's own large buffers stay with it until the number of images changes. Call it once, before other threads allocate. Does nothing where the C library is not glibc.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "the allocator is set by a C function")]
        // SAFETY: both calls set numbers of the allocator, and are allowed at any time.
        let set =
            unsafe { libc::mallopt(libc::M_MMAP_MAX, 0) + libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX) };
        // A C library that refuses works as it always does.
        debug_assert_eq!(set, 2);
    }
}
