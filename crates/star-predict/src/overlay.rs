//! Images with boxes, edges, points and ellipses drawn in.

use anyhow::{Context, Result};
use image::RgbImage;
use star_data::Scheme;
use tiny_skia::{Color, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Rect, Stroke, Transform};

use crate::{Ellipse, Face};

const BOX: [u8; 4] = [255, 255, 255, 160];
const EDGE: [u8; 4] = [60, 190, 255, 200];
const ELLIPSE: [u8; 4] = [255, 110, 30, 210];
const POINT: [u8; 4] = [120, 255, 80, 255];

/// Axes of the head: to its left, up, to its front.
const AXES: [[u8; 4]; 3] = [[240, 60, 60, 230], [70, 210, 70, 230], [70, 110, 255, 230]];

/// Length of an axis in sides of the face's box.
const AXIS: f32 = 0.45;

/// Ellipses are drawn at this many standard deviations.
const DEVIATIONS: f32 = 1.0;

/// Draws `faces` into a copy of `image`; returns PNG bytes.
///
/// # Errors
/// When the image is too large to draw on.
pub fn draw(image: &RgbImage, faces: &[Face], scheme: &Scheme) -> Result<Vec<u8>> {
    let (width, height) = image.dimensions();
    let mut canvas = Pixmap::new(width, height).context("the image is too large to draw on")?;
    for (to, from) in canvas.pixels_mut().iter_mut().zip(image.pixels()) {
        let [r, g, b] = from.0;
        // Opaque, so premultiplied and plain colours are the same.
        if let Some(colour) = PremultipliedColorU8::from_rgba(r, g, b, 255) {
            *to = colour;
        }
    }
    for face in faces {
        draw_face(&mut canvas, face, scheme);
    }
    canvas.encode_png().context("encoding the drawn image")
}

fn draw_face(canvas: &mut Pixmap, face: &Face, scheme: &Scheme) {
    // Line width grows with the face so that a small preview shows the same drawing; below a pixel nothing is seen.
    let unit = (face.face_box.side() / 200.0).clamp(0.9, 6.0);
    if let Some(rect) =
        Rect::from_xywh(face.face_box.x, face.face_box.y, face.face_box.width, face.face_box.height)
    {
        stroke(canvas, &PathBuilder::from_rect(rect), BOX, unit, Transform::identity());
    }
    for edge in &scheme.edges {
        let mut path = PathBuilder::new();
        for (i, &point) in edge.points.iter().enumerate() {
            let Some(&[x, y]) = face.landmarks.points.get(point) else { continue };
            if i == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        if edge.closed {
            path.close();
        }
        if let Some(path) = path.finish() {
            stroke(canvas, &path, EDGE, 0.8 * unit, Transform::identity());
        }
    }
    for (&[x, y], covariance) in face.landmarks.points.iter().zip(&face.landmarks.covariances) {
        let ellipse = Ellipse::from_covariance(covariance.map(f64::from));
        let (rx, ry) = (ellipse.major * DEVIATIONS, ellipse.minor * DEVIATIONS);
        let Some(oval) = Rect::from_xywh(-rx, -ry, 2.0 * rx, 2.0 * ry).and_then(PathBuilder::from_oval)
        else {
            continue;
        };
        let placed = Transform::from_rotate(ellipse.angle).post_translate(x, y);
        if let Some(oval) = oval.transform(placed) {
            stroke(canvas, &oval, ELLIPSE, 0.6 * unit, Transform::identity());
        }
    }
    draw_axes(canvas, face, unit);
    for &[x, y] in &face.landmarks.points {
        if let Some(dot) = PathBuilder::from_circle(x, y, 1.3 * unit) {
            canvas.fill_path(&dot, &paint(POINT), Default::default(), Transform::identity(), None);
        }
    }
}

/// The axes of the head from the middle of its landmarks: red to its left, green up, blue to its front.
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
            stroke(canvas, &path, colour, 1.6 * unit, Transform::identity());
        }
    }
}

fn paint([r, g, b, a]: [u8; 4]) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Default::default() };
    paint.set_color(Color::from_rgba8(r, g, b, a));
    paint
}

fn stroke(canvas: &mut Pixmap, path: &tiny_skia::Path, colour: [u8; 4], width: f32, transform: Transform) {
    canvas.stroke_path(path, &paint(colour), &Stroke { width, ..Default::default() }, transform, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Landmarks;
    use star_data::FaceBox;

    #[test]
    fn a_point_is_drawn_where_it_is_and_the_rest_stays_as_it_was() {
        let image = RgbImage::from_pixel(60, 40, image::Rgb([10, 20, 30]));
        let landmarks = Landmarks {
            points: vec![[30.0, 20.0]; 29],
            covariances: vec![[16.0, 0.0, 4.0]; 29],
            confidence: Vec::new(),
        };
        let face_box = FaceBox { x: 15.0, y: 5.0, width: 30.0, height: 30.0 };
        let face = Face { face_box, score: None, landmarks, pose: None };
        let png = draw(&image, &[face], &Scheme::named("cofw29").unwrap()).unwrap();
        let drawn = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(drawn.dimensions(), (60, 40));
        let green = drawn.get_pixel(30, 20).0;
        assert!(green[1] > 150 && green[1] > green[0], "{green:?}");
        assert_eq!(drawn.get_pixel(2, 2).0, [10, 20, 30]);
    }
}
