//! What the fuzz targets call: each reads its input as a person's file would be read, within a bound on memory.
//!
//! A bound is a number of bytes, for what is set up once and for buffers of a fixed size, and a multiple of the input's length.

mod bound;
mod place;

use std::io::Write;
use std::path::Path;
use std::sync::Once;

use star_data::decode::{self, Upright};
use star_data::formats::{Format, Source, coco, tsv};
use star_data::shards::ShardSet;
use star_data::{Dataset, Scheme, sampling};
use star_eval::{Comparison, Results};
use star_model::checkpoint::{self, Architecture, Which};
use star_predict::weights::{self, Hints};
use star_predict::{bulk, records};
use star_train::config::{ModelSection, Options, TrainConfig};

use bound::within;
use place::{folder, leads_out, parts, write};

const MIB: usize = 1 << 20;

/// Text: the built-in schemes and a few copies of every number, `1,` of two bytes becoming one of 16 with its neighbours.
fn of_text(data: &[u8]) -> usize {
    8 * MIB + 200 * data.len()
}

/// Packed bytes: `star_data::decode` grants a megabyte and 2000 bytes a byte of the file; pixels exist in their file's width (up to four
/// channels of 4 bytes for one of ours of 3) and as RGB.
fn of_pixels(data: &[u8]) -> usize {
    32 * MIB + 10 * 2000 * data.len()
}

/// A file or list of annotations: opened, every row taken and written in other formats, the first image looked for.
pub fn annotations(format: Format, name: &str, data: &[u8]) {
    let path = write(name, data);
    let needs_scheme =
        matches!(format, Format::Tsv | Format::Pts | Format::Hrnet | Format::Imglab | Format::Ljson);
    let source = Source { scheme: needs_scheme.then(three), ..Source::new(format, path) };
    within(of_text(data), || open(&source));
}

/// One's own data: a TOML file, then its CSV file.
pub fn own(data: &[u8]) {
    let [head, table] = parts(data);
    if leads_out(head) {
        return;
    }
    let path = write("own.toml", head);
    write("own.csv", table);
    within(of_text(data), || open(&Source::new(Format::Own, path)));
}

/// COFW's files, with every image. Their text is little; images are packed.
pub fn cofw(data: &[u8]) {
    let path = write("a.mat", data);
    within(of_pixels(data), || open(&Source::new(Format::Cofw, path)));
}

fn three() -> Scheme {
    Scheme::new("three", 3)
}

fn open(source: &Source) {
    let Ok(opened) = source.open() else { return };
    opened.problems.iter().for_each(|problem| drop(problem.to_string()));
    let set = opened.dataset;
    for i in 0..set.len() {
        let Ok(annotation) = set.annotation(i) else { continue };
        let _ = tsv::format_annotation(&annotation, set.scheme(), Default::default());
        let _ = coco::to_json(&[(annotation, [8, 8])], set.scheme());
        if i == 0 || source.format == Format::Cofw {
            let _ = set.get(i);
        }
    }
}

/// An image of any format, turned as its EXIF says.
pub fn image(data: &[u8]) {
    within(of_pixels(data), || {
        let _ = decode::decode_bytes_upright(data, Path::new("a"), Upright::Oriented);
    });
}

/// A tar file without manifest, as training and as `star predict --input` read it.
pub fn tar(data: &[u8]) {
    let path = write("a.tar", data);
    within(of_pixels(data), || {
        let _ = bulk::count_images(&path, None);
        packed(&folder());
    });
}

/// Packed shards: the manifest, the shard, its list.
pub fn shards(data: &[u8]) {
    let [manifest, shard, list] = parts(data);
    write("index.json", manifest);
    write("a.tar", shard);
    write("a.index", list);
    within(of_pixels(data), || packed(&folder()));
}

fn packed(folder: &Path) {
    let Ok(set) = ShardSet::open(folder, three()) else { return };
    for i in 0..set.len() {
        let _ = (set.source(i), set.annotation(i), set.get(i));
    }
}

/// A Parquet file of images. Its pages are unpacked as a whole, to what the file says their size is.
pub fn parquet(data: &[u8]) {
    static QUIET: Once = Once::new();
    // Its reader's own panics are caught and told as errors; libFuzzer would end at them. One that is not caught still ends it.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    let path = write("a.parquet", data);
    within(of_pixels(data), || {
        let _ = bulk::count_images(&path, None);
    });
}

