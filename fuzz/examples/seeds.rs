//! Writes the seeds in `corpus/`: small valid files of every format, by the project's own writers where it has one.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_array::{BinaryArray, Float32Array, RecordBatch, StringArray};
use candle_core::{Device, Tensor};
use image::{DynamicImage, ImageFormat, RgbImage};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use star_data::formats::{coco, own, pts, tsv};
use star_data::shards::{PackConfig, ShardSet, pack};
use star_data::{Annotation, Dataset, FaceBox, Sample, Scheme};
use star_eval::{Case, MetricSet, Normalizer, Results};
use star_model::StackedHourglassConfig;
use star_model::checkpoint::{Architecture, FolderConfig, save_safetensors};
use star_predict::records::{self, FaceRecord, ImageRecord};
use star_train::config::TrainConfig;

const POINTS: [[f32; 2]; 3] = [[1.5, 2.0], [6.0, 2.5], [4.0, 7.0]];
const BETWEEN: &str = "\n====\n";

fn main() -> Result<()> {
    text()?;
    packed()?;
    images()?;
    tables()?;
    weights()?;
    settings()?;
    results()
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), bytes).with_context(|| name.to_string())
}

fn three() -> Scheme {
    Scheme::new("three", 3)
}

fn face() -> Annotation {
    Annotation {
        file: Arc::from(Path::new("a.csv")),
        line: 2,
        image: PathBuf::from("a.png"),
        points: POINTS.to_vec(),
        visibility: Some(vec![true, false, true]),
        stated: None,
        face: FaceBox { x: 0.0, y: 0.0, width: 8.0, height: 8.0 },
        tags: vec!["blur".into()],
    }
}

fn text() -> Result<()> {
    let header = "image\tfive\tall\tscale\tcenter_w\tcenter_h\n";
    let row = tsv::format_annotation(&face(), &three(), Default::default())?;
    write("tsv", "a.tsv", format!("{header}{row}\n{row}\tblur\n"))?;
    write("pts", "a.pts", pts::format(&POINTS))?;
    write("coco", "a.json", coco::to_json(&[(face(), [8, 8])], &three())?)?;
    let (head, table) = own::to_files(&[face()], &three(), Some("train"), "own.csv".as_ref(), ".".as_ref())?;
    write("own", "a", format!("{head}{BETWEEN}{table}"))?;
    let numbers: Vec<String> = (0..196).map(|i| format!("{i}.5")).collect();
    write("wflw", "list.txt", format!("{} 1 2 3 4 0 1 0 0 1 0 a/b.jpg\n", numbers.join(" ")))?;
    let names = (0..3).map(|k| format!(",original_{k}_x,original_{k}_y")).collect::<String>();
    write(
        "hrnet",
        "a.csv",
        format!("image_name,scale,center_w,center_h{names}\na.jpg,0.125,8,9.5,1,2,3,4,5,6\n"),
    )?;
    write(
        "imglab",
        "a.xml",
        "<?xml version='1.0' encoding='ISO-8859-1'?>\n<dataset><images><image file='a.jpg' width='9' height='9'>\n\
        <box top='1' left='1' width='7' height='7'><label>face</label><part name='0' x='3' y='4'/><part name='1' x='5' y='4'/>\
        <part name='2' x='4' y='6'/></box></image></images></dataset>\n",
    )?;
    write(
        "ljson",
        "3.ljson",
        "{\"version\": 3, \"groups\": {\"PTS\": {\"labels\": [{\"label\": \"all\", \"mask\": [0, 1, 2]}], \
        \"landmarks\": {\"connectivity\": [[0, 1]], \"points\": [[2.0, 1.5], null, [6, 5]]}}}}",
    )?;
    write(
        "ljson",
        "1.ljson",
        "{\"version\": 1, \"groups\": [{\"label\": \"a\", \"connectivity\": [], \"landmarks\": [{\"point\": [2.0, 1.5]}, \
        {\"point\": [4, 11]}, {\"point\": [6, 5]}]}]}",
    )?;
    let face = FaceRecord {
        image: "a.png".into(),
        scheme: "two".into(),
        face_box: face().face,
        score: Some(3.5),
        row: Some(1),
        track: Some(0),
        points: POINTS[..2].to_vec(),
        ellipses: Vec::new(),
    };
    write("predictions", "a.json", records::to_json(std::slice::from_ref(&face))?)?;
    write("predictions", "lines.json", ImageRecord::found("a.png".as_ref(), vec![face]).to_json()?)?;
    write("predictions", "a.csv", "image,x0,y0,x1,y1\na.png,1.5,2,3,4.25\n")
}

