//! Landmarks of the faces in an image: `cargo run -p star-predict --example predict -- IMAGE WEIGHTS`.
//!
//! Without arguments it makes a tiny network with random weights and runs it on a synthetic face, whose box is known.

use std::path::Path;

use anyhow::Result;
use candle_core::{DType, Device};
use star_data::Dataset;
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
use star_model::checkpoint::{Architecture, Folder, FolderConfig, Provenance};
use star_model::{Parameters, StackedHourglassConfig};
use star_predict::{Ellipse, Face, Predictor};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let faces = match arguments.as_slice() {
        [image, weights] => Predictor::open(weights)?.predict(&image::open(image)?.to_rgb8())?,
        _ => in_a_synthetic_face()?,
    };
    for face in &faces {
        println!("face in {:?}, score {:?}", face.face_box, face.score);
        for ([x, y], covariance) in face.landmarks.points.iter().zip(&face.landmarks.covariances) {
            let ellipse = Ellipse::from_covariance(covariance.map(f64::from));
            println!("  {x:7.1} {y:7.1}  +- {:.1} px, {:.1} px across", ellipse.major, ellipse.minor);
        }
    }
    Ok(())
}

fn in_a_synthetic_face() -> Result<Vec<Face>> {
    let set = SyntheticFaces::new(SyntheticConfig { count: 1, ..Default::default() })?;
    let sample = set.get(0)?;
    let folder = tempfile::tempdir()?;
    save_random_network(&set, folder.path())?;
    let predictor = Predictor::open(folder.path())?;
    // A detector made for photographs need not find a synthetic face, so the face's box is given.
    predictor.predict_in(&sample.image, &[sample.face])
}

fn save_random_network(set: &SyntheticFaces, folder: &Path) -> Result<()> {
    let scheme = set.scheme();
    let reference = StackedHourglassConfig::reference(scheme.keypoints, scheme.edge_points());
    let tiny = StackedHourglassConfig { stacks: 1, levels: 1, channels: 8, image_size: 64, ..reference };
    let (architecture, parameters) = (Architecture::StackedHourglass(tiny), Parameters::new(5));
    architecture.build(parameters.var_builder(DType::F32, &Device::Cpu))?;
    let config = FolderConfig::new(architecture, &scheme.name, Provenance::default());
    Ok(Folder::new(config, parameters.tensors())?.save(folder)?)
}
