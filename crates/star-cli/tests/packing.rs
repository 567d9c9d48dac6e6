//! `star data pack` from outside, and training on what it wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::Path;

use common::{assert_contains, bytes, ok, refused, star};
use star_data::Dataset;
use star_data::formats::tsv::format_row;
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};

const FACES: usize = 12;

/// Synthetic faces as a TSV beside its pictures; `broken` is cut off.
fn write_faces(dir: &Path, broken: Option<usize>) {
    let config = SyntheticConfig { count: FACES, image_size: 64, ..Default::default() };
    let faces = SyntheticFaces::new(config).unwrap();
    let mut rows = String::new();
    for i in 0..FACES {
        let face = faces.get(i).unwrap();
        let name = format!("{i}.png");
        face.image.save(dir.join(&name)).unwrap();
        if broken == Some(i) {
            let whole = std::fs::read(dir.join(&name)).unwrap();
            std::fs::write(dir.join(&name), &whole[..whole.len() / 2]).unwrap();
        }
        rows += &(format_row(Path::new(&name), &[[0.0; 2]; 5], &face.points, &[]).unwrap() + "\n");
    }
    std::fs::write(dir.join("faces.tsv"), rows).unwrap();
}

const PACK: [&str; 9] =
    ["data", "pack", "--annotations", "faces.tsv", "--scheme", "wflw98", "--per-shard", "5", "--out"];

fn config(data: &str) -> String {
    format!(
        "scheme = \"wflw98\"\nseed = 3\nepochs = 1\nbatch_size = 4\nema_half_life = 10\n[data.train]\n{data}\n\
         [model]\nstacks = 1\nlevels = 1\nchannels = 8\nimage_size = 32\n"
    )
}

fn trained(dir: &Path, name: &str, data: &str) -> Vec<u8> {
    std::fs::write(dir.join(format!("{name}.toml")), config(data)).unwrap();
    ok(dir, &["train", "--config", &format!("{name}.toml"), "--out", name]);
    bytes(dir, &format!("{name}/last/model.safetensors"))
}

#[test]
fn a_set_is_packed_and_trained_on_with_and_without_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_faces(dir, None);
    let told = ok(dir, &[&PACK[..], &["packed", "--shuffle", "1"]].concat());
    assert_contains(&told, &["12 faces in 3 shards", "format = \"shards\""]);
    assert!(dir.join("packed/shard-000002.tar").is_file() && dir.join("packed/index.json").is_file());
    let error = refused(dir, &[&PACK[..], &["packed"]].concat());
    assert_contains(&error, &["packed", "choose another"]);

    let shards = "format = \"shards\"\nfolder = \"packed\"\n[data.loading]\nshuffle_buffer = 4";
    let once = trained(dir, "first", shards);
    assert_eq!(trained(dir, "second", &format!("{shards}\nunreadable = \"skip\"")), once);

    let files = "format = \"tsv\"\nannotations = \"faces.tsv\"";
    let cached = format!("{files}\n[data.loading.cache]\nfolder = \"kept\"\nreach = 2.0");
    let cold = trained(dir, "cold", &cached);
    let kept = || std::fs::read_dir(dir.join("kept")).unwrap().count();
    let before = kept();
    assert!(before > 0);
    assert_eq!(trained(dir, "warm", &cached), cold);
    assert_eq!(kept(), before);
}

#[test]
fn faces_that_cannot_be_read_stop_a_packing_and_a_training_or_are_left_out_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_faces(dir, Some(7));
    assert_contains(&refused(dir, &[&PACK[..], &["packed"]].concat()), &["7.png"]);
    let output = star(dir, &[&PACK[..], &["rest", "--skip-unreadable"]].concat());
    assert!(output.status.success());
    assert_contains(&String::from_utf8_lossy(&output.stdout), &["11 faces", "left out: 1"]);
    assert_contains(&String::from_utf8_lossy(&output.stderr), &["left out", "7.png"]);

    let files = "format = \"tsv\"\nannotations = \"faces.tsv\"";
    let validation = "[data.validation]\nformat = \"synthetic\"\ncount = 2\nimage_size = 64";
    std::fs::write(dir.join("a.toml"), config(&format!("{files}\n{validation}"))).unwrap();
    assert_contains(&refused(dir, &["train", "--config", "a.toml", "--out", "a"]), &["7.png"]);
    let skip = "[data.loading]\nunreadable = \"skip\"";
    std::fs::write(dir.join("b.toml"), config(&format!("{files}\n{validation}\n{skip}"))).unwrap();
    let output = star(dir, &["train", "--config", "b.toml", "--out", "b"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert_contains(&told, &["left out", "7.png"]);
}
