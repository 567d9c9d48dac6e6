//! Batches, prepared ahead by worker threads, the same for any number of them.
//!
//! The order of an epoch depends on (seed, epoch), everything that happens to a sample on (seed, epoch, index). So the number of
//! workers changes nothing, and an epoch can be entered at any batch.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::affine::Affine;
use crate::augment::{Augmentation, mirrored};
use crate::crop::{Crop, denormalize, normalize};
use crate::target::{edgemap, pointmap};
use crate::{Dataset, Error, Result, Sample, Scheme, warp};

/// Samples stacked into plain numbers.
///
/// Pictures stay bytes: a network's own input description says how they are ordered and scaled, and bytes move four times faster.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// RGB crops, `[B, S, S, 3]`.
    pub images: Vec<u8>,
    /// Landmarks `[B, K, 2]`, `(2 p + 1) / S - 1`; 0 where unknown.
    pub points: Vec<f32>,
    /// `[B, K]`: 1, or 0 where the landmark is unknown (or hidden, if asked for).
    pub weights: Vec<f32>,
    /// Point maps `[B, K, M, M]`, where asked for.
    pub pointmaps: Option<Vec<f32>>,
    /// Edge maps `[B, E, M, M]`, where asked for.
    pub edgemaps: Option<Vec<f32>>,
    /// From picture to crop, a mirror included.
    pub crops: Vec<Affine>,
    /// Index of each sample in the data set.
    pub indices: Vec<usize>,
    /// `B`.
    pub batch: usize,
    /// `S`.
    pub size: usize,
    /// `K`.
    pub keypoints: usize,
    /// `E`.
    pub edges: usize,
    /// `M`.
    pub map_size: usize,
}

impl Batch {
    /// Landmarks of sample `i` in pixels of its own picture, as far as they were not clamped.
    ///
    /// # Errors
    /// [`Error::Index`] where there is no such sample.
    pub fn points_in_image(&self, i: usize) -> Result<Vec<[f32; 2]>> {
        let crop = self.crops.get(i).ok_or(Error::Index { index: i, len: self.batch })?;
        let back = crop.inverse()?;
        let points = &self.points[2 * i * self.keypoints..2 * (i + 1) * self.keypoints];
        Ok(points.chunks_exact(2).map(|p| back.apply(denormalize([p[0], p[1]], self.size))).collect())
    }
}

/// What becomes of a sample that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// Its batch is an error; later batches still come.
    #[default]
    Fail,
    /// Its batch is one smaller, [`Loader::unreadable`] tells. A batch of nothing else is passed over.
    Skip,
}

/// What a loader prepares.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Samples a batch.
    pub batch_size: usize,
    /// Side of the crops, pixels.
    pub image_size: usize,
    /// Side of the target maps; divides `image_size`.
    pub map_size: usize,
    /// A new order every epoch.
    pub shuffle: bool,
    /// Leave out a last batch that is not full.
    pub drop_last: bool,
    /// Random changes.
    pub augmentation: Augmentation,
    /// Draw point and edge maps.
    pub targets: bool,
    /// Clamp landmarks to `[-1, 1]`, as the reference does in training.
    pub clamp: bool,
    /// Give hidden landmarks weight 0. Off as in the reference: annotators place hidden points too.
    pub only_visible: bool,
    /// What becomes of a sample that cannot be read.
    pub unreadable: Unreadable,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Worker threads; 0 for one a core.
    pub workers: usize,
    /// Batches prepared ahead, at least 1.
    pub prefetch: usize,
}

impl LoaderConfig {
    /// Every sample once, in order, unchanged: for evaluation.
    pub fn evaluation(batch_size: usize, image_size: usize) -> Self {
        Self {
            batch_size,
            image_size,
            map_size: (image_size / 4).max(1),
            shuffle: false,
            drop_last: false,
            augmentation: Augmentation::none(),
            targets: false,
            clamp: false,
            only_visible: false,
            unreadable: Unreadable::Fail,
            seed: 0,
            workers: 0,
            prefetch: 2,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field out of range.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("batch_size", self.batch_size),
            ("image_size", self.image_size),
            ("map_size", self.map_size),
            ("prefetch", self.prefetch),
        ] {
            if value == 0 {
                return Err(Error::Config { field, expected: "at least 1".into(), got: "0".into() });
            }
        }
        if !self.image_size.is_multiple_of(self.map_size) {
            let expected = format!("a divisor of image_size {}", self.image_size);
            return Err(Error::Config { field: "map_size", expected, got: self.map_size.to_string() });
        }
        self.augmentation.validate()
    }
}

/// Prepares the batches of a data set.
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    config: Arc<LoaderConfig>,
    pool: Arc<rayon::ThreadPool>,
    unreadable: Arc<Mutex<BTreeMap<usize, Error>>>,
}

