//! A bound on memory: an allocator that counts, and ends the process where a reader takes more than its input can be worth.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that are allocated.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// Bytes that may be.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Bytes that were, at most, since it was set.
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// The highest peak that was told of.
static TOLD: AtomicUsize = AtomicUsize::new(1 << 20);

/// Runs `read`, which may hold `bound` bytes more than are held now.
pub(crate) fn within(bound: usize, read: impl FnOnce()) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    MOST.store(before.saturating_add(bound), Relaxed);
    read();
    MOST.store(usize::MAX, Relaxed);
    let peak = PEAK.load(Relaxed) - before;
    if peak > TOLD.load(Relaxed) {
        TOLD.store(peak + peak / 4, Relaxed);
        eprintln!("memory: {peak} of {bound} bytes");
    }
}

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed).saturating_add(bytes);
    let most = MOST.load(Relaxed);
    if live > most {
        // What follows allocates, too.
        MOST.store(usize::MAX, Relaxed);
        eprintln!("memory: {bytes} bytes more make {live}, {most} is the bound");
        std::process::abort();
    }
    PEAK.fetch_max(live, Relaxed);
}

fn shrink(bytes: usize) {
    LIVE.fetch_sub(bytes, Relaxed);
}

// SAFETY: everything is the system's allocator; sizes are counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both exist while one is copied into the other.
        grow(size);
        shrink(layout.size());
        unsafe { System.realloc(pointer, layout, size) }
    }
}
