//! Images with landmarks drawn in: points and edges in the colours of the parts of a face, and what a [`Style`] adds.

mod palette;

use anyhow::{Context, Result};
use image::RgbImage;
use star_data::Scheme;
use tiny_skia::{Color, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Rect, Stroke, Transform};

pub use palette::Palette;

use crate::{Ellipse, Face};

/// Axes of the head: to its left, up, to its front.
const AXES: [[u8; 3]; 3] = [[240, 60, 60], [70, 210, 70], [70, 110, 255]];

/// Length of an axis in sides of the face's box.
const AXIS: f32 = 0.45;

/// Ellipses are drawn at this many standard deviations: they hold 86 % of errors that are Gaussian and as large as predicted.
pub const DEVIATIONS: f32 = 2.0;

/// Sides of a face's box to the unit that everything is drawn in.
const FACE: f32 = 220.0;

/// That unit in pixels, least and most: below it nothing is seen.
const UNIT: [f32; 2] = [0.6, 12.0];

/// What is drawn beside points and edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Ellipses of [`DEVIATIONS`] standard deviations, as the covariances say: calibrated where the weights are.
    pub ellipses: bool,
    /// Axes of the head from the middle of its landmarks: red to its left, green up, blue to its front.
    pub axes: bool,
    /// Points by their confidence, red where unsure and green where sure, instead of by the part of the face; as ever where nothing is
    /// known of it.
    pub confidence: bool,
}

/// Draws `faces` into a copy of `image`; returns PNG bytes.
///
/// # Errors
/// When the image is too large to draw on.
pub fn draw(image: &RgbImage, faces: &[Face], scheme: &Scheme, style: Style) -> Result<Vec<u8>> {
    drawn(image, faces, scheme, style)?.encode_png().context("encoding the drawn image")
}

/// Draws `faces` into a copy of `image`, as pixels.
///
/// # Errors
/// When the image is too large to draw on.
pub fn draw_on(image: &RgbImage, faces: &[Face], scheme: &Scheme, style: Style) -> Result<RgbImage> {
    let canvas = drawn(image, faces, scheme, style)?;
    let (width, height) = image.dimensions();
    let pixels =
        canvas.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
    RgbImage::from_raw(width, height, pixels).context("the drawn image")
}

fn drawn(image: &RgbImage, faces: &[Face], scheme: &Scheme, style: Style) -> Result<Pixmap> {
    let (width, height) = image.dimensions();
    let mut canvas = Pixmap::new(width, height).context("the image is too large to draw on")?;
    for (to, from) in canvas.pixels_mut().iter_mut().zip(image.pixels()) {
        let [r, g, b] = from.0;
        // Opaque, so premultiplied and plain colours are the same.
        if let Some(colour) = PremultipliedColorU8::from_rgba(r, g, b, 255) {
            *to = colour;
        }
    }
    let palette = Palette::of(scheme);
    for face in faces {
        draw_face(&mut canvas, face, scheme, &palette, style);
    }
    Ok(canvas)
}

fn draw_face(canvas: &mut Pixmap, face: &Face, scheme: &Scheme, palette: &Palette, style: Style) {
    // All grows with the face, so that a small copy shows the same drawing.
    let unit = (face.face_box.side() / FACE).clamp(UNIT[0], UNIT[1]);
    for (edge, &colour) in scheme.edges.iter().zip(&palette.edges) {
        let mut path = PathBuilder::new();
        for (i, &point) in edge.points.iter().enumerate() {
            let Some(&[x, y]) = face.landmarks.points.get(point) else { continue };
            if i == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        if edge.closed {
            path.close();
        }
        if let Some(path) = path.finish() {
            // By confidence it is the points that speak.
            let colour = if style.confidence { palette::REST } else { colour };
            stroke(canvas, &path, [0; 3], 60, 2.0 * unit);
            stroke(canvas, &path, colour, 200, unit);
        }
    }
    if style.ellipses {
        draw_ellipses(canvas, face, palette, unit);
    }
    if style.axes {
        draw_axes(canvas, face, unit);
    }
    // Small enough to see the ellipse around it.
    let radius = if style.ellipses { 1.1 } else { 1.9 } * unit;
    for (k, &[x, y]) in face.landmarks.points.iter().enumerate() {
        let confidence = face.landmarks.confidence.get(k).filter(|_| style.confidence);
        let own = palette.points.get(k).copied().unwrap_or([255; 3]);
        let colour = confidence.map_or(own, |confidence| palette::of_confidence(*confidence));
        if let Some(dot) = PathBuilder::from_circle(x, y, radius) {
            // A dark rim keeps it apart from skin and from light ground.
            stroke(canvas, &dot, [0; 3], 130, unit);
            fill(canvas, &dot, colour, 255);
        }
    }
}

/// The ellipses of the landmarks, translucent, in the colours of their points.
fn draw_ellipses(canvas: &mut Pixmap, face: &Face, palette: &Palette, unit: f32) {
    for (k, (&[x, y], covariance)) in
        face.landmarks.points.iter().zip(&face.landmarks.covariances).enumerate()
    {
        let ellipse = Ellipse::from_covariance(covariance.map(f64::from));
        let (rx, ry) = (ellipse.major * DEVIATIONS, ellipse.minor * DEVIATIONS);
        let placed = Transform::from_rotate(ellipse.angle).post_translate(x, y);
        let oval = Rect::from_xywh(-rx, -ry, 2.0 * rx, 2.0 * ry).and_then(PathBuilder::from_oval);
        if let Some(oval) = oval.and_then(|oval| oval.transform(placed)) {
            let colour = palette.points.get(k).copied().unwrap_or([255; 3]);
            fill(canvas, &oval, colour, 70);
            stroke(canvas, &oval, colour, 190, 0.6 * unit);
        }
    }
}

/// The axes of the head from the middle of its landmarks.
fn draw_axes(canvas: &mut Pixmap, face: &Face, unit: f32) {
    let (Some(pose), count) = (face.pose, face.landmarks.points.len()) else { return };
    let sum = face.landmarks.points.iter().fold([0.0; 2], |[x, y], p| [x + p[0], y + p[1]]);
    let [x, y] = sum.map(|v| v / count as f32);
    let length = AXIS * face.face_box.side();
    for ([dx, dy], colour) in pose.axes().into_iter().zip(AXES) {
        let mut path = PathBuilder::new();
        path.move_to(x, y);
        path.line_to(x + length * dx, y + length * dy);
        if let Some(path) = path.finish() {
            stroke(canvas, &path, colour, 230, 1.8 * unit);
        }
    }
}

fn paint([r, g, b]: [u8; 3], opacity: u8) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Default::default() };
    paint.set_color(Color::from_rgba8(r, g, b, opacity));
    paint
}