/// One face of 8 pixels.
struct One;

impl Dataset for One {
    fn len(&self) -> usize {
        1
    }

    fn scheme(&self) -> &Scheme {
        static SCHEME: std::sync::LazyLock<Scheme> = std::sync::LazyLock::new(three);
        &SCHEME
    }

    fn get(&self, _: usize) -> star_data::Result<Sample> {
        let Annotation { points, visibility, face, tags, image, .. } = face();
        Ok(Sample { image: picture(), points, visibility, face, tags, source: image })
    }
}

fn packed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    pack(&One, dir.path(), &PackConfig::default(), &Default::default(), &|_| ())?;
    assert_eq!(ShardSet::open(dir.path(), three())?.len(), 1);
    let mut names: Vec<_> = std::fs::read_dir(dir.path())?.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let find = |ending: &str| {
        let name = names
            .iter()
            .find(|name| name.to_string_lossy().ends_with(ending))
            .context("a file of the shards")?;
        Ok::<_, anyhow::Error>((name.to_string_lossy().into_owned(), std::fs::read(dir.path().join(name))?))
    };
    let ((manifest_name, manifest), (name, shard), (_, list)) =
        (find(".json")?, find(".tar")?, find(".index")?);
    assert_eq!(manifest_name, "index.json");
    let manifest = String::from_utf8(manifest)?.replace(&name, "a.tar");
    let between = BETWEEN.as_bytes();
    write("shards", "a", [manifest.as_bytes(), between, &shard, between, &list].concat())?;
    write("tar", "a.tar", shard)
}

fn picture() -> RgbImage {
    RgbImage::from_fn(8, 8, |x, y| image::Rgb([(x * 30) as u8, (y * 30) as u8, ((x * y) % 251) as u8]))
}

fn encoded(format: ImageFormat) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture()).write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

fn images() -> Result<()> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    for format in [Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP] {
        write("image", &format!("a.{}", format.extensions_str()[0]), encoded(format)?)?;
    }
    // An EXIF block that asks for a quarter turn, right behind the start of a JPEG.
    let tiff = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let length = (2 + 6 + tiff.len() as u16).to_be_bytes();
    let jpeg = encoded(Jpeg)?;
    write("image", "turned.jpg", [&jpeg[..2], &[0xff, 0xe1], &length, b"Exif\0\0", tiff, &jpeg[2..]].concat())
}

fn tables() -> Result<()> {
    let bytes: &[u8] = b"P5 1 1 255\n\x07";
    let sides = |value: f32| Arc::new(Float32Array::from(vec![value, value])) as _;
    let batch = RecordBatch::try_from_iter([
        ("path", Arc::new(StringArray::from(vec!["a.pgm", "b.pgm"])) as _),
        ("image", Arc::new(BinaryArray::from(vec![Some(bytes), None])) as _),
        ("box_x", sides(1.0)),
        ("box_y", sides(1.0)),
        ("box_width", sides(4.0)),
        ("box_height", sides(4.0)),
    ])?;
    let named = RecordBatch::try_from_iter([("file", Arc::new(StringArray::from(vec!["a.pgm"])) as _)])?;
    for (name, packing, batch) in [
        ("plain.parquet", Compression::UNCOMPRESSED, &batch),
        ("snappy.parquet", Compression::SNAPPY, &batch),
        ("zstd.parquet", Compression::ZSTD(ZstdLevel::default()), &named),
        ("names.parquet", Compression::UNCOMPRESSED, &named),
    ] {
        let properties = WriterProperties::builder().set_compression(packing).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
        writer.write(batch)?;
        write("parquet", name, writer.into_inner()?)?;
    }
    Ok(())
}

