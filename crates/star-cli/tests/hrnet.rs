//! An HRNet through the whole program: trained on synthetic faces, started from another's trunk, looked at, exported, run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::{assert_contains, faces, ok, refused};
use star_data::Dataset;
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};

const CONFIG: &str = r#"
scheme = "wflw98"
seed = 3
epochs = 1
batch_size = 4
ema_half_life = 10
[data.train]
format = "synthetic"
count = 8
image_size = 64
[data.validation]
format = "synthetic"
count = 4
seed = 9
image_size = 64
[model]
backbone = "hrnet"
width = 4
image_size = 64
"#;

#[test]
fn an_hrnet_is_trained_started_from_inspected_exported_and_run() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("first.toml", CONFIG);
    ok(dir.path(), &["train", "--config", "first.toml", "--out", "first"]);
    let inspected = ok(dir.path(), &["inspect", "first/best"]);
    assert_contains(
        &inspected,
        &["HRNet-W4", "wflw98, 98 keypoints", "RGB 64x64", "maps          16x16", "stage 4"],
    );

    write("second.toml", &format!("init_from = \"first/last\"\n{CONFIG}"));
    let output = common::star(dir.path(), &["train", "--config", "second.toml", "--out", "second"]);
    assert!(output.status.success());
    assert_contains(&String::from_utf8_lossy(&output.stderr), &["init_from: first/last", "tensors taken"]);
    write("wide.toml", &format!("init_from = \"first/last\"\n{CONFIG}").replace("width = 4", "width = 6"));
    let error = refused(dir.path(), &["train", "--config", "wide.toml", "--out", "wide"]);
    assert_contains(&error, &["init_from: first/last", "no trunk for HRNet-W6", "misshapen"]);

    ok(dir.path(), &["export", "first/best", "--onnx", "net.onnx"]);
    assert!(std::fs::metadata(dir.path().join("net.onnx")).unwrap().len() > 1_000_000);
    let picture = SyntheticFaces::new(SyntheticConfig::default()).unwrap().get(0).unwrap().image;
    picture.save(dir.path().join("face.png")).unwrap();
    let json = ok(dir.path(), &["predict", "face.png", "--weights", "second/best", "--box", "30,30,90,90"]);
    let faces = faces(&json);
    assert_eq!(faces[0]["points"].as_array().unwrap().len(), 98);
}

#[test]
fn half_the_digits_halve_the_file_and_keep_the_landmarks() {
    let dir = tempfile::tempdir().unwrap();
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../star-model/tests/golden/hourglass_cofw_small.pkl")
        .to_string_lossy()
        .into_owned();
    let picture = SyntheticFaces::new(SyntheticConfig::default()).unwrap().get(0).unwrap().image;
    picture.save(dir.path().join("face.png")).unwrap();
    let (mut sizes, mut points) = (Vec::new(), Vec::new());
    for dtype in ["f32", "f16", "bf16"] {
        ok(dir.path(), &["convert", &golden, dtype, "--image-size", "64", "--dtype", dtype]);
        sizes.push(std::fs::metadata(dir.path().join(dtype).join("model.safetensors")).unwrap().len());
        let json = ok(dir.path(), &["predict", "face.png", "--weights", dtype, "--box", "20,20,120,120"]);
        let faces = faces(&json);
        let values =
            faces[0]["points"].as_array().unwrap().iter().flat_map(|p| p.as_array().unwrap().clone());
        points.push(values.map(|v| v.as_f64().unwrap()).collect::<Vec<_>>());
        assert_contains(&ok(dir.path(), &["inspect", dtype]), &[&format!("stored        {dtype}:")]);
    }
    // names and running statistics stay as they are
    assert!(sizes[1..].iter().all(|&size| size < sizes[0] * 2 / 3), "{sizes:?}");
    let worst = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    // pixels, on a face 120 pixels wide through drawn weights
    let (half, brain) = (worst(&points[0], &points[1]), worst(&points[0], &points[2]));
    println!("largest move of a landmark: f16 {half:.3} px, bf16 {brain:.3} px");
    assert!(half < 0.5 && brain < 4.0, "f16 {half} px, bf16 {brain} px");
}
