//! Three synthetic faces as a COCO file, read back and iterated through a loader.
//!
//! ```sh
//! cargo run -p star-data --example iterate_coco
//! ```

use std::error::Error;
use std::path::Path;

use star_data::formats::coco;
use star_data::loader::{Loader, LoaderConfig};
use star_data::synthetic::{Labels, SyntheticConfig, SyntheticFaces};
use star_data::{Annotation, Dataset};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let annotations = dir.path().join("faces.json");
    write_coco(&annotations, dir.path())?;

    // A data set that is cheap to clone and decodes an image when it is asked for.
    let faces = coco::open(&annotations, dir.path())?;
    println!(
        "{} faces of scheme `{}`, {} points",
        faces.len(),
        faces.scheme().name,
        faces.scheme().keypoints
    );

    // Batches of two crops of 128 x 128 pixels, prepared ahead by threads; the same batches for any number of them.
    let loader = Loader::new(faces.clone(), LoaderConfig::evaluation(2, 128))?;
    let mut seen = 0;
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        assert_eq!(batch.images.len(), batch.batch * 128 * 128 * 3);
        assert_eq!(batch.points.len(), batch.batch * 98 * 2);
        for i in 0..batch.batch {
            let chin = batch.points_in_image(i)?[16];
            println!("face {}: chin at {:.1} {:.1} of its image", batch.indices[i], chin[0], chin[1]);
        }
        seen += batch.batch;
    }
    assert_eq!(seen, faces.len());
    Ok(())
}

/// Three images in `folder` and their annotations.
fn write_coco(annotations: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let config = SyntheticConfig { count: 3, labels: Labels::Exact, ..Default::default() };
    let faces = SyntheticFaces::new(config)?;
    let mut rows = Vec::new();
    for i in 0..faces.len() {
        let image = faces.get(i)?.image;
        let name = format!("{i}.png");
        image.save(folder.join(&name))?;
        let annotation = Annotation { image: name.into(), ..faces.annotation(i)? };
        rows.push((annotation, [image.width(), image.height()]));
    }
    std::fs::write(annotations, coco::to_json(&rows, faces.scheme())?)?;
    Ok(())
}
