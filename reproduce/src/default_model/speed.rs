//! How long the default model takes.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use star_data::images::{self, Depth};
use star_data::{FaceBox, decode};
use star_model::CompileOptions;
use star_model::checkpoint::Folder;
use star_predict::Predictor;

/// Timed faces, after two that are not.
const RUNS: usize = 200;

/// Milliseconds on one thread.
#[derive(Serialize, Deserialize)]
pub(super) struct Speed {
    /// From weights in memory to a network that runs.
    compile: f64,
    /// From there to the first landmarks of a face whose box is known.
    first_face: f64,
    /// The median face after it, cropping included.
    face: f64,
}

impl Speed {
    /// Times `folder` on the first image of a folder, the box in its middle.
    ///
    /// # Errors
    /// When there is no image that can be read.
    pub(super) fn of(folder: &Folder, folder_of_images: &Path) -> Result<Self> {
        let path = images::list(&[folder_of_images.to_path_buf()], Depth::Folder)?
            .images
            .into_iter()
            .next()
            .context("no image to time on")?;
        let image = decode::decode(&path)?;
        let [width, height] = [image.width(), image.height()].map(|side| side as f32);
        let face = FaceBox { x: width / 4.0, y: height / 4.0, width: width / 2.0, height: height / 2.0 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        pool.install(|| {
            let since = |start: Instant| 1e3 * start.elapsed().as_secs_f64();
            let start = Instant::now();
            let options = CompileOptions { threads: Some(1), ..Default::default() };
            let predictor = Predictor::from_folder(folder, &Device::Cpu, &options)?;
            let compile = since(start);
            let mut times = Vec::with_capacity(RUNS);
            for _ in 0..RUNS + 2 {
                let start = Instant::now();
                predictor.predict_in(&image, &[face])?;
                times.push(since(start));
            }
            let first_face = times[0];
            let mut after = times.split_off(2);
            after.sort_by(f64::total_cmp);
            Ok(Self { compile, first_face, face: after[after.len() / 2] })
        })
    }
}
