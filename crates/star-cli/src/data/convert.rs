//! `star data convert`: a data set written down in another format.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::{ImageEncoder, RgbImage};
use star_data::atomic;
use star_data::crop::CropRule;
use star_data::decode::{self, Upright};
use star_data::formats::{Format, coco, own, tsv};
use star_data::{Annotation, Dataset, FaceBox};
use star_predict::files;

use crate::args::{ConvertDataArgs, SourceArgs, Target};
use crate::{output, progress, source};

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
    let inputs = inputs(&args.faces.source)?;
    written.iter().try_for_each(|path| output::claim(path, &inputs))?;
    written.iter().try_for_each(|path| beside_inputs(path, &args.faces.source.annotations, args.to))?;
    let opened = source::usable(source::open_faces(&args.faces)?, &args.faces.source)?;
    let dataset = opened.dataset;
    for note in &opened.notes {
        say!("note: {note}");
    }
    let folder = star_data::formats::folder_of(&args.out);
    files::make_dir(&folder)?;
    let without_files = (0..dataset.len()).any(|i| dataset.image_path(i).is_none());
    let copies = args.copy_images.clone().or_else(|| without_files.then(|| folder.join(IMAGES)));
    let mut faces = (0..dataset.len()).map(|i| dataset.annotation(i)).collect::<Result<Vec<_>, _>>()?;
    if written.iter().any(|path| path.exists()) {
        let images: Vec<PathBuf> = (0..dataset.len()).filter_map(|i| dataset.image_path(i)).collect();
        written.iter().try_for_each(|path| output::claim(path, &images))?;
    }
    match &copies {
        Some(copies) => copy_images(dataset.as_ref(), &mut faces, copies)?,
        None if matches!(args.to, Target::Coco) => {}
        None => none_turned(dataset.as_ref(), args.to)?,
    }
    let images = copies.map_or_else(|| common_root(dataset.as_ref(), &faces), Ok)?;
    match args.to {
        Target::Tsv => write_rows(args, dataset.as_ref(), &faces)?,
        Target::Coco => {
            let sizes = sizes(dataset.as_ref(), &faces)?;
            let faces: Vec<(Annotation, [u32; 2])> = faces.into_iter().zip(sizes).collect();
            let (text, notes) = match args.faces.source.format {
                // What other programs left in the file stays in it.
                Format::Coco => {
                    coco::to_json_keeping(&faces, dataset.scheme(), &args.faces.source.annotations)?
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

/// The files that are not written over: the annotations, and what they name beside images.
fn inputs(source: &SourceArgs) -> Result<Vec<PathBuf>> {
    let annotations = &source.annotations;
    let mut inputs = match source.format {
        Format::Own => own::files(annotations)?,
        _ => Vec::new(),
    };
    inputs.push(annotations.clone());
    Ok(inputs)
}

/// # Errors
/// Where `path` is there already, in the folder of a data set, and its ending is not one that conversions write.
fn beside_inputs(path: &Path, annotations: &Path, target: Target) -> Result<()> {
    let written: &[&str] = match target {
        Target::Tsv => &["tsv"],
        Target::Coco => &["json"],
        Target::Own => &["toml", "csv"],
    };
    let (Ok(here), Ok(folder)) = (std::fs::canonicalize(path), std::fs::canonicalize(annotations)) else {
        return Ok(());
    };
    let ending = here.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ensure!(
        !folder.is_dir()
            || !here.starts_with(&folder)
            || ending.is_some_and(|e| written.contains(&e.as_str())),
        "{}: may be an input, since it is in the folder {}, and is not written over",
        path.display(),
        annotations.display()
    );
    Ok(())
}

/// The image of a face that was annotated as its EXIF block turns it, the way that its points count; `None` where they count along the
/// pixels of its file.
fn turned(dataset: &dyn Dataset, i: usize) -> Result<Option<RgbImage>> {
    let Some((size, file)) = dataset.written(i).size.zip(dataset.image_path(i)) else { return Ok(None) };
    Ok(decode::decode_turned(&file, Upright::Stated(size))?)
}

/// # Errors
/// Names the first image that is turned, which rows of `target` cannot say.
fn none_turned(dataset: &dyn Dataset, target: Target) -> Result<()> {
    for i in 0..dataset.len() {
        ensure!(
            turned(dataset, i)?.is_none(),
            "{}: was annotated turned as its EXIF block says, which files of format {} cannot tell: --copy-images DIR writes images \
             that need no turning",
            dataset.source(i).display(),
            if matches!(target, Target::Own) { "own" } else { "tsv" }
        );
    }
    Ok(())
}

/// Writes every image below `folder`, under its own path; files that are there already are left, so that an interrupted conversion
/// goes on where it was. One that was annotated turned is written as PNG with its pixels turned, and the faces on it name that.
fn copy_images(dataset: &dyn Dataset, faces: &mut [Annotation], folder: &Path) -> Result<()> {
    let taken: HashSet<PathBuf> = faces.iter().map(|face| face.image.clone()).collect();
    let mut upright: HashMap<PathBuf, Option<PathBuf>> = HashMap::new();
    let bar = progress::bar(faces.len(), "images");
    for (i, face) in faces.iter_mut().enumerate() {
        if !upright.contains_key(&face.image) {
            let name = match turned(dataset, i)? {
                Some(image) => {
                    let name = png_name(&face.image, &taken);
                    let path = folder.join(&name);
                    files::make_dir(&star_data::formats::folder_of(&path))?;
                    let bytes = png(&image)?;
                    if path.exists() {
                        let same = std::fs::read(&path).is_ok_and(|there| there == bytes);
                        ensure!(
                            same,
                            "{}: another image is there already; name another --copy-images",
                            path.display()
                        );
                    } else {
                        atomic::write(&path, &bytes)?;
                    }
                    Some(name)
                }
                None => None,
            };
            upright.insert(face.image.clone(), name);
        }
        if let Some(Some(name)) = upright.get(&face.image) {
            face.image = name.clone();
            bar.inc(1);
            continue;
        }
        let path = folder.join(&face.image);
        if !path.is_file() {
            files::make_dir(&star_data::formats::folder_of(&path))?;
            let sample = dataset.get(i)?;
            match dataset.image_path(i) {
                Some(file) => {
                    let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
                    atomic::write(&path, &bytes)?;
                }
                None => atomic::write(&path, &png(&sample.image)?)?,
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The name of an image as PNG, which none of `taken` is.
fn png_name(image: &Path, taken: &HashSet<PathBuf>) -> PathBuf {
    let name = image.with_extension("png");
    if !taken.contains(&name) {
        return name;
    }
    let mut longer = image.as_os_str().to_owned();
    longer.push(".png");
    PathBuf::from(longer)
}

fn png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder
        .write_image(image.as_raw(), image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .context("encoding an image as PNG")?;
    Ok(bytes)
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
