//! `star predict` without an image: a photograph in the program, so that there is something to see.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap::error::ErrorKind;
use star_data::atomic;
use star_predict::weights::BUILTIN;
use star_predict::{Predictor, files, overlay};

use super::printed::Printed;
use crate::args::{Cli, PredictArgs};
use crate::output;

/// Eileen Collins, by NASA, in the public domain (`assets/README.md`).
const PHOTOGRAPH: &[u8] = include_bytes!("../../assets/astronaut.jpg");

/// What its faces are said to be in.
const NAME: &str = "example";

/// What is drawn, without a folder asked for in the one that the program was started in.
const DRAWN: &str = "star-example.png";

/// What to try next.
const NEXT: &str = "
next:
  star predict face.jpg                    your own photograph; many, or folders of them
  star predict face.jpg --out drawn        landmarks drawn in; --ellipses, --axes and --confidence for more
  star predict face.jpg --json -           everything as JSON; --csv FILE for a table
  star predict face.jpg --crops faces      faces cut out upright, 112 x 112 pixels
  star predict clip.mp4 --out drawn.mp4    faces followed through a video (needs ffmpeg)
  star --help                              training, scoring and the rest
";

/// Ends the program as a misused option does where more was said than the example has use for.
pub(super) fn check(args: &PredictArgs) {
    if args.predictor.weights.weights != Path::new(BUILTIN) || !args.boxes.is_empty() {
        let what = "the following required arguments were not provided: <IMAGE>...: the photograph in the program is for its own weights";
        Cli::command().error(ErrorKind::MissingRequiredArgument, what).exit();
    }
}

/// Draws the faces of the photograph in the program.
///
/// # Errors
/// When the drawing cannot be written.
pub(super) fn run(args: &PredictArgs, predictor: &Predictor, printed: &mut Printed) -> Result<()> {
    let scheme = predictor.scheme().context("the weights are of no known scheme")?;
    let image = image::load_from_memory(PHOTOGRAPH).context("the photograph in the program")?.to_rgb8();
    let faces = predictor.predict(&image)?;
    printed.image(super::record(predictor, Path::new(NAME), &faces))?;
    let path = match &args.out {
        Some(dir) => {
            files::make_dir(dir)?;
            dir.join(DRAWN)
        }
        None => PathBuf::from(DRAWN),
    };
    // What an earlier run drew is as good; what somebody else put there stays.
    match output::claim(&path, &[] as &[&Path]) {
        Ok(()) => {
            atomic::write(&path, &overlay::draw(&image, &faces, scheme, args.drawing.style())?)?;
            say!("no image was named: drew the example, Eileen Collins by NASA, as {}", path.display());
        }
        Err(error) => say!("no image was named, and the example was not drawn again: {error}"),
    }
    say!("{}", NEXT.trim_end());
    Ok(())
}
