//! Packed shards give back what was packed, in batches that workers and points of entry do not change; damaged ones are named.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use image::RgbImage;
use star_data::augment::Augmentation;
use star_data::dataset::Subset;
use star_data::formats::{AnnotatedImages, tsv};
use star_data::loader::{Batch, Loader, LoaderConfig, Unreadable};
use star_data::region::Region;
use star_data::shards::{Encoding, LocalStore, PackConfig, Packed, ShardSet, ShardStore, pack};
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
use star_data::{Dataset, Result, Sample, Scheme};

const COUNT: usize = 23;

fn faces() -> SyntheticFaces {
    SyntheticFaces::new(SyntheticConfig { count: COUNT, image_size: 64, ..Default::default() }).unwrap()
}

fn packed(folder: &Path, config: &PackConfig) -> Packed {
    pack(&faces(), folder, config, &AtomicBool::new(false), &|_| ()).unwrap()
}

fn open(folder: &Path) -> Result<ShardSet> {
    ShardSet::open(folder, faces().scheme().clone())
}

fn small() -> PackConfig {
    PackConfig { per_shard: 5, ..Default::default() }
}

/// Every file of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    all.sort();
    all
}

fn training(workers: usize) -> LoaderConfig {
    LoaderConfig {
        shuffle: true,
        shuffle_buffer: 7,
        augmentation: Augmentation::default(),
        targets: true,
        seed: 3,
        workers,
        ..LoaderConfig::evaluation(4, 64)
    }
}

fn batches(folder: &Path, config: LoaderConfig, epoch: u64, first: usize) -> Vec<Batch> {
    let loader = Loader::new(Arc::new(open(folder).unwrap()), config).unwrap();
    loader.epoch(epoch, first).collect::<Result<_>>().unwrap()
}

#[test]
fn shards_give_back_every_number_and_pixel() {
    let dir = tempfile::tempdir().unwrap();
    let summary = packed(dir.path(), &small());
    assert_eq!((summary.samples, summary.shards, summary.stopped), (COUNT, 5, false));
    let (set, truth) = (open(dir.path()).unwrap(), faces());
    assert_eq!((set.len(), set.shards()), (COUNT, vec![5, 5, 5, 5, 3]));
    for index in 0..COUNT {
        let (ours, theirs) = (set.get(index).unwrap(), truth.get(index).unwrap());
        assert_eq!(
            (ours.image, &ours.points, &ours.visibility),
            (theirs.image, &theirs.points, &theirs.visibility)
        );
        assert_eq!((ours.face, &ours.tags, &ours.source), (theirs.face, &theirs.tags, &set.source(index)));
        let annotation = set.annotation(index).unwrap();
        assert_eq!((annotation.points, annotation.face), (ours.points, ours.face));
    }
    assert!(set.get(COUNT).is_err());
    // nothing is left of the packing itself
    assert!(
        files(dir.path()).iter().all(|(name, _)| !name.contains("packing") && !name.ends_with(".tar.json"))
    );
}

#[test]
fn worker_count_and_point_of_entry_change_no_byte_of_shards() {
    let dir = tempfile::tempdir().unwrap();
    packed(dir.path(), &small());
    let one = batches(dir.path(), training(1), 2, 0);
    assert_eq!(one.len(), 6);
    for workers in [2, 8] {
        assert_eq!(batches(dir.path(), training(workers), 2, 0), one, "{workers} workers");
        assert_eq!(batches(dir.path(), training(workers), 2, 4), one[4..], "{workers} workers, resumed");
    }
    assert_ne!(batches(dir.path(), training(1), 3, 0)[0].indices, one[0].indices);
}

