//! Memory for a training step: buffers that come back when they are dropped, and are handed out again.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::plan::memory::Buffer;
use crate::plan::ops::team::Team;

/// Buffers and scratch memory that nobody uses at the moment. Kept from step to step, since steps on as many images ask for the same
/// sizes; given back when the number of images changes.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Free>>);

#[derive(Default)]
struct Free {
    /// By number of floats.
    buffers: HashMap<usize, Vec<Buffer>>,
    /// Images of the step that they come from.
    images: usize,
    teams: Vec<Team>,
}

fn lock(free: &Mutex<Free>) -> MutexGuard<'_, Free> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Floats on a cache line, given back to their [`Memory`] on drop.
pub(super) struct Floats {
    buffer: Buffer,
    len: usize,
    home: Arc<Mutex<Free>>,
}

impl Memory {
    /// Makes it memory for steps on `images` images.
    pub(super) fn prepare(&self, images: usize) {
        let mut free = lock(&self.0);
        if std::mem::replace(&mut free.images, images) != images {
            free.buffers.clear();
        }
    }

    /// Floats that nobody uses at the moment.
    #[cfg(test)]
    pub(super) fn spare(&self) -> usize {
        lock(&self.0).buffers.iter().map(|(len, buffers)| len * buffers.len()).sum()
    }

    /// `len` floats, which hold what they held before.
    pub(super) fn take(&self, len: usize) -> Floats {
        let free = lock(&self.0).buffers.get_mut(&len).and_then(Vec::pop);
        let mut buffer = free.unwrap_or_default();
        let values = buffer.take(len);
        // What nobody has written must show in a test.
        if cfg!(test) {
            values.fill(f32::NAN);
        }
        Floats { buffer, len, home: Arc::clone(&self.0) }
    }

    /// `len` floats, all 0.
    pub(super) fn zeros(&self, len: usize) -> Floats {
        let mut floats = self.take(len);
        floats.fill(0.0);
        floats
    }

    /// Calls `work` with each of `0..tasks` on the threads of the current pool, each with scratch memory of its own.
    pub(super) fn each(&self, tasks: usize, work: impl Fn(usize, &mut Buffer) + Sync) {
        let free = lock(&self.0).teams.pop();
        let mut team = free.unwrap_or_else(|| Team::new(1));
        team.resize(rayon::current_num_threads());
        team.each(tasks, work);
        lock(&self.0).teams.push(team);
    }

    /// Calls `work` with a team of `threads` threads.
    pub(super) fn with_team<R>(&self, threads: usize, work: impl FnOnce(&mut Team) -> R) -> R {
        let free = lock(&self.0).teams.pop();
        let mut team = free.unwrap_or_else(|| Team::new(1));
        team.resize(threads);
        let result = work(&mut team);
        lock(&self.0).teams.push(team);
        result
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.buffer.get(self.len)
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.buffer.take(self.len)
    }
}

impl Drop for Floats {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        lock(&self.home).buffers.entry(self.len).or_default().push(buffer);
    }
}
