//! Images with truth, prediction and ellipses drawn over them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::escape;
use crate::Covariance;

/// A crop of an image with what is drawn over it; coordinates in pixels of the crop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GalleryImage {
    /// What the image is of, such as its file.
    pub name: String,
    /// Whether it is one of the best, else one of the worst.
    pub best: bool,
    /// NME, a fraction; `None` where nothing was found.
    pub nme_fraction: Option<f64>,
    /// The crop as a JPEG file.
    pub jpeg: Vec<u8>,
    /// Width and height, pixels.
    pub size: [u32; 2],
    /// True keypoints.
    pub truth: Vec<[f32; 2]>,
    /// Predicted keypoints; empty where nothing was found.
    pub predicted: Vec<[f32; 2]>,
    /// Their covariances; empty where there are none. One standard deviation is drawn.
    pub covariances: Vec<Covariance>,
}

/// The section: best ones, then worst ones; empty without images.
pub(super) fn section(images: &[GalleryImage]) -> String {
    if images.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "<p class=\"note\">Ellipses are one standard deviation of the predicted distribution.</p>\n<div class=\"switches\">",
    );
    let switches = [("truth", "truth", true), ("found", "prediction", true), ("ellipses", "ellipses", false)];
    for (id, label, ticked) in switches {
        let ticked = if ticked { " checked=\"checked\"" } else { "" };
        text += &format!(
            "<label><input type=\"checkbox\" id=\"show-{id}\"{ticked}/><i class=\"i-{id}\"></i>{label}</label>"
        );
    }
    text += "</div>\n";
    for (best, heading) in [(true, "Best"), (false, "Worst")] {
        let chosen: Vec<&GalleryImage> = images.iter().filter(|p| p.best == best).collect();
        if !chosen.is_empty() {
            let figures: String = chosen.into_iter().map(figure).collect();
            text += &format!("<h3>{heading}</h3><div class=\"gallery\">{figures}</div>\n");
        }
    }
    text
}

fn figure(image: &GalleryImage) -> String {
    let [width, height] = image.size;
    let unit = f64::from(width.max(height)) / 240.0;
    let circles = |points: &[[f32; 2]], radius: f64| -> String {
        let finite = points.iter().filter(|p| p.iter().all(|v| v.is_finite()));
        finite.map(|[x, y]| format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.2}\"/>")).collect()
    };
    let mut misses = String::new();
    for (a, b) in image.truth.iter().zip(&image.predicted) {
        if a.iter().chain(b).all(|v| v.is_finite()) {
            let line = [("x1", a[0]), ("y1", a[1]), ("x2", b[0]), ("y2", b[1])];
            let line: String = line.iter().map(|(name, v)| format!(" {name}=\"{v:.1}\"")).collect();
            misses += &format!("<line{line} stroke-width=\"{:.2}\"/>", 0.7 * unit);
        }
    }
    let mut ellipses = String::new();
    for ([x, y], covariance) in image.predicted.iter().zip(&image.covariances) {
        let [small, large] = covariance.eigenvalues().map(|v| v.max(0.0).sqrt());
        let degrees = covariance.direction().to_degrees();
        if [f64::from(*x), f64::from(*y), small, large, degrees].iter().all(|v| v.is_finite()) {
            ellipses += &format!(
                "<ellipse rx=\"{large:.2}\" ry=\"{small:.2}\" transform=\"translate({x:.1} {y:.1}) rotate({degrees:.1})\" \
                 stroke-width=\"{:.2}\"/>",
                0.6 * unit
            );
        }
    }
    let nme =
        image.nme_fraction.map_or_else(|| "nothing found".to_owned(), |v| format!("NME {:.2} %", 100.0 * v));
    let (data, name) = (STANDARD.encode(&image.jpeg), escape(&image.name));
    format!(
        "<figure><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{name}\" xmlns=\"http://www.w3.org/2000/svg\">\
         <image width=\"{width}\" height=\"{height}\" href=\"data:image/jpeg;base64,{data}\"/>\
         <g class=\"misses\">{misses}</g><g class=\"ellipses\">{ellipses}</g><g class=\"truth\">{}</g><g class=\"found\">{}</g></svg>\
         <figcaption><b>{nme}</b><br/>{name}</figcaption></figure>\n",
        circles(&image.truth, 1.5 * unit),
        circles(&image.predicted, 1.2 * unit)
    )
}