#[test]
fn an_epoch_reads_few_shards_at_a_time_and_every_sample_once() {
    let dir = tempfile::tempdir().unwrap();
    packed(dir.path(), &PackConfig { per_shard: 2, ..small() });
    let config = LoaderConfig { shuffle_buffer: 4, ..training(2) };
    let order: Vec<usize> =
        batches(dir.path(), config, 0, 0).iter().flat_map(|b| b.indices.clone()).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..COUNT).collect::<Vec<_>>());
    // Shards in the order in which they were first read; a sample comes at most a buffer after its shard was begun.
    let mut begun: Vec<usize> = Vec::new();
    for &index in &order {
        if !begun.contains(&(index / 2)) {
            begun.push(index / 2);
        }
    }
    assert_ne!(begun, (0..COUNT.div_ceil(2)).collect::<Vec<_>>());
    let behind = |place: usize| begun.iter().position(|&s| s == order[place] / 2).unwrap();
    assert!((0..COUNT).all(|place| behind(place) * 2 < place + 2 * 4), "{order:?}");
}

#[test]
fn a_held_out_share_of_shards_keeps_their_order() {
    let dir = tempfile::tempdir().unwrap();
    packed(dir.path(), &small());
    let (held, kept) = Subset::split(Arc::new(open(dir.path()).unwrap()), 6, 1);
    assert_eq!((held.shards().iter().sum::<usize>(), kept.shards().iter().sum::<usize>()), (6, COUNT - 6));
    assert!(kept.shards().len() > 1);
    let backwards = Subset::new(Arc::new(faces()), vec![5, 3]);
    assert_eq!(backwards.shards(), [2]);
}

#[test]
fn a_packing_that_was_stopped_goes_on_and_ends_in_the_same_bytes() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = PackConfig { shuffle: Some(4), ..small() };
    packed(whole.path(), &config);
    let (stop, heard) = (AtomicBool::new(false), AtomicUsize::new(0));
    let progress = |done: usize| {
        heard.store(done, Ordering::SeqCst);
        if done >= 10 {
            stop.store(true, Ordering::SeqCst);
        }
    };
    let stopped = pack(&faces(), parts.path(), &config, &stop, &progress).unwrap();
    assert!(stopped.stopped && heard.load(Ordering::SeqCst) == 10);
    assert!(open(parts.path()).is_err() || open(parts.path()).unwrap().len() == 10);
    let other = PackConfig { shuffle: Some(5), ..config };
    let refused = pack(&faces(), parts.path(), &other, &AtomicBool::new(false), &|_| ());
    assert!(refused.unwrap_err().to_string().contains("packing.json"));
    packed(parts.path(), &config);
    assert_eq!(files(parts.path()), files(whole.path()));
    let again = pack(&faces(), parts.path(), &config, &AtomicBool::new(false), &|_| ());
    assert!(again.unwrap_err().to_string().contains("without packed shards"));
}

#[test]
fn cut_and_compressed_images_are_smaller_and_keep_points_on_their_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let region = Some(Region { reach: 1.2, largest_face: 24 });
    packed(dir.path(), &PackConfig { region, encoding: Encoding::Jpeg(95), ..small() });
    let (set, truth) = (open(dir.path()).unwrap(), faces());
    for index in 0..COUNT {
        let (ours, theirs) = (set.get(index).unwrap(), truth.get(index).unwrap());
        assert!(ours.image.width() < theirs.image.width());
        // Points relative to the box are the same.
        let relative = |face: star_data::FaceBox, p: [f32; 2]| {
            [(p[0] - face.x) / face.width, (p[1] - face.y) / face.height]
        };
        for (a, b) in ours.points.iter().zip(&theirs.points) {
            let (a, b) = (relative(ours.face, *a), relative(theirs.face, *b));
            assert!((a[0] - b[0]).abs() < 0.03 && (a[1] - b[1]).abs() < 0.03, "{a:?} {b:?}");
        }
    }
}

/// A TSV of 29 points beside images, of which one is damaged.
fn image_files(folder: &Path) -> AnnotatedImages {
    let point = |i: usize| format!("{},{}", 4 + i % 6 * 3, 4 + i / 6 * 4);
    let points = (0..29).map(point).collect::<Vec<_>>().join(",");
    let mut rows = String::new();
    for name in ["a.png", "b.jpg", "c.ppm"] {
        let image =
            RgbImage::from_fn(30, 28, |x, y| image::Rgb([(x * 8) as u8, (y * 9) as u8, name.len() as u8]));
        image.save(folder.join(name)).unwrap();
        rows += &format!("{name}\t1,1,2,2,3,3,4,4,5,5\t{points}\t0.1\t12\t14\n");
    }
    std::fs::write(folder.join("b.jpg"), b"\xff\xd8\xff").unwrap();
    std::fs::write(folder.join("rows.tsv"), rows).unwrap();
    tsv::open(folder.join("rows.tsv"), folder, Scheme::named("cofw").unwrap()).unwrap()
}