fn fill(canvas: &mut Pixmap, path: &tiny_skia::Path, colour: [u8; 3], opacity: u8) {
    canvas.fill_path(path, &paint(colour, opacity), Default::default(), Transform::identity(), None);
}

fn stroke(canvas: &mut Pixmap, path: &tiny_skia::Path, colour: [u8; 3], opacity: u8, width: f32) {
    let stroke = Stroke { width, ..Default::default() };
    canvas.stroke_path(path, &paint(colour, opacity), &stroke, Transform::identity(), None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Landmarks, Pose};
    use star_data::FaceBox;

    const GROUND: [u8; 3] = [10, 20, 30];

    /// A face of 29 landmarks in one place, deviation 4 pixels, of a drawing of 60 x 40 pixels.
    fn of(style: Style) -> RgbImage {
        let image = RgbImage::from_pixel(60, 40, image::Rgb(GROUND));
        let landmarks = Landmarks {
            points: vec![[30.0, 20.0]; 29],
            covariances: vec![[16.0, 0.0, 16.0]; 29],
            confidence: vec![0.0; 29],
        };
        let face_box = FaceBox { x: 15.0, y: 5.0, width: 30.0, height: 30.0 };
        let face = Face { face_box, score: None, landmarks, pose: Some(Pose::default()) };
        let png = draw(&image, &[face], &Scheme::named("cofw29").unwrap(), style).unwrap();
        image::load_from_memory(&png).unwrap().to_rgb8()
    }

    /// Whether anything but the image is at this distance to the right and below of the landmarks.
    fn reaches(drawn: &RgbImage, distance: u32) -> bool {
        drawn.get_pixel(30 + distance, 20 + distance).0 != GROUND
    }

    #[test]
    fn points_are_drawn_where_they_are_and_ellipses_and_axes_only_where_asked_for() {
        let plain = of(Style::default());
        assert_eq!(plain.dimensions(), (60, 40));
        assert_ne!(plain.get_pixel(30, 20).0, GROUND);
        // The box would be at the border.
        let others = plain.enumerate_pixels().filter(|(x, y, _)| x.abs_diff(30) > 3 || y.abs_diff(20) > 3);
        assert!(others.into_iter().all(|(_, _, pixel)| pixel.0 == GROUND));
        // Two standard deviations are 8 pixels.
        let ellipses = of(Style { ellipses: true, ..Style::default() });
        assert!(reaches(&ellipses, 5) && !reaches(&ellipses, 7));
        // Half the length of an axis up.
        let axes = of(Style { axes: true, ..Style::default() });
        assert!(axes.get_pixel(30, 12).0 != GROUND && !reaches(&axes, 5));
    }

    #[test]
    fn an_unsure_point_is_red_where_confidence_is_asked_for() {
        let red = |style| {
            let [r, g, b] = of(style).get_pixel(30, 20).0;
            r > 150 && g < 100 && b < 100
        };
        assert!(red(Style { confidence: true, ..Style::default() }) && !red(Style::default()));
    }
}