/// PyTorch's and safetensors files; what is neither becomes the `data.pkl` of a checkpoint with one storage of 64 bytes.
///
/// The pickle may unfold to 10,000 objects or 8 a byte, of some 100 bytes each; tensors and storages to four times the file each, and a
/// view that is not dense needs an index of four bytes for each of its numbers.
pub fn checkpoint(data: &[u8]) {
    let known = data.starts_with(b"PK") || data.starts_with(b"\x80\x02\x8a") || data.get(8) == Some(&b'{');
    let path = if known { write("a.pth", data) } else { write("a.pth", &zipped(data)) };
    within(16 * MIB + 1200 * data.len(), || {
        for which in [Which::Net, Which::Ema] {
            if let Ok(tensors) = checkpoint::read(&path, which) {
                let _ = Architecture::infer(tensors, 64);
            }
        }
        let _ = weights::import(&path, &Hints { image_size: Some(64), ..Hints::default() });
    });
}

fn zipped(pickle: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &[1; 64])] {
        archive.start_file(name, options).expect("a name");
        archive.write_all(bytes).expect("memory");
    }
    archive.finish().expect("an archive").into_inner()
}

/// A folder of weights: `config.json`, then `model.safetensors`.
///
/// A description may have 64 stacks of 10 levels, whose 100,000 tensors are named in memory.
pub fn weights(data: &[u8]) {
    let [config, tensors] = parts(data);
    write(checkpoint::CONFIG_FILE, config);
    write(checkpoint::WEIGHTS_FILE, tensors);
    within(128 * MIB + 200 * data.len(), || {
        let _ = weights::open(folder(), &Hints::default(), &mut ());
    });
}

/// A keypoint scheme, and what is made of it.
pub fn scheme(data: &[u8]) {
    let path = write("scheme.toml", data);
    within(of_text(data), || {
        let Ok(scheme) = weights::scheme(&path.to_string_lossy()) else { return };
        let _ = (scheme.flips(), scheme.flip_permutation(), scheme.edge_points());
        let _ = ModelSection::default().architecture(&scheme);
    });
}

/// A training file, as far as `star train` goes before its first step. A million synthetic images may be asked for, 150 MB of places.
pub fn training(data: &[u8]) {
    if leads_out(data) {
        return;
    }
    // It may ask for a folder of its own, which the next is not to find.
    let base = folder().join("run");
    let _ = std::fs::remove_dir_all(&base);
    std::fs::create_dir(&base).expect("a folder for the run");
    let path = write("run/train.toml", data);
    within(256 * MIB + 200 * data.len(), || {
        let Ok(config) = TrainConfig::read(&path) else { return };
        let _ = config.prepare(&base, Options::default());
    });
}

/// How often each image is seen: at most a thousand times, here three images.
pub fn frequencies(data: &[u8]) {
    const FACES: &str = "a/1.png\t0,0,0,0,0,0,0,0,0,0\t1,2,3,4,5,6\t0.5\t1\t2";
    let faces = write("a.tsv", [FACES, FACES, FACES].join("\n").as_bytes());
    let path = write("weights.csv", data);
    within(of_text(data), || {
        let Ok(faces) = tsv::open(&faces, folder(), three()) else { return };
        if let Ok(weights) = sampling::read_weights(&path, &faces) {
            let _ = sampling::repeated(&weights, 7);
        }
    });
}

/// Results of two runs, as `star compare` reads them. Their pages have every figure several times, drawn as text of some hundred bytes.
pub fn results(data: &[u8]) {
    let runs = parts::<2>(data).map(|text| Results::from_json(&String::from_utf8_lossy(text)));
    within(8 * MIB + 2000 * data.len(), || {
        let [Ok(a), Ok(b)] = runs else { return };
        let _ = (a.to_markdown(), a.to_html(&[]));
        let Ok(both) = Comparison::new(&[("a".into(), a), ("b".into(), b)]) else { return };
        let _ = (both.to_markdown(), both.to_json(), both.to_html());
    });
}

/// Predictions of two points.
pub fn predictions(data: &[u8]) {
    let path = write("found.json", data);
    within(of_text(data), || {
        let Ok(faces) = records::read(&path, 2, "two") else { return };
        for face in &faces {
            face.ellipses.iter().for_each(|ellipse| assert_eq!(ellipse.covariance().len(), 3));
        }
        let _ = records::to_json(&faces);
    });
}
