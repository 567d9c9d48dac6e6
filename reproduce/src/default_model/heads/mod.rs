//! `heads`: rendered heads with exact landmarks and poses, for faces turned further than detectors can label.

mod camera;
mod model;
mod random;
mod raster;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use star_data::formats::tsv;

use camera::{JawBands, Turn};
use model::HeadModel;

/// What to draw.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of the head: `ict.npz` and `landmarks68.txt`
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Folder to write `images/`, `heads.tsv` (68 points) and `poses.csv` (degrees) into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of heads
    #[arg(long, value_name = "N", default_value_t = 2000)]
    count: u64,
    /// Largest yaw to either side, degrees
    #[arg(long, value_name = "DEGREES", default_value_t = 80.0)]
    yaw: f32,
    /// Side of the images, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    size: usize,
    /// Seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Header of the annotations.
const HEADER: &str = "image_path\tlandmarks_5pts\tlandmarks_target\tscale\tcenter_w\tcenter_h\n";

/// One head: its row and its pose.
struct Head {
    row: String,
    pose: String,
}

/// Renders heads; head `i` depends on the seed and `i` alone.
///
/// # Errors
/// When the model cannot be read, or a file cannot be written.
pub(super) fn run(args: &Args) -> Result<()> {
    ensure!((32..=4096).contains(&args.size), "--size: expected 32 to 4096 pixels, got {}", args.size);
    ensure!((0.0..=90.0).contains(&args.yaw), "--yaw: expected 0 to 90 degrees, got {}", args.yaw);
    let model = HeadModel::read(&args.model)?;
    let bands = JawBands::new(&model);
    let images = args.out.join("images");
    std::fs::create_dir_all(&images).with_context(|| images.display().to_string())?;
    let heads: Result<Vec<Head>> =
        (0..args.count).into_par_iter().map(|index| head(args, &model, &bands, index)).collect();
    let (mut rows, mut poses) = (HEADER.to_string(), "image,yaw,pitch,roll\n".to_string());
    for head in heads? {
        writeln!(rows, "{}", head.row)?;
        writeln!(poses, "{}", head.pose)?;
    }
    for (name, text) in [("heads.tsv", rows), ("poses.csv", poses)] {
        let path = args.out.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    println!("{} heads in {}", args.count, args.out.display());
    Ok(())
}

fn head(args: &Args, model: &HeadModel, bands: &JawBands, index: u64) -> Result<Head> {
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    rng.set_stream(index);
    let turn = random::turn(args.yaw, &mut rng);
    let vertices = random::shape(model, &mut rng);
    let camera = random::camera(args.size, &mut rng);
    let view = camera.view(&vertices, turn);
    let mut image = random::background(args.size, &mut rng);
    let (colours, light) = (random::colours(model, &mut rng), random::light(&mut rng));
    raster::draw(&mut image, &view, &model.triangles, &colours, &light);
    let points = bands.landmarks(model, &view);
    let name = format!("images/{index:06}.png");
    let path = args.out.join(&name);
    image.save(&path).with_context(|| path.display().to_string())?;
    let Turn { yaw, pitch, roll } = turn;
    let five = [eye(&points, 36), eye(&points, 42), points[30], points[48], points[54]];
    Ok(Head {
        row: tsv::format_row(Path::new(&name), &five, &points, &[])?,
        pose: format!("{name},{yaw:.2},{pitch:.2},{roll:.2}"),
    })
}

/// Centre of the six points of an eye.
fn eye(points: &[[f32; 2]], first: usize) -> [f32; 2] {
    [0, 1].map(|axis| points[first..first + 6].iter().map(|p| p[axis]).sum::<f32>() / 6.0)
}