/// One sample of a batch.
struct Item {
    image: Vec<u8>,
    points: Vec<f32>,
    weights: Vec<f32>,
    pointmaps: Vec<f32>,
    edgemaps: Vec<f32>,
    crop: Affine,
    index: usize,
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
        Ok(Self { dataset, config: Arc::new(config), pool: Arc::new(pool), unreadable: Arc::default() })
    }

    /// Number of batches in every epoch.
    pub fn batches_per_epoch(&self) -> usize {
        let (samples, batch) = (self.dataset.len(), self.config.batch_size);
        if self.config.drop_last { samples / batch } else { samples.div_ceil(batch) }
    }

    /// Index and trouble of every sample left out so far under [`Unreadable::Skip`], in the order of their indices.
    pub fn unreadable(&self) -> Vec<(usize, String)> {
        locked(&self.unreadable).iter().map(|(&index, error)| (index, error.to_string())).collect()
    }

    /// The batches of `epoch` from `first_batch` on. Dropping the iterator stops the workers.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Batches {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        if self.config.shuffle {
            order.shuffle(&mut stream(self.config.seed, epoch, u64::from(u32::MAX)));
        }
        let mut batches = Batches {
            dataset: self.dataset.clone(),
            config: self.config.clone(),
            pool: self.pool.clone(),
            unreadable: self.unreadable.clone(),
            order,
            epoch,
            next: first_batch,
            end: self.batches_per_epoch(),
            waiting: VecDeque::new(),
            stop: Arc::default(),
        };
        batches.fill();
        batches
    }
}

/// The random numbers of one sample in one epoch.
fn stream(seed: u64, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch << 32 | (index & 0xffff_ffff));
    rng
}

/// Iterator over the batches of an epoch, in order.
pub struct Batches {
    dataset: Arc<dyn Dataset>,
    config: Arc<LoaderConfig>,
    pool: Arc<rayon::ThreadPool>,
    unreadable: Arc<Mutex<BTreeMap<usize, Error>>>,
    order: Vec<usize>,
    epoch: u64,
    next: usize,
    end: usize,
    waiting: VecDeque<Receiver<Result<Batch>>>,
    stop: Arc<AtomicBool>,
}