fn weights() -> Result<()> {
    let tensor = Tensor::new(&[[0.5f32, 1.0], [2.0, 3.0]], &Device::Cpu)?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("a.safetensors");
    save_safetensors(&[("out_heatmaps.0.conv.weight".to_string(), tensor)].into(), &path)?;
    let safetensors = std::fs::read(&path)?;
    let tiny = StackedHourglassConfig {
        stacks: 1,
        levels: 1,
        channels: 2,
        image_size: 8,
        ..StackedHourglassConfig::tiny(3, vec![vec![0, 1]])
    };
    let mut config = FolderConfig::new(Architecture::StackedHourglass(tiny), "three", Default::default());
    config.keypoint_scheme = Some(serde_json::to_value(three())?);
    let text = serde_json::to_string(&config)?;
    write("weights", "a", [text.as_bytes(), BETWEEN.as_bytes(), &safetensors].concat())?;
    write("checkpoint", "a.safetensors", safetensors)?;
    // As `torch.save({"net": {"a": tensor of two}})` writes its `data.pkl`.
    write(
        "checkpoint",
        "a.pkl",
        b"\x80\x02}X\x03\0\0\0net}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n\
          X\x01\0\0\x000X\x03\0\0\0cpuK\x10tQK\0K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRss.",
    )
}

fn settings() -> Result<()> {
    let scheme = toml::to_string(&three())?;
    write("scheme", "three.toml", scheme)?;
    write(
        "scheme",
        "paw.toml",
        "name = \"paw\"\nkeypoints = 3\nnames = [\"left_toe\", \"right_toe\", \"heel\"]\nflip_pairs = [[0, 1]]\n\
         inter_ocular = [[0], [1]]\nnormalizer = \"inter-ocular\"\n\
         edges = [{ name = \"sole\", closed = false, points = [0, 2, 1] }]\n",
    )?;
    let example = TrainConfig::example()?.replace("images = \"images\"\n", "");
    write("training", "example.toml", example.replace('/', "|"))?;
    write(
        "training",
        "synthetic.toml",
        "scheme = \"wflw98\"\nepochs = 2\nbatch_size = 4\n[data.train]\nformat = \"synthetic\"\ncount = 20\nimage_size = 64\n\
         [data.loading]\nworkers = 1\n[model]\nstacks = 1\nlevels = 2\nchannels = 16\nimage_size = 64\n\
         [optimizer]\nkind = \"adam_w\"\n",
    )
}

fn results() -> Result<()> {
    let metrics = MetricSet {
        dataset: "toy".into(),
        whole: "full".into(),
        normalizers: vec![("box".into(), Normalizer::default())],
        thresholds: vec![0.10],
        ..Default::default()
    };
    let of = |by: f32| {
        let predicted = |i: usize| POINTS.map(|[x, y]| [x + by, y + by * i as f32]).to_vec();
        let case = |i| Case {
            name: format!("{i}.png"),
            truth: POINTS.to_vec(),
            predicted: (i < 2).then(|| predicted(i)),
            ..Default::default()
        };
        let mut results = Results::new(&metrics, &[case(0), case(1), case(2)])?;
        // The curve's thousand places would be most of the seed.
        results.reports.truncate(1);
        Ok::<_, star_eval::Error>(results.to_json())
    };
    write("results", "a", [of(0.5)?, of(0.75)?].join(BETWEEN))?;
    write("frequencies", "a.csv", "image,weight\n*.png,2.5\na/1.*,0.5\n")
}
