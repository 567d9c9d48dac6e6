//! The best and the worst faces of an evaluation as small images for its report.

use anyhow::{Context, Result};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use star_data::affine::Affine;
use star_data::crop::Crop;
use star_data::{FaceBox, warp};
use star_eval::{Case, Covariance, GalleryImage};

/// Images of each kind.
const EACH: usize = 8;
/// Side of an image, pixels.
const SIDE: usize = 280;
/// Side of what is shown, in sides of the box around true and predicted landmarks.
const MARGIN: f32 = 1.3;
const JPEG_QUALITY: u8 = 82;

/// Images of the faces with the smallest and with the largest errors (`None` is the largest), `EACH` of each at most and none twice.
/// `open` decodes the image of a face; faces whose image cannot be opened are counted and left out.
///
/// # Errors
/// When an image cannot be encoded.
pub fn best_and_worst(
    cases: &[Case],
    nmes: &[Option<f64>],
    open: impl Fn(usize) -> Result<RgbImage>,
) -> Result<(Vec<GalleryImage>, usize)> {
    let mut order: Vec<usize> = (0..cases.len().min(nmes.len())).collect();
    let error = |i: usize| nmes[i].unwrap_or(f64::INFINITY);
    order.sort_by(|&a, &b| error(a).total_cmp(&error(b)));
    let each = EACH.min(order.len().div_ceil(2));
    let best = order.iter().take(each).map(|&i| (i, true));
    let worst = order.iter().rev().take(each.min(order.len() - each)).map(|&i| (i, false));
    let (mut images, mut unreadable) = (Vec::new(), 0);
    for (index, is_best) in best.chain(worst) {
        match open(index) {
            Ok(image) => images.push(shown_face(&cases[index], nmes[index], is_best, &image)?),
            Err(_) => unreadable += 1,
        }
    }
    Ok((images, unreadable))
}

fn shown_face(case: &Case, nme_fraction: Option<f64>, best: bool, image: &RgbImage) -> Result<GalleryImage> {
    let shown = shown(case)?;
    let map = Crop::new(SIDE).transform(&shown)?;
    let small = warp::warp(image, &map, SIDE)?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)
        .encode_image(&small)
        .with_context(|| format!("{}: encoding a small image", case.name))?;
    let moved = |points: &[[f32; 2]]| points.iter().map(|p| map.apply(*p)).collect();
    Ok(GalleryImage {
        name: case.name.clone(),
        best,
        nme_fraction,
        jpeg,
        size: [SIDE as u32; 2],
        truth: moved(&case.truth),
        predicted: moved(case.predicted.as_deref().unwrap_or_default()),
        covariances: case.covariances.iter().flatten().map(|c| scaled(c, &map)).collect(),
    })
}

/// The square around all that is drawn, but not farther out than twice the face, so that one lost landmark does not shrink it.
fn shown(case: &Case) -> Result<FaceBox> {
    let finite = |p: &&[f32; 2]| p.iter().all(|v| v.is_finite());
    let truth: Vec<[f32; 2]> = case.truth.iter().filter(finite).copied().collect();
    let tight = match (FaceBox::around(&truth), case.stated_sides, truth.first()) {
        (Ok(tight), ..) => tight,
        // A single keypoint spans nothing: as much about it as the stated box is large.
        (Err(_), Some([width, height]), Some(&point)) if width.max(height) > 0.0 => {
            FaceBox::from_scale_and_centre(width.max(height) / FaceBox::PIXELS_PER_SCALE, point)
        }
        (Err(error), ..) => return Err(error).with_context(|| case.name.clone()),
    };
    let both: Vec<[f32; 2]> =
        truth.iter().chain(case.predicted.iter().flatten().filter(finite)).copied().collect();
    let wide = FaceBox::around(&both).unwrap_or(tight);
    let side = (MARGIN * wide.side()).min(2.0 * tight.side());
    let centre = if side < 2.0 * tight.side() { wide.centre() } else { tight.centre() };
    Ok(FaceBox::from_scale_and_centre(side / FaceBox::PIXELS_PER_SCALE, centre))
}

/// A crop neither turns nor stretches, so that a covariance grows by the square of its scale.
fn scaled(c: &Covariance, map: &Affine) -> Covariance {
    let [[scale, ..], _] = map.matrix();
    let square = scale * scale;
    Covariance { xx: c.xx * square, xy: c.xy * square, yy: c.yy * square }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str) -> Case {
        Case {
            name: name.into(),
            truth: vec![[10.0, 10.0], [50.0, 10.0], [30.0, 50.0]],
            predicted: Some(vec![[11.0, 10.0], [50.0, 12.0], [30.0, 50.0]]),
            covariances: Some(vec![Covariance::from_axes(2.0, 1.0, 0.0); 3]),
            ..Default::default()
        }
    }

    #[test]
    fn no_face_is_shown_twice_and_a_missing_one_is_the_worst() {
        let cases = [case("a"), case("b"), case("c")];
        let open = |_| Ok(RgbImage::from_pixel(64, 64, image::Rgb([90, 120, 150])));
        let (images, unreadable) = best_and_worst(&cases, &[Some(0.02), None, Some(0.01)], open).unwrap();
        let shown: Vec<(&str, bool)> = images.iter().map(|p| (p.name.as_str(), p.best)).collect();
        assert_eq!((shown, unreadable), (vec![("c", true), ("a", true), ("b", false)], 0));
        assert!(image::load_from_memory(&images[0].jpeg).unwrap().width() == SIDE as u32);
        // Everything drawn lies in the image; 40 px of face and a margin fill 280 px.
        let inside = |p: &[f32; 2]| p.iter().all(|v| (0.0..SIDE as f32).contains(v));
        assert!(images[0].truth.iter().chain(&images[0].predicted).all(inside));
        let scale = SIDE as f64 / (1.3 * 40.0);
        assert!(
            (images[0].covariances[0].xx.sqrt() - 2.0 * scale).abs() < 0.5,
            "{:?}",
            images[0].covariances
        );
    }

    #[test]
    fn an_image_that_cannot_be_opened_is_counted() {
        let (images, unreadable) =
            best_and_worst(&[case("a")], &[Some(0.1)], |_| anyhow::bail!("no such file")).unwrap();
        assert_eq!((images.len(), unreadable), (0, 1));
    }
}
