//! The threads that work on one image, each with scratch memory of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::memory::Buffer;

/// Scratch memory of each thread that may work on an image.
pub(crate) struct Team {
    scratch: Vec<Buffer>,
}

impl Team {
    /// For `threads` threads of the current rayon pool; 1 stays on the calling thread.
    pub(crate) fn new(threads: usize) -> Self {
        Self { scratch: (0..threads.max(1)).map(|_| Buffer::default()).collect() }
    }

    /// Makes it one of `threads` threads, keeping what memory there is.
    pub(crate) fn resize(&mut self, threads: usize) {
        self.scratch.resize_with(threads.max(1), Buffer::default);
    }

    pub(crate) fn threads(&self) -> usize {
        self.scratch.len()
    }

    /// Bytes of scratch memory held.
    pub(crate) fn bytes(&self) -> usize {
        self.scratch.iter().map(Buffer::bytes).sum()
    }

    /// Calls `work` with each of `0..tasks`, on whichever thread is free, and waits for all of them.
    pub(crate) fn each(&mut self, tasks: usize, work: impl Fn(usize, &mut Buffer) + Sync) {
        let Some((mine, others)) = self.scratch.split_first_mut() else { return };
        if tasks <= 1 || others.is_empty() {
            for task in 0..tasks {
                work(task, mine);
            }
            return;
        }
        let next = AtomicUsize::new(0);
        let take = |scratch: &mut Buffer| {
            loop {
                // Only hands out numbers: what the tasks write is published by the end of the scope.
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                work(task, scratch);
            }
        };
        let take = &take;
        rayon::scope(|scope| {
            for scratch in others.iter_mut().take(tasks - 1) {
                scope.spawn(move |_| take(scratch));
            }
            take(mine);
        });
    }
}
