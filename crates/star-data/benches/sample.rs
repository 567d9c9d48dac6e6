//! Time of one training sample and of its parts, 256x256 and 68 points: `cargo bench -p star-data --bench sample`.
//!
//! On synthetic faces kept as JPEG bytes in memory, and on the photographs of `shared/real-faces/dlib` beside the project where they are
//! (or where `STAR_BENCH_FACES` says). `STAR_BENCH_BREAKDOWN=1` prints the breakdown alone, without criterion's series.

#![allow(missing_docs, clippy::unwrap_used, reason = "a program")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use image::codecs::jpeg::JpegEncoder;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use star_data::affine::Affine;
use star_data::augment::Augmentation;
use star_data::crop::Crop;
use star_data::decode::decode_bytes;
use star_data::formats::tsv;
use star_data::loader::{Loader, LoaderConfig};
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
use star_data::target::{edgemap, pointmap};
use star_data::{Dataset, Error, Result, Sample, Scheme, warp};

const SIZE: usize = 256;
const MAP: usize = 64;
/// About the pixels of a VOC photograph, of which data sets of faces are made.
const DRAWN_SIDE: u32 = 432;
const DRAWN: usize = 24;

/// Files and rows in memory, so that a disk is no part of the figures.
struct Memory {
    scheme: Scheme,
    rows: Vec<(Vec<u8>, Sample)>,
}

impl Dataset for Memory {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let (bytes, row) = self.rows.get(index).ok_or(Error::Index { index, len: self.rows.len() })?;
        Ok(Sample { image: decode_bytes(bytes, &row.source)?, ..row.clone() })
    }
}

/// The 98-point markup's rows of the 68-point one.
fn to_68(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let eyes = [60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75];
    let rows = (0..=32).step_by(2).chain(33..38).chain(42..47).chain(51..60).chain(eyes).chain(76..96);
    rows.map(|row| points[row]).collect()
}

fn synthetic() -> Memory {
    let config = SyntheticConfig { count: DRAWN, image_size: DRAWN_SIDE, ..Default::default() };
    let faces = SyntheticFaces::new(config).unwrap();
    let row = |index| {
        let mut face = faces.get(index).unwrap();
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&face.image).unwrap();
        (face.points, face.visibility) = (to_68(&face.points), None);
        face.image = Default::default();
        (bytes, face)
    };
    Memory { scheme: Scheme::named("300w").unwrap(), rows: (0..DRAWN).map(row).collect() }
}

fn image_files(folder: &Path) -> Memory {
    let scheme = Scheme::named("300w").unwrap();
    let mut rows = Vec::new();
    for file in ["train.tsv", "test.tsv"] {
        let set = tsv::open(folder.join(file), folder, scheme.clone()).unwrap();
        for index in 0..set.len() {
            let mut face = set.get(index).unwrap();
            face.image = Default::default();
            rows.push((std::fs::read(folder.join(&face.source)).unwrap(), face));
        }
    }
    Memory { scheme, rows }
}

fn sets() -> Vec<(&'static str, Arc<Memory>)> {
    let mut sets = vec![("synthetic", Arc::new(synthetic()))];
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real-faces/dlib");
    let folder = std::env::var_os("STAR_BENCH_FACES").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        sets.push(("dlib", Arc::new(image_files(&folder))));
    } else {
        println!("no photographs in {}: only synthetic faces", folder.display());
    }
    sets
}

fn training(workers: usize) -> LoaderConfig {
    LoaderConfig {
        shuffle: true,
        augmentation: Augmentation::default(),
        targets: true,
        clamp: true,
        workers,
        ..LoaderConfig::evaluation(8, SIZE)
    }
}

/// Every stage of every sample with what it needs from those before it.
struct Stages<'a> {
    set: &'a Memory,
    decoded: Vec<Sample>,
    maps: Vec<Affine>,
    crops: Vec<image::RgbImage>,
    augmentation: Augmentation,
}

const PARTS: [&str; 5] = ["decode", "warp", "augment", "pointmaps", "edgemaps"];

impl<'a> Stages<'a> {
    fn new(set: &'a Memory) -> Self {
        let augmentation = Augmentation::default();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let decoded: Vec<Sample> = (0..set.len()).map(|index| set.get(index).unwrap()).collect();
        let map = |face: &Sample| {
            Crop::new(SIZE).transform(&face.face).unwrap().then(augmentation.similarity.draw(SIZE, &mut rng))
        };
        let maps: Vec<Affine> = decoded.iter().map(map).collect();
        let crops = decoded
            .iter()
            .zip(&maps)
            .map(|(face, map)| warp::warp(&face.image, map, SIZE).unwrap())
            .collect();
        Self { set, decoded, maps, crops, augmentation }
    }

