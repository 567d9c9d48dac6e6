//! Threads that take jobs, first in, first out.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope};

use super::locked;
use crate::{Error, Result};

/// A job, or all the jobs of a thread.
type Work<'d> = Box<dyn FnOnce() + Send + 'd>;

/// The end of the queue that jobs go in at. The threads end when every clone of it is gone.
#[derive(Clone)]
pub(super) struct Workers<'d>(Sender<Work<'d>>);

impl Workers<'static> {
    /// `count` threads, one a core for 0, that live as long as they are needed.
    pub(super) fn spawn(count: usize) -> Result<Self> {
        Self::start(count, |builder, work| builder.spawn(work).map(drop))
    }
}

impl<'scope> Workers<'scope> {
    /// As [`Workers::spawn`], with threads that may borrow what outlives `scope`.
    pub(super) fn spawn_scoped(count: usize, scope: &'scope Scope<'scope, '_>) -> Result<Self> {
        Self::start(count, |builder, work| builder.spawn_scoped(scope, work).map(drop))
    }
}

impl<'d> Workers<'d> {
    fn start(count: usize, spawn: impl Fn(Builder, Work<'d>) -> std::io::Result<()>) -> Result<Self> {
        let (sender, receiver) = channel::<Work>();
        let jobs = Arc::new(Mutex::new(receiver));
        let count = if count == 0 { rayon::current_num_threads() } else { count };
        for i in 0..count {
            let jobs = jobs.clone();
            let work = move || {
                while let Some(job) = next(&jobs) {
                    job();
                }
            };
            let builder = Builder::new().name(format!("star-loader-{i}"));
            spawn(builder, Box::new(work)).map_err(|error| Error::Config {
                field: "workers",
                expected: "threads".into(),
                got: error.to_string(),
            })?;
        }
        Ok(Self(sender))
    }

    /// Jobs are begun in the order of these calls.
    pub(super) fn push(&self, job: impl FnOnce() + Send + 'd) {
        // The threads outlive the queue; were they gone, whoever waits for the batch finds its channel closed.
        let _ = self.0.send(Box::new(job));
    }
}

fn next<'d>(jobs: &Mutex<Receiver<Work<'d>>>) -> Option<Work<'d>> {
    locked(jobs).recv().ok()
}
