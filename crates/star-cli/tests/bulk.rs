//! `star predict --input`: shards of images in, Parquet files of faces out, for jobs that share the work and may be killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, Float32Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Schema};
use image::ImageFormat;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use star_data::shards::{PackConfig, pack};
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
use star_data::{Dataset, Sample};
use star_model::checkpoint::{Architecture, Folder, FolderConfig, Provenance};
use star_model::{Parameters, StackedHourglassConfig};

use common::{assert_contains, ok, refused, star};

/// One row of the results.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    image: String,
    row: i64,
    width: Option<f32>,
    x: Option<Vec<f32>>,
    major: Option<Vec<f32>>,
    /// Of calibrated weights, one a landmark.
    confidence: Option<Vec<f32>>,
    /// Yaw and its deviation.
    yaw: Option<[f32; 2]>,
    error: Option<String>,
}

/// Reads results back, and the scheme in their metadata.
fn rows(path: &Path) -> (Vec<Row>, String) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let about = builder.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let scheme = about.iter().find(|pair| pair.key == "star.scheme").unwrap().value.clone().unwrap();
    let mut found = Vec::new();
    for batch in builder.build().unwrap() {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let text = |name: &str, i: usize| {
            let column = column(name).as_string::<i32>();
            column.is_valid(i).then(|| column.value(i).to_string())
        };
        let list = |name: &str, i: usize| {
            let column = column(name).as_list::<i32>();
            column.is_valid(i).then(|| column.value(i).as_primitive::<Float32Type>().values().to_vec())
        };
        for i in 0..batch.num_rows() {
            let number = |name: &str| {
                let column = column(name).as_primitive::<Float32Type>();
                column.is_valid(i).then(|| column.value(i))
            };
            found.push(Row {
                image: text("image", i).unwrap(),
                row: column("row").as_primitive::<Int64Type>().value(i),
                width: number("box_width"),
                x: list("x", i),
                major: list("major", i),
                confidence: list("confidence", i),
                yaw: number("yaw").zip(number("yaw_deviation")).map(Into::into),
                error: text("error", i),
            });
        }
    }
    (found, scheme)
}

fn faces(count: usize) -> SyntheticFaces {
    SyntheticFaces::new(SyntheticConfig { count, image_size: 96, ..Default::default() }).unwrap()
}

fn png(sample: &Sample) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    sample.image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A small network of the synthetic faces' scheme in `weights/`.
fn weights(dir: &Path) {
    let scheme = faces(1).scheme().clone();
    let config = StackedHourglassConfig {
        stacks: 1,
        levels: 1,
        channels: 8,
        image_size: 32,
        ..StackedHourglassConfig::reference(scheme.keypoints, scheme.edge_points())
    };
    let architecture = Architecture::StackedHourglass(config);
    let parameters = Parameters::new(5);
    architecture.build(parameters.var_builder(candle_core::DType::F32, &candle_core::Device::Cpu)).unwrap();
    let config = FolderConfig::new(architecture, &scheme.name, Provenance::default());
    Folder::new(config, parameters.tensors()).unwrap().save(&dir.join("weights")).unwrap();
}

/// `count` synthetic faces in tar shards of `per_shard`, with their boxes.
fn shards(dir: &Path, count: usize, per_shard: usize) {
    std::fs::create_dir(dir.join("shards")).unwrap();
    let config = PackConfig { per_shard, ..Default::default() };
    pack(&faces(count), &dir.join("shards"), &config, &Default::default(), &|_| ()).unwrap();
}

const BASE: [&str; 7] = ["predict", "--weights", "weights", "--input", "shards", "--output", "out"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&BASE, more].concat()
}

fn results(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".parquet")).collect();
    names.sort();
    names
}

