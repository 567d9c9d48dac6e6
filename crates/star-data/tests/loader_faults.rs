//! What a loader does when a data set fails: one error and no abort, samples left out where asked for, no work for nobody.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use image::RgbImage;
use star_data::loader::{Batch, Loader, LoaderConfig, Unreadable};
use star_data::{Dataset, Error, FaceBox, Result, Sample, Scheme};

/// Faces of drifting colour; `broken` fails to be read, `panics` brings its worker down; `reads` counts.
struct Faces {
    scheme: Scheme,
    count: usize,
    broken: Option<usize>,
    panics: Option<usize>,
    pause: Duration,
    reads: Arc<AtomicUsize>,
}

impl Faces {
    fn new(count: usize) -> Self {
        let scheme = Scheme::named("cofw").unwrap();
        Self { scheme, count, broken: None, panics: None, pause: Duration::ZERO, reads: Arc::default() }
    }
}

impl Dataset for Faces {
    fn len(&self) -> usize {
        self.count
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.pause);
        if self.broken == Some(index) {
            return Err(Error::Decode {
                path: PathBuf::from(format!("{index}.png")),
                reason: "damaged".into(),
            });
        }
        assert!(self.panics != Some(index), "a data set that panics");
        let points = (0..29)
            .map(|k| [20.0 + (k % 6) as f32 * 4.0, 18.0 + (k / 6) as f32 * 5.5 + index as f32 * 0.1])
            .collect();
        Ok(Sample {
            image: RgbImage::from_fn(64, 64, |x, y| {
                image::Rgb([(4 * x) as u8, (4 * y) as u8, (index * 9) as u8])
            }),
            points,
            visibility: Some((0..29).map(|k| k % 3 != 0).collect()),
            face: FaceBox { x: 12.0, y: 10.0, width: 36.0, height: 40.0 },
            tags: Vec::new(),
            source: PathBuf::from(format!("{index}.png")),
        })
    }
}

fn training(workers: usize) -> LoaderConfig {
    LoaderConfig { seed: 11, workers, ..LoaderConfig::training(4, 64) }
}

fn batches(config: LoaderConfig, epoch: u64, first: usize) -> Vec<Batch> {
    Loader::new(Arc::new(Faces::new(22)), config).unwrap().epoch(epoch, first).collect::<Result<_>>().unwrap()
}

fn indices(batches: &[Batch]) -> Vec<usize> {
    batches.iter().flat_map(|batch| batch.indices.iter().copied()).collect()
}

#[test]
fn a_last_batch_that_is_not_full_is_kept_or_left_out() {
    let all = batches(LoaderConfig { drop_last: false, ..training(2) }, 0, 0);
    assert_eq!((all.len(), all[5].batch, all[5].images.len()), (6, 2, 2 * 64 * 64 * 3));
    assert_eq!(indices(&batches(training(2), 0, 0)).len(), 20);
    assert!(batches(training(2), 0, 99).is_empty());
}

#[test]
fn the_same_sample_is_changed_in_another_way_in_another_epoch() {
    let still = |epoch| batches(LoaderConfig { shuffle: false, ..training(2) }, epoch, 0);
    assert_eq!(indices(&still(0)), indices(&still(1)));
    assert_ne!(still(0)[0].images, still(1)[0].images);
}

#[test]
fn a_panic_in_a_data_set_is_an_error_and_not_the_end_of_the_program() {
    let faces = Faces { panics: Some(5), ..Faces::new(12) };
    let loader = Loader::new(Arc::new(faces), LoaderConfig::evaluation(4, 64)).unwrap();
    let results: Vec<_> = loader.epoch(0, 0).collect();
    assert!(results[0].is_ok() && results[2].is_ok());
    let message = results[1].as_ref().unwrap_err().to_string();
    assert!(message.contains("sample 5") && message.contains("a data set that panics"), "{message}");
}

#[test]
fn unreadable_samples_are_left_out_and_listed_when_asked_for() {
    let skip = |faces: Faces, batch: usize| {
        let config = LoaderConfig { unreadable: Unreadable::Skip, ..LoaderConfig::evaluation(batch, 64) };
        let loader = Loader::new(Arc::new(faces), config).unwrap();
        let batches: Vec<Batch> = loader.epoch(0, 0).collect::<Result<_>>().unwrap();
        (batches, loader.unreadable())
    };
    let (batches, listed) = skip(Faces { broken: Some(5), panics: Some(7), ..Faces::new(12) }, 4);
    assert_eq!(indices(&batches), [0, 1, 2, 3, 4, 6, 8, 9, 10, 11]);
    assert_eq!((batches[1].batch, batches[1].points.len()), (2, 2 * 29 * 2));
    assert_eq!(listed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [5, 7]);
    assert!(listed[0].1.contains("damaged"), "{listed:?}");
    // a batch of nothing else is passed over
    assert_eq!(indices(&skip(Faces { broken: Some(1), ..Faces::new(3) }, 1).0), [0, 2]);
}

#[test]
fn an_epoch_is_gone_on_with_after_a_batch_that_was_passed_over() {
    let config = LoaderConfig { unreadable: Unreadable::Skip, ..LoaderConfig::evaluation(1, 64) };
    let loader = Loader::new(Arc::new(Faces { broken: Some(1), ..Faces::new(4) }), config).unwrap();
    let mut epoch = loader.epoch(0, 0);
    assert_eq!(epoch.by_ref().take(2).map(|batch| batch.unwrap().indices[0]).collect::<Vec<_>>(), [0, 2]);
    // two were had, one was passed over
    assert_eq!(epoch.position(), 3);
    assert_eq!(loader.epoch(0, epoch.position()).next().unwrap().unwrap().indices, [3]);
}