    /// Runs one part over the whole set.
    fn run(&self, part: usize) {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let points = |i: usize| self.decoded[i].points.iter().map(move |&point| self.maps[i].apply(point));
        for i in 0..self.set.len() {
            match part {
                0 => drop(black_box(self.set.get(i).unwrap())),
                1 => drop(black_box(warp::warp(&self.decoded[i].image, &self.maps[i], SIZE).unwrap())),
                2 => {
                    let mut crop = self.crops[i].clone();
                    self.augmentation.apply_photometric(&mut crop, &mut rng);
                    black_box(crop);
                }
                3 => {
                    let mut maps = vec![0f32; self.set.scheme.keypoints * MAP * MAP];
                    for (map, point) in maps.chunks_exact_mut(MAP * MAP).zip(points(i)) {
                        pointmap(point, SIZE, map, MAP);
                    }
                    black_box(maps);
                }
                _ => {
                    let points: Vec<[f32; 2]> = points(i).collect();
                    let edges = &self.set.scheme.edges;
                    let mut maps = vec![0f32; edges.len() * MAP * MAP];
                    for (map, edge) in maps.chunks_exact_mut(MAP * MAP).zip(edges) {
                        let along: Vec<[f32; 2]> = edge.points.iter().map(|&k| points[k]).collect();
                        edgemap(&along, edge.ends(), SIZE, map, MAP);
                    }
                    black_box(maps);
                }
            }
        }
    }
}

/// A whole epoch through a loader.
fn whole(loader: &Loader, epoch: u64) {
    for batch in loader.epoch(epoch, 0) {
        black_box(batch.unwrap());
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Rounds of the breakdown: `STAR_BENCH_ROUNDS`, or 7.
fn rounds() -> usize {
    std::env::var("STAR_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(7)
}

/// Milliseconds a sample of every part, and of whole samples on one and two threads, one after the other in every round.
fn breakdown(name: &str, set: &Arc<Memory>) {
    let stages = Stages::new(set);
    let loaders = [1, 2].map(|workers| Loader::new(set.clone(), training(workers)).unwrap());
    let (mut parts, mut wholes) = (vec![Vec::new(); PARTS.len()], [Vec::new(), Vec::new()]);
    let timed = |work: &dyn Fn()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3 / set.len() as f64
    };
    for round in 0..=rounds() {
        let part: Vec<f64> = (0..PARTS.len()).map(|part| timed(&|| stages.run(part))).collect();
        // Several epochs: the first batch of one finds idle workers.
        let whole =
            loaders.each_ref().map(|loader| timed(&|| (0..3).for_each(|epoch| whole(loader, epoch))) / 3.0);
        // The first round warms up.
        if round > 0 {
            parts.iter_mut().zip(part).for_each(|(all, one)| all.push(one));
            wholes.iter_mut().zip(whole).for_each(|(all, one)| all.push(one));
        }
    }
    println!("{name}: {} faces, medians of {} rounds", set.len(), rounds());
    for (part, times) in PARTS.iter().zip(parts) {
        println!("{name} {part} {:.3} ms", median(times));
    }
    let gains = wholes[0].iter().zip(&wholes[1]).map(|(one, two)| one / two).collect();
    let [one, two] = wholes.map(median);
    println!("{name} whole {one:.3} ms a sample on one thread, {two:.3} on two: {:.2} times", median(gains));
}

fn series(criterion: &mut Criterion) {
    for (name, set) in sets() {
        let stages = Stages::new(&set);
        let mut group = criterion.benchmark_group(format!("sample/{name}/{}x{SIZE}x{SIZE}", set.len()));
        group.sample_size(10).measurement_time(Duration::from_secs(2));
        for (part, what) in PARTS.iter().enumerate() {
            group.bench_function(*what, |bench| bench.iter(|| stages.run(part)));
        }
        let loader = Loader::new(set.clone(), training(1)).unwrap();
        group.bench_function("whole", |bench| bench.iter(|| whole(&loader, 0)));
        group.finish();
    }
}

criterion_group!(benches, series);

fn main() {
    for (name, set) in sets() {
        breakdown(name, &set);
    }
    if std::env::var_os("STAR_BENCH_BREAKDOWN").is_none() {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
