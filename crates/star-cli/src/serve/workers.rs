//! How much is done at a time: so many images are looked at, so many requests wait, and no more are let in.

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of requests: those at work, and those that wait, which come first in the order that they came in.
pub(super) struct Workers {
    places: Arc<Semaphore>,
    at_work: Arc<Semaphore>,
    /// All of the places.
    count: u32,
}

/// A request's place. It is given up when the work on it is over, whoever still waits for that.
pub(super) struct Place {
    at_work: Arc<Semaphore>,
    held: OwnedSemaphorePermit,
}

impl Workers {
    /// So many at work, and so many that wait.
    pub(super) fn new(parallel: NonZero<usize>, queue: usize) -> Self {
        let count = parallel.get().saturating_add(queue).min(u32::MAX as usize >> 4);
        Self {
            places: Arc::new(Semaphore::new(count)),
            at_work: Arc::new(Semaphore::new(parallel.get())),
            count: count as u32,
        }
    }

    /// A place, where one is free.
    pub(super) fn enter(&self) -> Option<Place> {
        let held = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { at_work: Arc::clone(&self.at_work), held })
    }

    /// Waits until no request is there.
    pub(super) async fn idle(&self) {
        let _ = self.places.acquire_many(self.count).await;
    }
}

impl Place {
    /// Runs `work` on a thread of its own when it is this request's turn. Where nobody waits for its result any more, work that was begun
    /// is ended all the same, and work that was not is not begun; `None` where it panicked.
    pub(super) async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.at_work).acquire_owned().await.ok()?;
        let work = move || {
            let result = work();
            drop((turn, self.held));
            result
        };
        tokio::task::spawn_blocking(work).await.ok()
    }
}
