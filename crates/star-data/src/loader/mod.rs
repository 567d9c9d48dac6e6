//! Batches, prepared ahead by worker threads, the same for any number of them.
//!
//! The order of an epoch depends on (seed, epoch), everything that happens to a sample on (seed, epoch, index). So the number of
//! workers changes nothing, and an epoch can be entered at any batch.
//!
//! Samples are handed to the workers one by one in the order of their batches, so that all of them work on the batch that is waited
//! for; whoever finishes the last sample of a batch stacks it. No worker ever waits for another.

mod batch;
mod config;
mod epoch;
mod item;
mod order;
mod targets;
mod workers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

pub use batch::Batch;
pub use config::{LoaderConfig, Part, SHUFFLE_BUFFER, Unreadable};
pub use epoch::Batches;

use self::workers::Workers;
use crate::{Dataset, Error, Result};

/// Prepares the batches of a data set: of one that it owns, or of one that it borrows inside a scope.
///
/// ```
/// use star_data::loader::{Loader, LoaderConfig};
/// use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
///
/// let faces = SyntheticFaces::new(SyntheticConfig { count: 3, ..Default::default() })?;
/// let count = std::thread::scope(|scope| {
///     let loader = Loader::scoped(scope, &faces, LoaderConfig::evaluation(2, 64))?;
///     Ok::<_, star_data::Error>(loader.epoch(0, 0).count())
/// })?;
/// assert_eq!(count, 2);
/// # Ok::<(), star_data::Error>(())
/// ```
pub struct Loader<'d> {
    shared: Arc<Shared<'d>>,
    workers: Workers<'d>,
}

/// What every worker needs.
struct Shared<'d> {
    dataset: Box<dyn Dataset + 'd>,
    config: LoaderConfig,
    /// The keypoint that each one becomes where an image is mirrored.
    mirror: Vec<usize>,
    /// Samples that could not be read, by index.
    unreadable: Mutex<BTreeMap<usize, Error>>,
}

impl Loader<'static> {
    /// A loader over `dataset` with threads of its own. An `Arc` of a data set is a data set too.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range or threads that cannot be had, [`Error::Scheme`] for a scheme whose parts do
    /// not fit each other, and for images that may be mirrored under a scheme that does not say what then swaps.
    pub fn new(dataset: impl Dataset + 'static, config: LoaderConfig) -> Result<Self> {
        let shared = Shared::new(dataset, config)?;
        let workers = Workers::spawn(shared.config.workers)?;
        Ok(Self { shared, workers })
    }
}

impl<'scope> Loader<'scope> {
    /// As [`Loader::new`], over a data set that is borrowed: its threads belong to a [`std::thread::scope`]. The loader and its
    /// batches must be gone when the scope's closure returns, or the scope waits for ever.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn scoped(
        scope: &'scope Scope<'scope, '_>,
        dataset: impl Dataset + 'scope,
        config: LoaderConfig,
    ) -> Result<Self> {
        let shared = Shared::new(dataset, config)?;
        let workers = Workers::spawn_scoped(shared.config.workers, scope)?;
        Ok(Self { shared, workers })
    }
}

impl<'d> Loader<'d> {
    /// Number of batches in every epoch.
    pub fn batches_per_epoch(&self) -> usize {
        let (samples, batch) = (self.shared.dataset.len(), self.shared.config.batch_size);
        if self.shared.config.drop_last { samples / batch } else { samples.div_ceil(batch) }
    }

    /// Index and error of every sample left out so far under [`Unreadable::Skip`], in the order of their indices.
    pub fn unreadable(&self) -> Vec<(usize, String)> {
        locked(&self.shared.unreadable).iter().map(|(&index, error)| (index, error.to_string())).collect()
    }

    /// The batches of `epoch` from `first_batch` on. Dropping the iterator stops the workers.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Batches<'d> {
        Batches::new(self, epoch, first_batch)
    }
}

impl<'d> Shared<'d> {
    fn new(dataset: impl Dataset + 'd, config: LoaderConfig) -> Result<Arc<Self>> {
        config.validate()?;
        dataset.scheme().validate()?;
        let flips = config.augmentation.flip.probability > 0.0;
        let mirror = if flips { dataset.scheme().flip_permutation()? } else { Vec::new() };
        Ok(Arc::new(Self { dataset: Box::new(dataset), config, mirror, unreadable: Mutex::default() }))
    }
}

/// What a mutex holds, also where a thread died while it held it: every change made under these is complete.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