impl Batches {
    /// Hands batches to the workers until enough are under way.
    fn fill(&mut self) {
        while self.waiting.len() < self.config.prefetch && self.next < self.end {
            let start = self.next * self.config.batch_size;
            let end = (start + self.config.batch_size).min(self.order.len());
            let indices = self.order[start..end].to_vec();
            let (dataset, config, stop) = (self.dataset.clone(), self.config.clone(), self.stop.clone());
            let (epoch, unreadable) = (self.epoch, self.unreadable.clone());
            let (sender, receiver) = sync_channel(1);
            self.pool.spawn(move || {
                let make = |&index: &usize| {
                    // Nobody wants the batch any more.
                    if stop.load(Ordering::Relaxed) {
                        None
                    } else {
                        Some(guarded(dataset.as_ref(), &config, epoch, index))
                    }
                };
                let Some(items) = indices.par_iter().map(make).collect::<Option<Vec<_>>>() else { return };
                let items = match config.unreadable {
                    Unreadable::Fail => items.into_iter().collect::<Result<Vec<Item>>>(),
                    Unreadable::Skip => Ok(readable(items, &indices, &unreadable)),
                };
                // The iterator may be gone by now.
                let _ = sender.send(items.map(|items| stack(items, &config, dataset.scheme())));
            });
            self.waiting.push_back(receiver);
            self.next += 1;
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let receiver = self.waiting.pop_front()?;
            self.fill();
            let lost = |_| Error::Config {
                field: "loader",
                expected: "a batch".into(),
                got: "a worker that died".into(),
            };
            let batch = receiver.recv().map_err(lost).and_then(|batch| batch);
            if !batch.as_ref().is_ok_and(|batch| batch.batch == 0) {
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

/// [`item`], with a panic made an error: in a worker thread it would end the program.
fn guarded(dataset: &dyn Dataset, config: &LoaderConfig, epoch: u64, index: usize) -> Result<Item> {
    std::panic::catch_unwind(AssertUnwindSafe(|| item(dataset, config, epoch, index))).unwrap_or_else(
        |panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let reason = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            Err(Error::Panicked {
                path: dataset.source(index),
                index,
                reason: reason.unwrap_or_else(|| "no message".into()),
            })
        },
    )
}

/// The items that could be prepared; the others are put down in `unreadable`.
fn readable(
    items: Vec<Result<Item>>,
    indices: &[usize],
    unreadable: &Mutex<BTreeMap<usize, Error>>,
) -> Vec<Item> {
    let keep = |(item, &index): (Result<Item>, &usize)| {
        item.map_err(|error| locked(unreadable).insert(index, error)).ok()
    };
    items.into_iter().zip(indices).filter_map(keep).collect()
}

/// The map, also where a thread died while it held it: an insertion leaves it whole.
fn locked(map: &Mutex<BTreeMap<usize, Error>>) -> MutexGuard<'_, BTreeMap<usize, Error>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

fn item(dataset: &dyn Dataset, config: &LoaderConfig, epoch: u64, index: usize) -> Result<Item> {
    let sample = dataset.get(index)?;
    let scheme = dataset.scheme();
    let mut rng = stream(config.seed, epoch, index as u64);
    let (size, augmentation) = (config.image_size, &config.augmentation);
    let (crop, permutation) = geometry(&sample, scheme, config, &mut rng)?;
    let mut image = warp::warp(&sample.image, &crop, size)?;
    augmentation.apply_photometric(&mut image, &mut rng);

    let k = scheme.keypoints;
    let (mut points, mut weights, mut pixels) = (vec![0f32; 2 * k], vec![0f32; k], vec![[f32::NAN; 2]; k]);
    for (to, from) in permutation.into_iter().enumerate() {
        let Some(&point) = sample.points.get(from).filter(|p| p.iter().all(|v| v.is_finite())) else {
            continue;
        };
        let hidden = sample.visibility.as_ref().is_some_and(|seen| !seen.get(from).copied().unwrap_or(true));
        weights[to] = if hidden && config.only_visible { 0.0 } else { 1.0 };
        pixels[to] = crop.apply(point);
        let normal = normalize(pixels[to], size);
        let normal = if config.clamp { normal.map(|v| v.clamp(-1.0, 1.0)) } else { normal };
        points[2 * to..2 * to + 2].copy_from_slice(&normal);
    }
    let (pointmaps, edgemaps) =
        if config.targets { maps(&pixels, scheme, config) } else { Default::default() };
    Ok(Item { image: image.into_raw(), points, weights, pointmaps, edgemaps, crop, index })
}

/// The one map from picture to crop (mirror, crop, jitter), and which point of the sample each keypoint is.
fn geometry(
    sample: &Sample,
    scheme: &Scheme,
    config: &LoaderConfig,
    rng: &mut ChaCha8Rng,
) -> Result<(Affine, Vec<usize>)> {
    let crop = Crop::new(config.image_size);
    let flip = config.augmentation.flip.draw(rng);
    let jitter = config.augmentation.similarity.draw(config.image_size, rng);
    if !flip {
        return Ok((crop.transform(&sample.face)?.then(jitter), (0..scheme.keypoints).collect()));
    }
    let width = sample.image.width();
    let crop = crop.transform(&mirrored(&sample.face, width))?;
    Ok((Affine::mirror(f64::from(width)).then(crop).then(jitter), scheme.flip_permutation()))
}

fn maps(pixels: &[[f32; 2]], scheme: &Scheme, config: &LoaderConfig) -> (Vec<f32>, Vec<f32>) {
    let (size, m) = (config.image_size, config.map_size);
    let mut points = vec![0f32; pixels.len() * m * m];
    for (map, &point) in points.chunks_exact_mut(m * m).zip(pixels) {
        pointmap(point, size, map, m);
    }
    let mut edges = vec![0f32; scheme.edges.len() * m * m];
    for (map, edge) in edges.chunks_exact_mut(m * m).zip(&scheme.edges) {
        let along: Vec<[f32; 2]> = edge.points.iter().map(|&k| pixels[k]).collect();
        edgemap(&along, edge.closed, size, map, m);
    }
    (points, edges)
}

fn stack(items: Vec<Item>, config: &LoaderConfig, scheme: &Scheme) -> Batch {
    let concat = |part: fn(&Item) -> &[f32]| items.iter().map(part).collect::<Vec<_>>().concat();
    let maps = |part: fn(&Item) -> &[f32]| config.targets.then(|| concat(part));
    Batch {
        images: items.iter().map(|item| item.image.as_slice()).collect::<Vec<_>>().concat(),
        points: concat(|item| &item.points),
        weights: concat(|item| &item.weights),
        pointmaps: maps(|item| &item.pointmaps),
        edgemaps: maps(|item| &item.edgemaps),
        crops: items.iter().map(|item| item.crop).collect(),
        indices: items.iter().map(|item| item.index).collect(),
        batch: items.len(),
        size: config.image_size,
        keypoints: scheme.keypoints,
        edges: scheme.edges.len(),
        map_size: config.map_size,
    }
}
