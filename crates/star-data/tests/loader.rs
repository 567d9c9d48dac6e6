//! The loader's laws: worker count and point of entry change nothing, epochs differ, errors come through.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;

use star_data::crop::denormalize;
use star_data::loader::{Batch, Loader, LoaderConfig, Part};
use star_data::synthetic::{Labels, SyntheticConfig, SyntheticFaces};
use star_data::{Dataset, Error, Result, Sample, Scheme};

/// Pixels, after a way through normalised f32 coordinates and back.
const TOLERANCE: f32 = 1e-2;

fn faces(count: usize) -> Arc<SyntheticFaces> {
    let config = SyntheticConfig { count, image_size: 96, labels: Labels::Exact, ..Default::default() };
    Arc::new(SyntheticFaces::new(config).unwrap())
}

fn training(workers: usize) -> LoaderConfig {
    LoaderConfig { seed: 5, workers, ..LoaderConfig::training(3, 64) }
}

fn batches(config: LoaderConfig, epoch: u64, first: usize) -> Vec<Batch> {
    Loader::new(faces(10), config).unwrap().epoch(epoch, first).collect::<Result<_>>().unwrap()
}

#[test]
fn worker_count_changes_no_byte() {
    let one = batches(training(1), 4, 0);
    assert_eq!(one.len(), 3);
    for workers in [2, 8] {
        assert_eq!(batches(training(workers), 4, 0), one, "{workers} workers");
    }
}

#[test]
fn an_epoch_entered_in_the_middle_goes_on_as_if_run_from_the_start() {
    assert_eq!(batches(training(2), 1, 2), batches(training(2), 1, 0)[2..]);
}

#[test]
fn epochs_and_seeds_differ_and_every_sample_comes_once() {
    let order = |epoch, seed| -> Vec<usize> {
        let config = LoaderConfig { seed, drop_last: false, ..training(2) };
        batches(config, epoch, 0).iter().flat_map(|batch| batch.indices.clone()).collect()
    };
    let first = order(0, 5);
    assert_ne!(first, order(1, 5));
    assert_ne!(first, order(0, 6));
    let mut sorted = first;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..10).collect::<Vec<_>>());
}

#[test]
fn the_parts_of_every_batch_are_together_the_batch_and_share_no_sample() {
    let part = |index, count, batch_size, epoch, drop_last| {
        let part = Part { index, count };
        batches(LoaderConfig { part, batch_size, drop_last, ..training(2) }, epoch, 0)
    };
    for (count, batch_size, epoch, drop_last) in
        [(2, 4, 0, true), (3, 3, 1, true), (3, 4, 2, false), (4, 3, 0, false)]
    {
        let whole = part(0, 1, batch_size, epoch, drop_last);
        let parts: Vec<Vec<Batch>> =
            (0..count).map(|index| part(index, count, batch_size, epoch, drop_last)).collect();
        for (step, batch) in whole.iter().enumerate() {
            let joined = |of: fn(&Batch) -> Vec<f32>| {
                parts.iter().flat_map(|part| of(&part[step])).collect::<Vec<_>>()
            };
            let indices: Vec<usize> = parts.iter().flat_map(|part| part[step].indices.clone()).collect();
            assert_eq!(indices, batch.indices);
            let images: Vec<u8> = parts.iter().flat_map(|part| part[step].images.clone()).collect();
            assert_eq!(images, batch.images);
            assert_eq!(joined(|batch| batch.points.clone()), batch.points);
            assert_eq!(joined(|batch| batch.edgemaps.clone().unwrap()), batch.edgemaps.clone().unwrap());
        }
        assert!(parts.iter().all(|part| part.len() == whole.len()));
    }
}

#[test]
fn evaluation_gives_the_truth_back_in_image_pixels() {
    let set = faces(10);
    for batch in batches(LoaderConfig::evaluation(4, 64), 0, 0) {
        for i in 0..batch.batch {
            let truth = set.truth(batch.indices[i]);
            for (a, b) in batch.points_in_image(i).unwrap().iter().zip(&truth) {
                assert!(
                    (a[0] - b[0]).abs() < TOLERANCE && (a[1] - b[1]).abs() < TOLERANCE,
                    "{a:?} against {b:?}"
                );
            }
        }
    }
}

#[test]
fn maps_have_their_bumps_where_the_points_are() {
    let batch = &batches(LoaderConfig { targets: true, ..LoaderConfig::evaluation(2, 64) }, 0, 0)[0];
    let (k, m) = (batch.keypoints, batch.map_size);
    let maps = batch.pointmaps.as_ref().unwrap();
    assert_eq!((maps.len(), batch.edgemaps.as_ref().unwrap().len()), (2 * k * m * m, 2 * 9 * m * m));
    for (i, map) in maps.chunks_exact(m * m).enumerate() {
        let [x, y] = denormalize([batch.points[2 * i], batch.points[2 * i + 1]], 64);
        if !(4.0..60.0).contains(&x) || !(4.0..60.0).contains(&y) {
            continue;
        }
        let best = (0..m * m).max_by(|&a, &b| map[a].total_cmp(&map[b])).unwrap();
        // one map pixel is four image pixels, its middle at 1.5
        let (bx, by) = ((best % m) as f32 * 4.0 + 1.5, (best / m) as f32 * 4.0 + 1.5);
        assert!((bx - x).abs() <= 3.1 && (by - y).abs() <= 3.1, "point {i} at {x} {y}, bump at {bx} {by}");
    }
}

struct Broken;

impl Dataset for Broken {
    fn len(&self) -> usize {
        6
    }

    fn scheme(&self) -> &Scheme {
        static SCHEME: std::sync::OnceLock<Scheme> = std::sync::OnceLock::new();
        SCHEME.get_or_init(|| Scheme::named("wflw").unwrap())
    }

    fn get(&self, index: usize) -> Result<Sample> {
        if index == 4 {
            return Err(Error::Decode { path: "four.jpg".into(), reason: "cut".into() });
        }
        faces(6).get(index)
    }
}

#[test]
fn a_sample_that_cannot_be_read_is_an_error_in_its_batch() {
    let loader = Loader::new(Arc::new(Broken), LoaderConfig::evaluation(2, 32)).unwrap();
    let results: Vec<_> = loader.epoch(0, 0).collect();
    assert!(results[0].is_ok() && results[1].is_ok());
    assert!(results[2].as_ref().unwrap_err().to_string().contains("four.jpg"));
}

#[test]
fn leaving_an_epoch_early_is_fine() {
    let loader = Loader::new(faces(100), training(2)).unwrap();
    assert!(loader.epoch(0, 0).next().unwrap().is_ok());
    assert_eq!(loader.epoch(1, 31).count(), 2);
}

#[test]
fn settings_out_of_range_are_named() {
    for (config, field) in [
        (LoaderConfig { batch_size: 0, ..training(1) }, "batch_size"),
        (LoaderConfig { map_size: 7, ..training(1) }, "map_size"),
        (LoaderConfig { part: Part { index: 2, count: 2 }, ..training(1) }, "part"),
        (LoaderConfig { face_scale: 0.0, ..training(1) }, "face_scale"),
    ] {
        assert!(Loader::new(faces(3), config).err().unwrap().to_string().contains(field));
    }
}