#[test]
fn what_cannot_be_read_fails_the_packing_or_is_left_out_and_listed() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let set = image_files(dir.path());
    let never = AtomicBool::new(false);
    let failed = pack(&set, out.path(), &small(), &never, &|_| ()).unwrap_err().to_string();
    assert!(failed.contains("b.jpg"), "{failed}");
    let skip = PackConfig { unreadable: Unreadable::Skip, ..small() };
    let out = tempfile::tempdir().unwrap();
    let summary = pack(&set, out.path(), &skip, &never, &|_| ()).unwrap();
    assert_eq!((summary.samples, summary.unreadable.len(), summary.unreadable[0].0), (2, 1, 1));
    let packed = ShardSet::open(out.path(), Scheme::named("cofw").unwrap()).unwrap();
    assert_eq!(packed.get(1).unwrap().image, set.get(2).unwrap().image);
}

#[test]
fn shards_of_other_programs_need_neither_manifest_nor_list() {
    let dir = tempfile::tempdir().unwrap();
    packed(dir.path(), &small());
    let expected = open(dir.path()).unwrap().get(11).unwrap();
    for (name, _) in files(dir.path()).iter().filter(|(name, _)| !name.ends_with(".tar")) {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let set = open(dir.path()).unwrap();
    assert_eq!(set.shards(), [5, 5, 5, 5, 3]);
    let found = set.get(11).unwrap();
    assert_eq!((found.image, found.points, found.source), (expected.image, expected.points, expected.source));
}

#[test]
fn damaged_shards_are_named_errors() {
    let dir = tempfile::tempdir().unwrap();
    packed(dir.path(), &small());
    let refusal = |what: &str, change: &dyn Fn(&Path), hint: &str| {
        let copy = tempfile::tempdir().unwrap();
        for (name, bytes) in files(dir.path()) {
            std::fs::write(copy.path().join(name), bytes).unwrap();
        }
        change(copy.path());
        let error =
            open(copy.path()).and_then(|set| (0..COUNT).map(|i| set.get(i)).collect::<Result<Vec<_>>>());
        let message = error.err().unwrap_or_else(|| panic!("{what} was accepted")).to_string();
        assert!(message.contains(hint), "{what}: {message}");
    };
    let edit = |folder: &Path, name: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.contains(from), "{from} is not in {name}");
        std::fs::write(folder.join(name), text.replacen(from, to, 1)).unwrap();
    };
    let cut = |folder: &Path, name: &str, left: usize| {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        std::fs::write(folder.join(name), &bytes[..left.min(bytes.len())]).unwrap();
    };
    refusal(
        "a missing shard",
        &|f| std::fs::remove_file(f.join("shard-000001.tar")).unwrap(),
        "shard-000001.tar",
    );
    refusal("a cut shard", &|f| cut(f, "shard-000001.tar", 3000), "pack or download it again");
    refusal("a cut manifest", &|f| cut(f, "index.json", 50), "index.json");
    refusal("an empty list", &|f| cut(f, "shard-000002.index", 0), "shard-000002.index: line 1");
    refusal("a cut list", &|f| cut(f, "shard-000002.index", 60), "shard-000002");
    refusal(
        "a wrong count",
        &|f| edit(f, "index.json", "\"nsamples\":5", "\"nsamples\":6"),
        "6 as its manifest says",
    );
    refusal("an endless count", &|f| edit(f, "index.json", ":5", ":18446744073709551615"), "at most");
    refusal(
        "a path out",
        &|f| edit(f, "index.json", "shard-000000.tar", "../shard-000000.tar"),
        "in this folder",
    );
    refusal("another scheme", &|f| edit(f, "index.json", "\"wflw98\"", "\"mine\""), "scheme `mine`");
    refusal(
        "a range outside",
        &|f| edit(f, "shard-000000.index", "png\t512\t", "png\t512\t99999999"),
        "bytes below",
    );
    refusal("a negative range", &|f| edit(f, "shard-000000.index", "png\t512", "png\t-512"), "line 2");
    refusal(
        "a gap in a list",
        &|f| edit(f, "shard-000000.index", "png\t512", "png\t1024"),
        "not a readable image",
    );
}

