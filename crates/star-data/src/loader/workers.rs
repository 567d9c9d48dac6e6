//! Threads that prepare samples, first in, first out.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope};

use super::epoch::Pending;
use super::locked;
use crate::{Error, Result};

/// One sample of a batch under way: the batch, and the sample's place in it.
pub(super) type Job<'d> = (Arc<Pending<'d>>, usize);

type Work<'d> = Box<dyn FnOnce() + Send + 'd>;

/// The end of the queue that jobs go in at. The threads end when every clone of it is gone.
#[derive(Clone)]
pub(super) struct Workers<'d>(Sender<Job<'d>>);

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
        let (sender, receiver) = channel::<Job>();
        let jobs = Arc::new(Mutex::new(receiver));
        let count = if count == 0 { rayon::current_num_threads() } else { count };
        for i in 0..count {
            let jobs = jobs.clone();
            let work = move || {
                while let Some((batch, place)) = next(&jobs) {
                    batch.prepare(place);
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

    /// Samples are worked on in the order of these calls, so those of an earlier batch never wait behind those of a later one.
    pub(super) fn push(&self, job: Job<'d>) {
        // The threads outlive the queue; were they gone, whoever waits for the batch is told that it is lost.
        let _ = self.0.send(job);
    }
}

fn next<'d>(jobs: &Mutex<Receiver<Job<'d>>>) -> Option<Job<'d>> {
    locked(jobs).recv().ok()
}