#[test]
fn every_face_of_a_shard_is_a_row_with_its_landmarks() {
    let dir = tempfile::tempdir().unwrap();
    weights(dir.path());
    shards(dir.path(), 7, 3);
    ok(dir.path(), &BASE);
    assert_eq!(results(&dir.path().join("out")).len(), 3);
    let set = faces(7);
    let mut seen = 0;
    for (shard, name) in results(&dir.path().join("out")).iter().enumerate() {
        let (found, scheme) = rows(&dir.path().join("out").join(name));
        assert_eq!(scheme, set.scheme().name);
        for (i, row) in found.iter().enumerate() {
            let truth = set.get(3 * shard + i).unwrap();
            assert_eq!((row.row, row.error.clone()), (i as i64, None));
            assert_eq!(row.width, Some(truth.face.width));
            let (x, major) = (row.x.as_ref().unwrap(), row.major.as_ref().unwrap());
            assert_eq!((x.len(), major.len()), (set.scheme().keypoints, set.scheme().keypoints));
            assert!(x.iter().chain(major).all(|v| v.is_finite()));
            // Weights that nobody calibrated.
            assert_eq!(row.confidence, None);
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
}

#[test]
fn a_face_by_the_weights_in_the_program_has_the_pose_and_confidences_that_predict_gives() {
    let dir = tempfile::tempdir().unwrap();
    let portrait = Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-predict/tests/data/astronaut.png");
    let bytes = std::fs::read(&portrait).unwrap();
    std::fs::create_dir(dir.path().join("shards")).unwrap();
    let image: ArrayRef = Arc::new(BinaryArray::from_iter_values([&bytes]));
    write(&dir.path().join("shards/a.parquet"), vec![("image", image)]);
    ok(dir.path(), &["predict", "--input", "shards", "--output", "out"]);
    let (found, _) = rows(&dir.path().join("out/a.parquet"));
    let text = ok(dir.path(), &["predict", portrait.to_str().unwrap()]);
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let faces = record["faces"].as_array().unwrap();
    assert_eq!((found.len(), faces.len()), (1, 1));
    let [yaw, deviation] = found[0].yaw.unwrap();
    let expected = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
    assert!((yaw - expected(&faces[0]["pose"]["yaw"])).abs() < 1e-3);
    assert!((deviation - expected(&faces[0]["pose"]["deviations"][0])).abs() < 1e-3);
    let confidence = found[0].confidence.as_ref().unwrap();
    assert_eq!(confidence.len(), 68);
    for (found, given) in confidence.iter().zip(faces[0]["confidence"].as_array().unwrap()) {
        assert!((found - expected(given)).abs() < 1e-3, "{found} {given}");
    }
}

#[test]
fn parts_do_every_shard_once_and_what_is_done_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    weights(dir.path());
    shards(dir.path(), 10, 2);
    let mut before: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for part in ["0/3", "1/3", "2/3"] {
        ok(dir.path(), &with(&["--shard", part]));
        let names = results(&dir.path().join("out"));
        let new: Vec<String> = names.into_iter().filter(|name| !before.contains_key(name)).collect();
        assert_eq!(new.len(), if part == "2/3" { 1 } else { 2 });
        before.extend(new.into_iter().map(|name| {
            let bytes = std::fs::read(dir.path().join("out").join(&name)).unwrap();
            (name, bytes)
        }));
    }
    assert_eq!(before.len(), 5);

    // As after a kill: one file is not there yet, and half of it lies under a temporary name.
    let lost = "shard-000003.parquet";
    let (whole, path) = (before[lost].clone(), dir.path().join("out").join(lost));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(dir.path().join("out/.star-dead.tmp"), &whole[..100]).unwrap();
    let times =
        |name: &String| std::fs::metadata(dir.path().join("out").join(name)).unwrap().modified().unwrap();
    let others: Vec<String> = before.keys().filter(|name| *name != lost).cloned().collect();
    let old: Vec<_> = others.iter().map(times).collect();
    let output = star(dir.path(), &BASE);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert_contains(&told, &["2 images", "4 shards were done before"]);
    assert_eq!(others.iter().map(times).collect::<Vec<_>>(), old);
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[test]
fn images_that_cannot_be_used_are_rows_with_an_error_and_a_cut_shard_has_no_results() {
    let dir = tempfile::tempdir().unwrap();
    weights(dir.path());
    std::fs::create_dir(dir.path().join("shards")).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let set = faces(2);
    let good = png(&set.get(0).unwrap());
    for (name, bytes) in [
        ("0.png", good.as_slice()),
        ("1.png", &good[..good.len() / 2]),
        ("2.jpg", b"no image"),
        ("3.png", &good),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    std::fs::write(dir.path().join("shards/a.tar"), &bytes).unwrap();
    ok(dir.path(), &BASE);
    let (found, _) = rows(&dir.path().join("out/a.parquet"));
    let of = |name: &str| found.iter().filter(|row| row.image == name).cloned().collect::<Vec<_>>();
    for name in ["1.png", "2.jpg"] {
        let bad = of(name);
        assert!(
            bad.len() == 1 && bad[0].x.is_none() && bad[0].error.as_ref().unwrap().contains(name),
            "{bad:?}"
        );
    }
    // Without boxes the detector looks for faces; a drawn one may be none to it, and is a row all the same.
    for name in ["0.png", "3.png"] {
        assert!(!of(name).is_empty() && of(name).iter().all(|row| row.error.is_none()));
    }

    std::fs::write(dir.path().join("shards/b.tar"), &bytes[..bytes.len() / 2]).unwrap();
    let error = refused(dir.path(), &BASE);
    assert_contains(
        &error,
        &["b.tar", "whole tar file", "1 shards could not be read", "1 shards were done before"],
    );
    assert_eq!(results(&dir.path().join("out")), ["a.parquet"]);
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, column)| column).collect())
        .unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_files_of_bytes_of_paths_and_of_both_give_the_faces_of_the_same_images() {
    let dir = tempfile::tempdir().unwrap();
    weights(dir.path());
    std::fs::create_dir(dir.path().join("shards")).unwrap();
    let set = faces(3);
    let samples: Vec<Sample> = (0..3).map(|i| set.get(i).unwrap()).collect();
    let images: Vec<Vec<u8>> = samples.iter().map(png).collect();
    for (i, image) in images.iter().enumerate() {
        std::fs::write(dir.path().join(format!("shards/{i}.png")), image).unwrap();
    }
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(&images));
    let paths: ArrayRef = Arc::new(StringArray::from(vec!["0.png", "1.png", "gone.png"]));
    let side =
        |of: fn(&Sample) -> f32| Arc::new(Float32Array::from_iter_values(samples.iter().map(of))) as ArrayRef;
    let boxes = || {
        vec![
            ("box_x", side(|s| s.face.x)),
            ("box_y", side(|s| s.face.y)),
            ("box_width", side(|s| s.face.width)),
            ("box_height", side(|s| s.face.height)),
        ]
    };
    let both = StructArray::from(vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), bytes.clone()),
        (Arc::new(Field::new("path", DataType::Utf8, true)), paths.clone()),
    ]);
    let folder = dir.path().join("shards");
    write(&folder.join("bytes.parquet"), [vec![("image", bytes), ("id", paths.clone())], boxes()].concat());
    write(&folder.join("paths.parquet"), [vec![("file_name", paths)], boxes()].concat());
    write(&folder.join("both.parquet"), [vec![("image", Arc::new(both) as ArrayRef)], boxes()].concat());
    ok(dir.path(), &BASE);
    let of = |name: &str| rows(&dir.path().join("out").join(name)).0;
    let (bytes, paths, both) = (of("bytes.parquet"), of("paths.parquet"), of("both.parquet"));
    assert_eq!(bytes.len(), 3);
    assert!(
        bytes
            .iter()
            .all(|row| row.error.is_none() && row.x.as_ref().unwrap().len() == set.scheme().keypoints)
    );
    assert_eq!(both, bytes);
    assert_eq!(paths[..2], bytes[..2]);
    assert_contains(paths[2].error.as_ref().unwrap(), &["gone.png", "No such file"]);

    // What was written can be read again, boxes and all.
    std::fs::create_dir(dir.path().join("again")).unwrap();
    let error =
        refused(dir.path(), &["predict", "--weights", "weights", "--input", "out", "--output", "out"]);
    assert_contains(&error, &["another place for the output than the input"]);
}

