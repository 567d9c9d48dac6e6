//! The published data sets in their official layouts, made small of synthetic faces, and a small network for each.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use star_data::formats::pts;
use star_data::scheme_map::{Detail, SchemeMap};
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
use star_data::{Dataset, Sample, Scheme};
use star_model::checkpoint::{Architecture, save_safetensors};
use star_model::{Parameters, StackedHourglassConfig};

pub(crate) fn faces(count: usize, seed: u64) -> Vec<Sample> {
    let config = SyntheticConfig { count, seed, image_size: 64, ..Default::default() };
    let set = SyntheticFaces::new(config).unwrap();
    (0..count).map(|i| set.get(i).unwrap()).collect()
}

pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub(crate) fn save(path: &Path, face: &Sample) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    face.image.save(path).unwrap();
}

/// The list of WFLW's test faces.
pub(crate) const WFLW_TEST: &str =
    "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt";

/// WFLW as it is unpacked: every test face has one of the six attributes.
pub(crate) fn wflw(root: &Path) {
    for (split, count, seed) in [("train", 6, 1), ("test", 6, 2)] {
        let mut lines = String::new();
        for (i, face) in faces(count, seed).iter().enumerate() {
            let name = format!("{i}--Parade/{split}_{i}.png");
            save(&root.join("WFLW_images").join(&name), face);
            let points: Vec<String> = face.points.iter().flatten().map(|v| format!("{v:.4}")).collect();
            let flags: Vec<String> = (0..6).map(|flag| u8::from(flag == i).to_string()).collect();
            lines += &format!("{} 3 3 60 60 {} {name}\n", points.join(" "), flags.join(" "));
        }
        write(&root.join(WFLW_TEST.replace("test.txt", &format!("{split}.txt"))), lines);
    }
}

/// A face of 68 points beside its image, 1-based as iBUG's are.
pub(crate) fn face68(annotation: &Path, image: &Path, face: &Sample) {
    let map = SchemeMap::wflw_to_300w(Detail::Pick).unwrap();
    write(annotation, pts::format(&map.points(&face.points)));
    save(image, face);
}

pub(crate) fn face300w(root: &Path) {
    let parts = ["afw", "helen/trainset", "lfpw/trainset", "helen/testset", "lfpw/testset", "ibug"];
    for (seed, part) in parts.iter().enumerate() {
        for (i, face) in faces(2, 10 + seed as u64).iter().enumerate() {
            let file = root.join(part).join(format!("face_{i}"));
            face68(&file.with_extension("pts"), &file.with_extension("png"), face);
        }
    }
}

pub(crate) fn face300vw(root: &Path) {
    // Two videos to train on and hold out, one of each category.
    for (seed, video) in ["001", "002", "114", "203", "562"].iter().enumerate() {
        for (i, face) in faces(3, 20 + seed as u64).iter().enumerate() {
            let name = format!("{:06}", i + 1);
            let root = root.join(video);
            face68(&root.join(format!("annot/{name}.pts")), &root.join(format!("frames/{name}.png")), face);
        }
    }
}

pub(crate) fn cofw(root: &Path) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/star-data/tests/fixtures/cofw");
    std::fs::create_dir_all(root).unwrap();
    for name in ["COFW_train_color.mat", "COFW_test_color.mat"] {
        std::fs::copy(fixtures.join(name), root.join(name)).unwrap();
    }
}

/// All four sets, with a folder for results.
pub(crate) fn sets() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    wflw(&dir.path().join("data/WFLW"));
    face300w(&dir.path().join("data/300W"));
    cofw(&dir.path().join("data/COFW"));
    face300vw(&dir.path().join("data/300VW"));
    dir
}

/// A small hourglass for a scheme, as a file.
pub(crate) fn network(scheme: &str, dir: &Path) -> Vec<u8> {
    let scheme = Scheme::named(scheme).unwrap();
    let config = StackedHourglassConfig {
        stacks: 1,
        levels: 2,
        channels: 8,
        image_size: 256,
        ..StackedHourglassConfig::reference(scheme.keypoints, scheme.edge_points())
    };
    let parameters = Parameters::new(7);
    Architecture::StackedHourglass(config).build(parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
    // Published files hold which keypoint lies on which edge, as a fixed convolution.
    let (k, edges) = (scheme.keypoints, scheme.edge_points());
    let on = |point: usize, edge: &Vec<usize>| if edge.contains(&point) { 1.0f32 } else { 0.0 };
    let matrix: Vec<f32> = (0..k).flat_map(|point| edges.iter().map(move |edge| on(point, edge))).collect();
    let bias: Vec<f32> =
        (0..k).map(|point| f32::from(edges.iter().all(|edge| !edge.contains(&point)))).collect();
    let mut tensors = parameters.tensors();
    let matrix = Tensor::from_vec(matrix, (k, edges.len(), 1, 1), &Device::Cpu).unwrap();
    tensors.insert("e2h_transform.weight".into(), matrix);
    tensors.insert("e2h_transform.bias".into(), Tensor::from_vec(bias, k, &Device::Cpu).unwrap());
    let path = dir.join(format!("{}.safetensors", scheme.name));
    save_safetensors(&tensors, &path).unwrap();
    std::fs::read(path).unwrap()
}
