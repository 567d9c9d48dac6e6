//! Checkpoints in the reference's own file format, and files that are wrong in every way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use star_model::checkpoint::{self, Architecture, Folder, Tensors, Which};
use star_model::{LightPyramidConfig, Parameters, SlimHourglassConfig, StackedHourglassConfig};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn small() -> Folder {
    Folder::import(&golden("hourglass_cofw_small.pkl"), Which::Net, "cofw29", 64, "test").unwrap()
}

fn same(a: &Tensor, b: &Tensor) -> bool {
    let values =
        |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    a.dims() == b.dims() && values(a) == values(b)
}

#[test]
fn the_reference_pickle_holds_the_same_tensors_as_its_safetensors() {
    let pickled = checkpoint::read(&golden("hourglass_cofw_small.pkl"), Which::Net).unwrap();
    let plain = checkpoint::read(&golden("hourglass_cofw_small.weights.safetensors"), Which::Net).unwrap();
    assert_eq!(pickled.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    assert_eq!(pickled.len(), 1174);
    for (name, tensor) in &pickled {
        assert!(same(tensor, &plain[name]), "{name} differs");
    }
}

#[test]
fn the_average_is_another_set_of_tensors_with_the_same_names() {
    let net = checkpoint::read(&golden("hourglass_cofw_small.pkl"), Which::Net).unwrap();
    let ema = checkpoint::read(&golden("hourglass_cofw_small.pkl"), Which::Ema).unwrap();
    for (name, tensor) in &net {
        assert_eq!(ema[name].dims(), tensor.dims(), "{name}");
    }
}

#[test]
fn the_shape_of_the_network_is_read_off_its_tensors() {
    let tensors = checkpoint::read(&golden("hourglass_cofw_small.pkl"), Which::Net).unwrap();
    let config = checkpoint::infer(&tensors, 64).unwrap();
    let StackedHourglassConfig {
        keypoints, ref edges, stacks, levels, channels, coord_conv, attention, ..
    } = config;
    assert_eq!((keypoints, edges.len(), stacks, levels, channels), (29, 7, 4, 3, 16));
    assert!(coord_conv && attention);
    // the right eyebrow, as a set: 0, 4, 2, 5
    assert_eq!(edges[0], [0, 2, 4, 5]);
    checkpoint::check(&tensors, &config).unwrap();
}

#[test]
fn a_stem_of_its_own_is_read_off_the_tensors() {
    let hourglass =
        StackedHourglassConfig { channels: 8, attention: false, ..StackedHourglassConfig::tiny(3, vec![]) };
    let slim = Architecture::SlimHourglass(SlimHourglassConfig { stem: 12, ..hourglass.into() });
    let parameters = Parameters::new(1);
    slim.build(parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
    let tensors: Tensors =
        parameters.all().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
    slim.check(&tensors).unwrap();
    let Architecture::SlimHourglass(ref found) = Architecture::infer(tensors.clone(), 128).unwrap().0 else {
        panic!("expected a slim hourglass")
    };
    assert_eq!((found.stem, found.hourglass.channels, found.face_scale), (12, 8, 1.0));
    let wider = Architecture::SlimHourglass(SlimHourglassConfig { stem: 16, ..found.clone() });
    assert!(wider.check(&tensors).unwrap_err().to_string().contains("pre.0.conv.weight"));
}

#[test]
fn a_light_pyramids_shape_is_read_off_its_tensors() {
    let config = LightPyramidConfig {
        stem: 8,
        levels: vec![8, 12, 20],
        blocks: vec![1, 3, 2],
        channels: 24,
        image_size: 64,
        ..LightPyramidConfig::standard(5)
    };
    let drawn = Architecture::LightPyramid(config);
    let parameters = Parameters::new(1);
    drawn.build(parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
    let mut tensors: Tensors =
        parameters.all().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
    drawn.check(&tensors).unwrap();
    assert_eq!(Architecture::infer(tensors.clone(), 64).unwrap().0, drawn);
    tensors.remove("up.0.lateral.conv.weight");
    let message = Architecture::infer(tensors, 64).unwrap_err().to_string();
    assert!(message.contains("up.0.lateral.conv.weight"), "{message}");
}

#[test]
fn the_full_size_network_uses_the_published_names_and_shapes() {
    let table = std::fs::read_to_string(golden("hourglass_wflw_full.tensors.tsv")).unwrap();
    let mut published = std::collections::BTreeMap::new();
    for line in table.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let shape: Vec<usize> = columns[2]
            .trim_matches(['[', ']'])
            .split(", ")
            .filter(|s| !s.is_empty())
            .map(|s| s.parse().unwrap())
            .collect();
        published.insert(columns[0].to_string(), (columns[1].to_string(), shape));
    }
    assert_eq!(published.len(), 1450);
    let edges = vec![vec![0]; 9];
    let expected = checkpoint::expected(&StackedHourglassConfig::reference(98, edges)).unwrap();
    for (name, shape) in &expected {
        assert_eq!(published.get(name), Some(&("float32".to_string(), shape.clone())), "{name}");
    }
    let unused: Vec<&String> = published.keys().filter(|name| !expected.contains_key(*name)).collect();
    assert!(unused.iter().all(|name| {
        name.contains("skip_layer")
            || name.ends_with("num_batches_tracked")
            || name.starts_with("e2h_transform")
    }));
    // 13.48 M parameters are executed for 98 points (the paper counts 13.37 M for 68).
    let trained: usize = expected
        .iter()
        .filter(|(name, _)| !name.contains("running"))
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    assert_eq!((trained as f64 / 1e4).round(), 1348.0, "{trained}");
}

#[test]
fn a_folder_comes_back_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let folder = small();
    folder.save(dir.path()).unwrap();
    let back = Folder::load(dir.path()).unwrap();
    assert_eq!(back.config, folder.config);
    assert!(back.tensors.iter().all(|(name, tensor)| same(tensor, &folder.tensors[name])));
    assert!(back.tensors.contains_key("e2h_transform.weight"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "a temporary file was left behind");
}

#[test]
fn every_misfit_is_listed_at_once() {
    let mut tensors = small().tensors;
    let config = checkpoint::infer(&tensors, 64).unwrap();
    tensors.remove("pre.0.conv.bias");
    tensors.remove("hgs.2.up1.bn2.running_var");
    tensors.insert(
        "pre.1.conv1.conv.weight".into(),
        Tensor::zeros((1, 2, 3, 3), DType::F32, &Device::Cpu).unwrap(),
    );
    tensors.insert("classifier.weight".into(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
    let message = checkpoint::check(&tensors, &config).unwrap_err().to_string();
    for part in [
        "4 tensors",
        "missing: pre.0.conv.bias [64]",
        "missing: hgs.2.up1.bn2.running_var [8]",
        "misshapen: pre.1.conv1.conv.weight: expected [64, 64, 1, 1], got [1, 2, 3, 3]",
        "surplus: classifier.weight [3]",
    ] {
        assert!(message.contains(part), "`{part}` missing in: {message}");
    }
}

#[test]
fn weights_of_another_scheme_are_refused() {
    let tensors = small().tensors;
    let mut config = checkpoint::infer(&tensors, 64).unwrap();
    config.edges[0] = vec![1, 2, 3];
    assert!(checkpoint::check(&tensors, &config).unwrap_err().to_string().contains("edges"));
}

fn refusal(name: &str, bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let message = checkpoint::read(&path, Which::Net).unwrap_err().to_string();
    assert!(message.contains(name), "the file is not named in: {message}");
    message
}

#[test]
fn damaged_and_foreign_files_are_named_errors() {
    let whole = std::fs::read(golden("hourglass_cofw_small.weights.safetensors")).unwrap();
    assert!(refusal("cut.safetensors", &whole[..whole.len() / 2]).contains("truncated"));
    assert!(refusal("head.safetensors", &whole[..100]).contains("truncated"));
    let whole = std::fs::read(golden("hourglass_cofw_small.pkl")).unwrap();
    assert!(refusal("cut.pkl", &whole[..whole.len() / 2]).contains("truncated"));
    assert!(refusal("empty.pkl", b"").contains("empty"));
    assert!(refusal("text.pkl", b"hello, this is a text").contains("neither"));
    assert!(refusal("old.pkl", b"\x80\x02}q\x00.").contains("torch.save"));
}

/// A zip file with one stored entry `m/data.pkl`, written by hand: local header, directory, end record.
fn zip_of(data: &[u8]) -> Vec<u8> {
    let crc = !data.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    });
    let name = b"m/data.pkl";
    let size = (data.len() as u32).to_le_bytes();
    let common =
        [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &crc.to_le_bytes(), &size, &size, &[10, 0, 0, 0]].concat();
    let local = [&b"PK\x03\x04"[..], &common, name, data].concat();
    let directory = [&b"PK\x01\x02\x14\x00"[..], &common, &[0; 14], name].concat();
    let end = [
        &b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..],
        &(directory.len() as u32).to_le_bytes(),
        &(local.len() as u32).to_le_bytes(),
        &[0, 0],
    ]
    .concat();
    [local, directory, end].concat()
}

#[test]
fn a_pickle_that_would_call_the_shell_is_refused_and_nothing_runs() {
    let dir = tempfile::tempdir().unwrap();
    let witness = dir.path().join("ran");
    let command = format!("touch {}", witness.display());
    let length = (command.len() as u32).to_le_bytes();
    let pickle = [&b"\x80\x02cposix\nsystem\nX"[..], &length, command.as_bytes(), b"\x85R."].concat();
    let message = refusal("hostile.pkl", &zip_of(&pickle));
    assert!(message.contains("`posix.system`") && message.contains("nothing was executed"), "{message}");
    assert!(!witness.exists());
}

#[test]
fn a_zip_without_a_pickle_and_a_pickle_without_weights_are_told() {
    assert!(refusal("plain.pkl", &zip_of(b"\x80\x02}q\x00X\x05\x00\x00\x00epochK\x03s.")).contains("epoch"));
    let renamed: Vec<u8> = zip_of(b".").iter().map(|&b| if b == b'k' { b'x' } else { b }).collect();
    assert!(refusal("other.zip", &renamed).contains("without `data.pkl`"));
}
