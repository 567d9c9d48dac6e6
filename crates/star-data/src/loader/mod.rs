//! Batches, prepared ahead by worker threads, the same for any number of them.
//!
//! The order of an epoch depends on (seed, epoch), everything that happens to a sample on (seed, epoch, index). So the number of
//! workers changes nothing, and an epoch can be entered at any batch.
//!
//! Samples are handed to the workers one by one in the order of their batches, so that all of them work on the batch that is waited
//! for; whoever finishes the last sample of a batch stacks it. No worker ever waits for another.

mod batch;
mod config;
mod item;
mod order;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use batch::Batch;
pub use config::{LoaderConfig, Part, SHUFFLE_BUFFER, Unreadable};
use item::Item;

use crate::{Dataset, Error, Result};

/// Samples that could not be read, by index.
type Trouble = Mutex<BTreeMap<usize, Error>>;

/// Prepares the batches of a data set.
pub struct Loader {
    shared: Arc<Shared>,
    pool: Arc<rayon::ThreadPool>,
}

/// What every worker needs.
struct Shared {
    dataset: Arc<dyn Dataset>,
    config: LoaderConfig,
    unreadable: Trouble,
}

impl Loader {
    /// A loader over `dataset` with threads of its own.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range or threads that cannot be had, [`Error::Scheme`] for a scheme whose parts do
    /// not fit each other.
    pub fn new(dataset: Arc<dyn Dataset>, config: LoaderConfig) -> Result<Self> {
        config.validate()?;
        dataset.scheme().validate()?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.workers)
            .thread_name(|i| format!("star-loader-{i}"))
            .build()
            .map_err(|error| Error::Config {
                field: "workers",
                expected: "threads".into(),
                got: error.to_string(),
            })?;
        let shared = Shared { dataset, config, unreadable: Trouble::default() };
        Ok(Self { shared: Arc::new(shared), pool: Arc::new(pool) })
    }

    /// Number of batches in every epoch.
    pub fn batches_per_epoch(&self) -> usize {
        let (samples, batch) = (self.shared.dataset.len(), self.shared.config.batch_size);
        if self.shared.config.drop_last { samples / batch } else { samples.div_ceil(batch) }
    }

    /// Index and trouble of every sample left out so far under [`Unreadable::Skip`], in the order of their indices.
    pub fn unreadable(&self) -> Vec<(usize, String)> {
        locked(&self.shared.unreadable).iter().map(|(&index, error)| (index, error.to_string())).collect()
    }

    /// The batches of `epoch` from `first_batch` on. Dropping the iterator stops the workers.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Batches {
        let mut batches = Batches {
            order: order::order(self.shared.dataset.as_ref(), &self.shared.config, epoch),
            shared: self.shared.clone(),
            pool: self.pool.clone(),
            epoch,
            next: first_batch,
            done: first_batch,
            end: self.batches_per_epoch(),
            coming: VecDeque::new(),
            stop: Arc::default(),
            waited: Duration::ZERO,
        };
        batches.fill();
        batches
    }
}

/// Iterator over the batches of an epoch, in order.
pub struct Batches {
    shared: Arc<Shared>,
    pool: Arc<rayon::ThreadPool>,
    order: Vec<usize>,
    epoch: u64,
    next: usize,
    /// Batches handed out or passed over, those before the point of entry included.
    done: usize,
    end: usize,
    coming: VecDeque<Receiver<Result<Batch>>>,
    stop: Arc<AtomicBool>,
    waited: Duration,
}

impl Batches {
    /// How long batches were waited for so far: the time in which whoever trains on them had nothing to do.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Where to enter the epoch to go on after the batches had so far: their number, with those passed over and those before the point
    /// of entry.
    pub fn position(&self) -> usize {
        self.done
    }

    /// Hands batches to the workers until enough are under way.
    fn fill(&mut self) {
        let config = &self.shared.config;
        while self.coming.len() < config.prefetch && self.next < self.end {
            let start = self.next * config.batch_size;
            let batch = &self.order[start..(start + config.batch_size).min(self.order.len())];
            let indices = batch[config.part.of(batch.len())].to_vec();
            let (count, (sender, receiver)) = (indices.len(), sync_channel(1));
            let pending = Arc::new(Pending {
                shared: self.shared.clone(),
                indices,
                epoch: self.epoch,
                items: Mutex::new((0..count).map(|_| None).collect()),
                sender,
                stop: self.stop.clone(),
            });
            if count == 0 {
                pending.send(Vec::new());
            }
            for place in 0..count {
                let pending = pending.clone();
                // First in, first out: samples of an earlier batch never wait behind those of a later one.
                self.pool.spawn_fifo(move || pending.prepare(place));
            }
            self.coming.push_back(receiver);
            self.next += 1;
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let receiver = self.coming.pop_front()?;
            self.done += 1;
            self.fill();
            let lost = |_| Error::Config {
                field: "loader",
                expected: "a batch".into(),
                got: "a worker that died".into(),
            };
            let start = Instant::now();
            let batch = receiver.recv().map_err(lost).and_then(|batch| batch);
            self.waited += start.elapsed();
            let alone = self.shared.config.part.count == 1;
            if !(alone && batch.as_ref().is_ok_and(|batch| batch.batch == 0)) {
                return Some(batch);
            }
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A batch under way.
struct Pending {
    shared: Arc<Shared>,
    indices: Vec<usize>,
    epoch: u64,
    /// What is ready, by place in the batch.
    items: Mutex<Vec<Option<Result<Item>>>>,
    sender: SyncSender<Result<Batch>>,
    stop: Arc<AtomicBool>,
}

impl Pending {
    /// Prepares one sample; the last one to be ready makes the batch.
    fn prepare(&self, place: usize) {
        // Nobody wants the batch any more.
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        let Shared { dataset, config, .. } = self.shared.as_ref();
        let item = Item::prepare(dataset.as_ref(), config, self.epoch, self.indices[place]);
        let all = {
            let mut items = locked(&self.items);
            items[place] = Some(item);
            if items.iter().any(Option::is_none) {
                return;
            }
            std::mem::take(&mut *items)
        };
        self.send(all.into_iter().flatten().collect());
    }

    fn send(&self, items: Vec<Result<Item>>) {
        let Shared { dataset, config, .. } = self.shared.as_ref();
        let items = self.readable(items);
        // The iterator may be gone by now.
        let _ = self.sender.send(items.map(|items| Batch::stack(&items, config, dataset.scheme())));
    }

    /// The items, or the first error; where unreadable ones are left out, those that could be prepared.
    fn readable(&self, items: Vec<Result<Item>>) -> Result<Vec<Item>> {
        if self.shared.config.unreadable == Unreadable::Fail {
            return items.into_iter().collect();
        }
        let mut trouble = locked(&self.shared.unreadable);
        let keep =
            |(item, &index): (Result<Item>, &usize)| item.map_err(|error| trouble.insert(index, error)).ok();
        Ok(items.into_iter().zip(&self.indices).filter_map(keep).collect())
    }
}

/// What a mutex holds, also where a thread died while it held it: every change made under these is whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