#[test]
fn dropping_an_epoch_early_stops_its_work() {
    let faces = Faces { pause: Duration::from_millis(2), ..Faces::new(4000) };
    let reads = faces.reads.clone();
    let loader =
        Loader::new(Arc::new(faces), LoaderConfig { prefetch: 3, ..LoaderConfig::evaluation(50, 64) })
            .unwrap();
    let mut epoch = loader.epoch(0, 0);
    epoch.next().unwrap().unwrap();
    drop(epoch);
    drop(loader);
    std::thread::sleep(Duration::from_millis(300));
    let after = reads.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(300));
    // four batches of 50 may have been under way, of 80
    assert!(after <= 200 && reads.load(Ordering::SeqCst) == after, "{after} reads");
}

#[test]
fn nothing_is_read_beyond_the_batches_that_may_be_ready() {
    let faces = Faces::new(400);
    let reads = faces.reads.clone();
    let config = LoaderConfig { prefetch: 3, workers: 2, ..LoaderConfig::evaluation(5, 64) };
    let loader = Loader::new(Arc::new(faces), config).unwrap();
    let mut epoch = loader.epoch(0, 0);
    std::thread::sleep(Duration::from_millis(200));
    // three batches of five, however long nobody asks for them
    assert_eq!(reads.load(Ordering::SeqCst), 15);
    epoch.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(reads.load(Ordering::SeqCst), 20);
    assert!(epoch.waited() < Duration::from_millis(200));
}

#[test]
fn the_batch_that_is_waited_for_comes_before_any_later_work() {
    let faces = Faces { pause: Duration::from_millis(10), ..Faces::new(80) };
    let reads = faces.reads.clone();
    let config = LoaderConfig { prefetch: 8, workers: 2, ..LoaderConfig::evaluation(10, 64) };
    let loader = Loader::new(Arc::new(faces), config).unwrap();
    let mut epoch = loader.epoch(0, 0);
    epoch.next().unwrap().unwrap();
    // All eight batches are under way. Were they worked on side by side, nearly all would have been read by now; in order it is the
    // first, a sample or two of the second, and what a busy machine reads before this thread wakes up.
    assert!(reads.load(Ordering::SeqCst) < 50, "{}", reads.load(Ordering::SeqCst));
    assert!(epoch.waited() > Duration::from_millis(20));
}

#[test]
fn loud_augmentation_and_schemes_with_edges_out_of_range_are_named() {
    let mut config = training(1);
    config.augmentation.noise.alpha = 2.0;
    let message = Loader::new(Arc::new(Faces::new(3)), config).err().unwrap().to_string();
    assert!(message.contains("noise.alpha"), "{message}");
    let mut faces = Faces::new(3);
    faces.scheme.edges[0].points.push(29);
    let message = Loader::new(Arc::new(faces), training(1)).err().unwrap().to_string();
    assert!(message.contains("edge"), "{message}");
}

/// Two points that the names may or may not tell apart.
struct Two(Scheme);

impl Dataset for Two {
    fn len(&self) -> usize {
        1
    }

    fn scheme(&self) -> &Scheme {
        &self.0
    }

    fn get(&self, _: usize) -> Result<Sample> {
        Ok(Sample::new(RgbImage::new(8, 8), vec![[1.0, 4.0], [6.0, 4.0]]))
    }
}

fn scheme(names: &[&str], flip_pairs: Option<Vec<[usize; 2]>>) -> Scheme {
    let names = names.iter().map(ToString::to_string).collect();
    Scheme { names, flip_pairs, ..Scheme::new("two", 2) }
}

fn always_mirrored(scheme: Scheme) -> Result<Batch> {
    let mut config = LoaderConfig::evaluation(1, 8);
    config.augmentation.flip.probability = 1.0;
    Loader::new(Two(scheme), config)?.epoch(0, 0).next().unwrap()
}

#[test]
fn images_are_not_mirrored_under_a_scheme_that_does_not_say_what_swaps() {
    for names in [&[][..], &["tip", "heel"], &["left_eye", "nose"]] {
        let message = always_mirrored(scheme(names, None)).err().unwrap().to_string();
        for part in
            ["scheme `two`: flip_pairs", "`names` with left and right", "`[]`", "flip probability of 0"]
        {
            assert!(message.contains(part), "{message}");
        }
        Loader::new(Two(scheme(names, None)), LoaderConfig::evaluation(1, 8)).unwrap();
    }
}

#[test]
fn names_with_left_and_right_swap_under_a_mirror_and_an_empty_list_of_pairs_swaps_nothing() {
    let swapped = always_mirrored(scheme(&["left", "right"], None)).unwrap().points;
    let stayed = always_mirrored(scheme(&["left", "right"], Some(vec![]))).unwrap().points;
    // x of the first point: the left one is still left of the right one, or it has gone right with its pixels
    assert!(swapped[0] < swapped[2] && stayed[0] > stayed[2], "{swapped:?} {stayed:?}");
    assert_eq!(swapped[..2], stayed[2..]);
}
