//! `star quantize`: which convolutions may be products of bytes, and of which ranges, kept in the weights' folder.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use star_data::images::{self, Depth};
use star_data::{Annotation, Dataset, Error, Sample, Scheme, decode};
use star_model::CompileOptions;
use star_model::checkpoint::{CONFIG_FILE, Folder, WEIGHTS_FILE};
use star_predict::confidence::{CONFIDENCE_FILE, ConfidenceModel};
use star_predict::images::predict_images;
use star_predict::weights::keep_scheme;
use star_predict::{Face, Predictor, failure};
use star_train::evaluate::{self, LossBound};

use crate::args::QuantizeArgs;
use crate::{data, output, progress, source, weights};

/// Runs `star quantize`.
///
/// # Errors
/// When weights or images cannot be read, no face is found, or the result cannot be written.
pub(crate) fn run(args: &QuantizeArgs) -> Result<()> {
    let photographs = source::photographs(&args.source)?;
    let inputs = data::inputs::files(&args.source)?;
    output::claim_in(&args.out, &[WEIGHTS_FILE, CONFIG_FILE, CONFIDENCE_FILE], &inputs)?;
    let (mut folder, scheme) = weights::open(&args.weights)?;
    let confidence = weights::confidence(&args.weights, &scheme)?;
    let (dataset, name, bound): (Arc<dyn Dataset>, _, _) = match photographs {
        Some(dir) => {
            let (found, name) = Found::look(dir, args.source.lenient, &folder, &scheme, confidence.clone())?;
            (Arc::new(found), name, LossBound::Shift)
        }
        None => {
            let dataset = source::open(&args.source, &scheme)?;
            let name = format!("{} faces of {}", dataset.len(), source::name(&args.source));
            (dataset, name, LossBound::Nme)
        }
    };
    let bar = progress::spinner();
    let found = evaluate::quantize(&folder, &scheme, &dataset, bound, &name, &mut |now| {
        bar.set_message(now.to_string());
    })?;
    bar.finish_and_clear();
    let nme = found.nme_fractions.map_or_else(String::new, |nme| {
        let [before, after] = nme.map(|nme| 100.0 * nme);
        format!("NME {before:.3} % before, {after:.3} % after, ")
    });
    let told = format!(
        "{} convolutions of bytes; {nme}on {name}; landmarks move by {:.3} % of the normalizer",
        found.ranges.len(),
        100.0 * found.shift_fraction
    );
    folder.config.quantization = Some(found);
    keep_scheme(&mut folder, &scheme)?;
    folder.save(&args.out).with_context(|| format!("writing {}", args.out.display()))?;
    if let Some(model) = confidence {
        model.save(&args.out)?;
    }
    say!("{}: written; {told}", args.out.display());
    Ok(())
}

/// Faces that were found in photographs, which are turned as their EXIF says; their points are the network's own in f32.
struct Found {
    faces: Vec<Annotation>,
    scheme: Scheme,
}

impl Found {
    /// Looks for faces in the photographs of `dir`; with a name for what was found. Images that cannot be read are left out where `lenient`.
    ///
    /// # Errors
    /// When there is no image, no face, or an image cannot be read and may not be left out.
    fn look(
        dir: &Path,
        lenient: bool,
        folder: &Folder,
        scheme: &Scheme,
        confidence: Option<ConfidenceModel>,
    ) -> Result<(Self, String)> {
        let paths = images::list(&[dir.to_path_buf()], Depth::Below).context("--images")?.images;
        let threads = rayon::current_num_threads().max(1);
        let workers = threads.min(paths.len()).max(1);
        let options = CompileOptions { threads: Some(threads / workers), ..CompileOptions::default() };
        // As the faces' boxes have it, not levelled: what the points are compared with comes of those crops.
        let predictor = Predictor::from_folder(folder, &Device::Cpu, &options)?
            .with_scheme(scheme.clone())
            .with_confidence(confidence)
            .with_upright(false);
        let file: Arc<Path> = dir.into();
        let annotation = |i: usize, face: Face| Annotation {
            file: file.clone(),
            line: i + 1,
            image: paths[i].clone(),
            points: face.landmarks.points,
            visibility: None,
            stated: Some(face.face_box),
            face: face.face_box,
            tags: Vec::new(),
        };
        let bar = progress::bar(paths.len(), "images");
        let (mut faces, mut read) = (Vec::new(), 0);
        predict_images(
            &predictor,
            &paths,
            None,
            workers,
            |_, _, found| found,
            |i, found| {
                match found {
                    Ok(found) => {
                        faces.extend(found.into_iter().map(|face| annotation(i, face)));
                        read += 1;
                    }
                    Err(error) if lenient => bar.suspend(|| say!("left out: {}", failure::describe(&error))),
                    Err(error) => {
                        return Err(error.context("--images (--lenient leaves out what cannot be read)"));
                    }
                }
                bar.inc(1);
                Ok(())
            },
        )?;
        bar.finish_and_clear();
        ensure!(
            !faces.is_empty(),
            "{}: expected photographs of people, found no face in {read} images; name a folder with some hundred faces, or annotated \
             images by --annotations",
            dir.display()
        );
        let name = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy();
        let name = format!("{} faces found in {read} images of {name}", faces.len());
        Ok((Self { faces, scheme: scheme.clone() }, name))
    }
}

impl Dataset for Found {
    fn len(&self) -> usize {
        self.faces.len()
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    fn get(&self, index: usize) -> star_data::Result<Sample> {
        let face = self.annotation(index)?;
        let image = decode::decode_oriented(&face.image)?;
        Ok(face.with_image(image))
    }

    fn annotation(&self, index: usize) -> star_data::Result<Annotation> {
        self.faces.get(index).cloned().ok_or(Error::Index { index, len: self.len() })
    }
}
