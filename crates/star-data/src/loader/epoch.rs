//! The batches of one epoch, in order, a few of them under way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::item::Item;
use super::workers::Workers;
use super::{Batch, Loader, Shared, Unreadable, locked, order};
use crate::{Error, Result};

/// Iterator over the batches of an epoch, in order.
pub struct Batches<'d> {
    shared: Arc<Shared<'d>>,
    workers: Workers<'d>,
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

impl<'d> Batches<'d> {
    pub(super) fn new(loader: &Loader<'d>, epoch: u64, first_batch: usize) -> Self {
        let mut batches = Self {
            order: order::order(&loader.shared.dataset, &loader.shared.config, epoch),
            shared: loader.shared.clone(),
            workers: loader.workers.clone(),
            epoch,
            next: first_batch,
            done: first_batch,
            end: loader.batches_per_epoch(),
            coming: VecDeque::new(),
            stop: Arc::default(),
            waited: Duration::ZERO,
        };
        batches.fill();
        batches
    }

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
                // In this order, samples of an earlier batch never wait behind those of a later one.
                self.workers.push(move || pending.prepare(place));
            }
            self.coming.push_back(receiver);
            self.next += 1;
        }
    }
}

impl Iterator for Batches<'_> {
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

impl Drop for Batches<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A batch under way.
pub(super) struct Pending<'d> {
    shared: Arc<Shared<'d>>,
    indices: Vec<usize>,
    epoch: u64,
    /// What is ready, by place in the batch.
    items: Mutex<Vec<Option<Result<Item>>>>,
    sender: SyncSender<Result<Batch>>,
    stop: Arc<AtomicBool>,
}

impl Pending<'_> {
    /// Prepares one sample; the last one to be ready makes the batch.
    pub(super) fn prepare(&self, place: usize) {
        // Nobody wants the batch any more.
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        let item = Item::prepare(&self.shared, self.epoch, self.indices[place]);
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
        let mut unreadable = locked(&self.shared.unreadable);
        let keep = |(item, &index): (Result<Item>, &usize)| {
            item.map_err(|error| unreadable.insert(index, error)).ok()
        };
        Ok(items.into_iter().zip(&self.indices).filter_map(keep).collect())
    }
}
