//! `star data convert`: a data set written down in another format.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use star_data::atomic;
use star_data::crop::CropRule;
use star_data::formats::{Format, coco, own, tsv};
use star_data::{Annotation, Dataset, FaceBox};
use star_predict::files;

use super::{copies, inputs};
use crate::args::{ConvertDataArgs, DataFormat, Target};
use crate::{progress, source};

/// Folder for the images of data sets whose images have no files of their own.
const IMAGES: &str = "images";

/// Largest difference in pixels between a box and the landmark-tight one that is rounding.
const TIGHT: f32 = 1e-2;

/// Runs `star data convert`.
///
/// # Errors
/// When rows cannot be read or said in the other format, or files cannot be written.
pub(super) fn run(args: &ConvertDataArgs) -> Result<()> {
    let mut written = vec![args.out.clone()];
    if matches!(args.to, Target::Own) {
        written.push(args.out.with_extension("csv"));
    }
    let endings: &[&str] = match args.to {
        Target::Tsv => &["tsv"],
        Target::Coco => &["json"],
        Target::Own => &["toml", "csv"],
    };
    inputs::claim(&written, &args.faces.source, endings)?;
    let opened = source::usable(source::open_faces(&args.faces)?, &args.faces.source)?;
    let dataset = opened.dataset;
    for note in &opened.notes {
        say!("note: {note}");
    }
    let folder = star_data::formats::folder_of(&args.out);
    files::make_dir(&folder)?;
    let without_files = (0..dataset.len()).any(|i| dataset.image_path(i).is_none());
    let folder_of_copies = args.copy_images.clone().or_else(|| without_files.then(|| folder.join(IMAGES)));
    let mut faces = (0..dataset.len()).map(|i| dataset.annotation(i)).collect::<Result<Vec<_>, _>>()?;
    inputs::claim_images(&written, dataset.as_ref())?;
    match &folder_of_copies {
        Some(folder) => copies::write(dataset.as_ref(), &mut faces, folder)?,
        None if matches!(args.to, Target::Coco) => {}
        None => copies::none_turned(dataset.as_ref(), args.to)?,
    }
    let images = folder_of_copies.map_or_else(|| common_root(dataset.as_ref(), &faces), Ok)?;
    match args.to {
        Target::Tsv => write_rows(args, dataset.as_ref(), &faces)?,
        Target::Coco => {
            let sizes = sizes(dataset.as_ref(), &faces)?;
            let faces: Vec<(Annotation, [u32; 2])> = faces.into_iter().zip(sizes).collect();
            let (text, notes) = match args.faces.source.format {
                // What other programs left in the file stays in it.
                DataFormat::Files(Format::Coco) => {
                    coco::to_json_keeping(&faces, dataset.scheme(), args.faces.source.place())?
                }
                _ => (coco::to_json(&faces, dataset.scheme())?, Vec::new()),
            };
            notes.iter().for_each(|note| say!("note: {note}"));
            atomic::write(&args.out, text.as_bytes())?;
        }
        Target::Own => write_own(args, dataset.as_ref(), &faces, &folder, &images)?,
    }
    say!("{} faces written to {}; images are below {}", dataset.len(), args.out.display(), images.display());
    Ok(())
}

fn write_rows(args: &ConvertDataArgs, dataset: &dyn Dataset, faces: &[Annotation]) -> Result<()> {
    let mut text = String::new();
    if args.header {
        text += tsv::HEADER;
        text += "\n";
    }
    for face in faces {
        // The box by the rule in full precision where it follows it.
        let tight =
            CropRule::LandmarkTight.apply(&face.points, None).is_ok_and(|tight| same(&tight, &face.face));
        let (rule, stated) =
            if tight { (CropRule::LandmarkTight, None) } else { (CropRule::Stated, Some(face.face)) };
        let row = Annotation { stated, ..face.clone() };
        text += &tsv::format_annotation(&row, dataset.scheme(), rule)?;
        text += "\n";
    }
    Ok(atomic::write(&args.out, text.as_bytes())?)
}

fn same(a: &FaceBox, b: &FaceBox) -> bool {
    [a.x - b.x, a.y - b.y, a.width - b.width, a.height - b.height].iter().all(|v| v.abs() < TIGHT)
}

fn write_own(
    args: &ConvertDataArgs,
    dataset: &dyn Dataset,
    faces: &[Annotation],
    folder: &Path,
    images: &Path,
) -> Result<()> {
    let table = args.out.with_extension("csv");
    ensure!(table != args.out, "{}: expected a name that ends in .toml", args.out.display());
    let images = match images.strip_prefix(folder) {
        Ok(below) => below.to_path_buf(),
        Err(_) => std::fs::canonicalize(images).with_context(|| images.display().to_string())?,
    };
    let name = table.file_name().map(PathBuf::from).unwrap_or_default();
    let split = args.faces.source.split.as_deref();
    let (head, rows) = own::to_files(faces, dataset.scheme(), split, &name, &images)?;
    atomic::write(&table, rows.as_bytes())?;
    Ok(atomic::write(&args.out, head.as_bytes())?)
}

/// The folder that the paths of images start from.
fn common_root(dataset: &dyn Dataset, faces: &[Annotation]) -> Result<PathBuf> {
    let first = faces.first().and_then(|face| Some((dataset.image_path(0)?, &face.image)));
    let root = first
        .and_then(|(file, image)| file.ancestors().nth(image.components().count()).map(Path::to_path_buf));
    let root = root.context("the images have no folder: name one with --copy-images")?;
    Ok(if root.as_os_str().is_empty() { PathBuf::from(".") } else { root })
}

/// Width and height of every face's image; each is looked at once, its header alone where it has a file.
fn sizes(dataset: &dyn Dataset, faces: &[Annotation]) -> Result<Vec<[u32; 2]>> {
    let bar = progress::bar(faces.len(), "images");
    let mut known: HashMap<&Path, [u32; 2]> = HashMap::new();
    let mut sizes = Vec::with_capacity(faces.len());
    for (i, face) in faces.iter().enumerate() {
        let size = match known.get(face.image.as_path()) {
            Some(size) => *size,
            None => {
                let header = dataset.image_path(i).and_then(|file| image::ImageReader::open(file).ok());
                let header =
                    header.and_then(|reader| reader.with_guessed_format().ok()?.into_dimensions().ok());
                // What is stated says which way up the image was annotated.
                match dataset.written(i).size.or(header.map(|(width, height)| [width, height])) {
                    Some(size) => size,
                    None => {
                        let image = dataset.get(i)?.image;
                        [image.width(), image.height()]
                    }
                }
            }
        };
        known.insert(&face.image, size);
        sizes.push(size);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(sizes)
}