#[test]
fn a_shard_cut_or_filled_with_anything_is_no_panic_without_a_manifest() {
    let dir = tempfile::tempdir().unwrap();
    packed(dir.path(), &PackConfig { per_shard: 50, ..small() });
    let whole = std::fs::read(dir.path().join("shard-000000.tar")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for i in 0..60 {
        let mut bytes = whole[..whole.len() * (i + 1) / 60].to_vec();
        let at = (i * 7919) % bytes.len();
        let end = (at + 100).min(bytes.len());
        bytes[at..end].fill(b'7');
        std::fs::write(copy.path().join("shard-000000.tar"), bytes).unwrap();
        if let Ok(set) = open(copy.path()) {
            (0..set.len()).for_each(|index| drop(set.get(index)));
        }
    }
}

/// A store that counts what is asked of it: what object storage would have to do.
struct Counting(LocalStore, Arc<AtomicUsize>);

impl ShardStore for Counting {
    fn names(&self) -> Result<Vec<String>> {
        self.0.names()
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.0.size(name)
    }

    fn read(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.read(name, start, length)
    }

    fn place(&self, name: &str) -> std::path::PathBuf {
        self.0.place(name)
    }
}

#[test]
fn a_sample_is_one_read_of_one_range_of_any_store() {
    let dir = tempfile::tempdir().unwrap();
    packed(dir.path(), &small());
    let reads = Arc::new(AtomicUsize::new(0));
    let store = Counting(LocalStore::new(dir.path()), reads.clone());
    let set = ShardSet::from_store(Box::new(store), faces().scheme().clone()).unwrap();
    (0..COUNT).for_each(|index| drop(set.get(index).unwrap()));
    // the manifest, a list a shard, a range a sample
    assert_eq!(reads.load(Ordering::SeqCst), 1 + 5 + COUNT);
}

#[test]
fn the_box_of_a_single_point_is_still_a_stated_one_in_shards() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    image::RgbImage::new(40, 40).save(at("a.png")).unwrap();
    std::fs::write(at("one.toml"), "[scheme]\nname = 'one'\nkeypoints = 1\n").unwrap();
    let rows = "image,x0,y0,box_x,box_y,box_width,box_height\na.png,9,8,2,3,30,20\n";
    std::fs::write(at("one.csv"), rows).unwrap();
    let set = star_data::formats::own::open(at("one.toml")).unwrap();
    pack(&set, &at("packed"), &PackConfig::default(), &AtomicBool::new(false), &|_| ()).unwrap();
    let packed = ShardSet::open(&at("packed"), set.scheme().clone()).unwrap();
    let (there, here) = (packed.annotation(0).unwrap(), set.annotation(0).unwrap());
    assert_eq!((there.stated, there.face), (here.stated, here.face));
    assert!(there.stated.is_some());
    let several = Sample::new(image::RgbImage::new(9, 9), vec![[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(
        InMemory(several).annotation(0).unwrap().stated,
        None,
        "those of several points may be made of them"
    );
}

struct InMemory(Sample);

static SCHEME: std::sync::OnceLock<Scheme> = std::sync::OnceLock::new();

impl Dataset for InMemory {
    fn len(&self) -> usize {
        1
    }

    fn scheme(&self) -> &Scheme {
        SCHEME.get_or_init(|| Scheme::new("two", 2))
    }

    fn get(&self, _: usize) -> Result<Sample> {
        Ok(self.0.clone())
    }
}