#[test]
fn arguments_that_do_not_fit_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    weights(dir.path());
    shards(dir.path(), 2, 2);
    for (arguments, hint) in [
        (with(&["--shard", "3/3"]), "the last is 2"),
        (with(&["--shard", "x"]), "such as 0/8"),
        (with(&["face.png"]), "cannot be used with"),
        (with(&["--precision", "bf16"]), "cannot be used with"),
        (vec!["predict", "--weights", "weights", "--input", "shards"], "--output"),
        (vec!["predict", "--weights", "weights"], "IMAGE"),
    ] {
        let output = star(dir.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_contains(&String::from_utf8_lossy(&output.stderr), &[hint]);
    }
    let error =
        refused(dir.path(), &["predict", "--weights", "weights", "--input", "none", "--output", "out"]);
    assert_contains(&error, &["none", "No such file"]);
    if !cfg!(feature = "object-store") {
        let error = refused(
            dir.path(),
            &["predict", "--weights", "weights", "--input", "s3://b/p", "--output", "out"],
        );
        assert_contains(&error, &["--features object-store"]);
    }

    // Results of other settings are not mixed with these.
    ok(dir.path(), &BASE);
    let error = refused(dir.path(), &with(&["--detect"]));
    assert_contains(&error, &["_star.json", "choose another output"]);
    write(
        &dir.path().join("shards/t.parquet"),
        vec![("label", Arc::new(StringArray::from(vec!["a"])) as ArrayRef)],
    );
    let error = refused(dir.path(), &BASE);
    assert_contains(&error, &["t.parquet", "no column of images", "label", "--image-column"]);
}

#[test]
fn damaged_parquet_files_are_shards_that_cannot_be_read_whatever_their_reader_makes_of_them() {
    // Found by changing valid files at random: footers whose numbers made the reader of Parquet files panic.
    let damaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/damaged");
    let dir = tempfile::tempdir().unwrap();
    weights(dir.path());
    let names =
        ["parquet-panic-1.parquet", "parquet-panic-2.parquet", "parquet-negative-start-panic.parquet"];
    std::fs::create_dir(dir.path().join("shards")).unwrap();
    for name in names {
        std::fs::copy(damaged.join(name), dir.path().join("shards").join(name)).unwrap();
    }
    // The reader's panics are said, and are shards that cannot be read.
    let output = star(dir.path(), &BASE);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_contains(&error, &names);
    assert_contains(&error, &["expected a whole Parquet file", "3 shards could not be read"]);
}
