//! The cache of pre-cropped faces: batches are the same cold and warm, for any number of workers and after a resume.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use star_data::augment::Augmentation;
use star_data::cache::CropCache;
use star_data::loader::{Batch, Loader, LoaderConfig};
use star_data::region::Region;
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
use star_data::{Annotation, Dataset, Result, Sample, Scheme, decode};

const COUNT: usize = 12;

/// Synthetic faces as PNG files.
struct Files {
    folder: PathBuf,
    faces: SyntheticFaces,
}

impl Files {
    fn new(folder: &Path) -> Self {
        let config = SyntheticConfig { count: COUNT, image_size: 128, ..Default::default() };
        let faces = SyntheticFaces::new(config).unwrap();
        let set = Self { folder: folder.to_path_buf(), faces };
        (0..COUNT).for_each(|i| set.faces.get(i).unwrap().image.save(set.image_path(i).unwrap()).unwrap());
        set
    }
}

impl Dataset for Files {
    fn len(&self) -> usize {
        COUNT
    }

    fn scheme(&self) -> &Scheme {
        self.faces.scheme()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        Ok(Sample {
            image: decode::decode(&self.folder.join(format!("{index}.png")))?,
            ..self.faces.get(index)?
        })
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        self.faces.annotation(index)
    }

    fn image_path(&self, index: usize) -> Option<PathBuf> {
        Some(self.folder.join(format!("{index}.png")))
    }
}

fn training(workers: usize) -> LoaderConfig {
    LoaderConfig {
        shuffle: true,
        augmentation: Augmentation::default(),
        targets: true,
        seed: 3,
        workers,
        ..LoaderConfig::evaluation(3, 64)
    }
}

fn batches(set: Arc<dyn Dataset>, workers: usize, first: usize) -> Vec<Batch> {
    Loader::new(set, training(workers)).unwrap().epoch(1, first).collect::<Result<_>>().unwrap()
}

fn cache(images: &Path, folder: &Path, region: Region) -> Arc<CropCache> {
    Arc::new(CropCache::new(Arc::new(Files::new(images)), folder, region).unwrap())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let inside = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    inside(folder).iter().flat_map(|folder| inside(folder)).collect()
}

#[test]
fn batches_are_the_same_cold_and_warm_for_any_workers_and_after_a_resume() {
    let (images, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = || cache(images.path(), folder.path(), Region::default());
    let cold = open();
    let first = batches(cold.clone(), 1, 0);
    assert_eq!(cold.statistics(), (0, COUNT));
    for workers in [1, 2, 8] {
        let warm = open();
        assert_eq!(batches(warm.clone(), workers, 0), first, "{workers} workers");
        assert_eq!(warm.statistics(), (COUNT, 0));
        assert_eq!(batches(warm, workers, 2), first[2..], "{workers} workers, resumed");
        // cold again, with that many workers
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(batches(cache(images.path(), elsewhere.path(), Region::default()), workers, 0), first);
    }
}

#[test]
fn a_region_that_holds_all_that_is_seen_changes_no_pixel_by_more_than_a_level() {
    let (images, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let with = batches(cache(images.path(), folder.path(), Region { reach: 4.0, largest_face: 0 }), 2, 0);
    let without = batches(Arc::new(Files::new(images.path())), 2, 0);
    for (a, b) in with.iter().zip(&without) {
        assert!(a.images.iter().zip(&b.images).all(|(x, y)| x.abs_diff(*y) <= 1));
        assert!(a.points.iter().zip(&b.points).all(|(x, y)| (x - y).abs() < 1e-4));
    }
}

#[test]
fn entries_follow_the_image_and_the_settings_and_damaged_ones_are_made_again() {
    let (images, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |reach| cache(images.path(), folder.path(), Region { reach, largest_face: 0 });
    let whole = open(2.5).get(0).unwrap();
    assert_eq!(entries(folder.path()).len(), 1);
    open(2.0).get(0).unwrap();
    assert_eq!(entries(folder.path()).len(), 2);
    for entry in entries(folder.path()) {
        let bytes = std::fs::read(&entry).unwrap();
        std::fs::write(&entry, &bytes[..bytes.len() - 1]).unwrap();
    }
    let again = open(2.5);
    assert_eq!((again.get(0).unwrap().image, again.statistics()), (whole.image, (0, 1)));
    assert_eq!((again.get(0).unwrap().points, again.statistics()), (whole.points, (1, 1)));
    // another image under the same name
    let set = Files::new(images.path());
    set.faces.get(5).unwrap().image.save(set.image_path(0).unwrap()).unwrap();
    let exchanged =
        CropCache::new(Arc::new(set), folder.path(), Region { reach: 2.5, largest_face: 0 }).unwrap();
    exchanged.get(0).unwrap();
    assert_eq!(exchanged.statistics(), (0, 1));
    assert!(exchanged.get(COUNT).is_err());
}

#[test]
fn a_set_without_files_passes_through() {
    let folder = tempfile::tempdir().unwrap();
    let faces =
        SyntheticFaces::new(SyntheticConfig { count: 2, image_size: 64, ..Default::default() }).unwrap();
    let cached = CropCache::new(Arc::new(faces.clone()), folder.path(), Region::default()).unwrap();
    assert_eq!(cached.get(1).unwrap().image, faces.get(1).unwrap().image);
    assert_eq!((cached.statistics(), entries(folder.path()).len()), ((0, 0), 0));
}
