//! One tile of a contact sheet: a part of an image with boxes, edges and points over it.

use image::RgbImage;
use image::imageops::{self, FilterType};
use star_data::{Annotation, FaceBox, Scheme};
use tiny_skia::{
    Color, FillRule, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Rect, Stroke, StrokeDash, Transform,
};

pub(super) const EDGE: [u8; 4] = [70, 195, 255, 210];
pub(super) const VISIBLE: [u8; 4] = [120, 255, 80, 255];
pub(super) const HIDDEN: [u8; 4] = [255, 120, 40, 255];
pub(super) const CROP: [u8; 4] = [255, 255, 255, 200];
pub(super) const STATED: [u8; 4] = [255, 214, 60, 220];

/// Difference between crop box and stated box below which one is drawn, in pixels of the image.
const SAME: f32 = 0.5;

/// Sides of a tile to the radius of a point on a whole image, and that radius in pixels at least: three pixels across.
const SEEN: f32 = 240.0;
const LEAST: f32 = 1.5;

/// One face and how much of its image is shown: so many sides of its box, or `None` for all.
pub(in crate::data) struct Tile<'a> {
    pub(in crate::data) face: &'a Annotation,
    pub(in crate::data) image: &'a RgbImage,
    pub(in crate::data) scheme: &'a Scheme,
    pub(in crate::data) shown: Option<f32>,
}

impl Tile<'_> {
    /// The tile, `side` pixels wide and high; `None` where that is nothing.
    pub(super) fn draw(&self, side: u32) -> Option<Pixmap> {
        let window = window(self);
        let scale = side as f32 / window[2];
        let mut pixmap = Pixmap::new(side, side)?;
        paste(&mut pixmap, self.image, window, scale);
        marks(&mut pixmap, self, window, scale);
        Some(pixmap)
    }
}

/// Left, top and side of the square of the image that a tile shows, in pixel centres.
fn window(tile: &Tile) -> [f32; 3] {
    let (width, height) = (tile.image.width() as f32, tile.image.height() as f32);
    let (centre, side) = match tile.shown {
        Some(margin) => (tile.face.face.centre(), (tile.face.face.side() * margin).max(1.0)),
        None => ([(width - 1.0) / 2.0, (height - 1.0) / 2.0], width.max(height)),
    };
    [centre[0] - side / 2.0, centre[1] - side / 2.0, side]
}

/// The part of the image that lies in the window, scaled with all its pixels averaged.
fn paste(pixmap: &mut Pixmap, image: &RgbImage, [left, top, side]: [f32; 3], scale: f32) {
    // Whole pixels that the window touches.
    let edge = |v: f32, most: u32| (v.max(0.0) as u32).min(most);
    let (x0, y0) = (edge((left + 0.5).floor(), image.width()), edge((top + 0.5).floor(), image.height()));
    let x1 = edge((left + side + 0.5).ceil(), image.width());
    let y1 = edge((top + side + 0.5).ceil(), image.height());
    if x0 >= x1 || y0 >= y1 {
        return;
    }
    let part = imageops::crop_imm(image, x0, y0, x1 - x0, y1 - y0).to_image();
    let scaled = |pixels: u32| ((pixels as f32 * scale).round() as u32).max(1);
    let part = imageops::resize(&part, scaled(x1 - x0), scaled(y1 - y0), FilterType::Triangle);
    let (dx, dy) =
        (((x0 as f32 - 0.5 - left) * scale).round() as i64, ((y0 as f32 - 0.5 - top) * scale).round() as i64);
    let size = i64::from(pixmap.width());
    let pixels = pixmap.pixels_mut();
    for (x, y, pixel) in part.enumerate_pixels() {
        let (px, py) = (i64::from(x) + dx, i64::from(y) + dy);
        let [r, g, b] = pixel.0;
        if (0..size).contains(&px)
            && (0..size).contains(&py)
            && let Some(colour) = PremultipliedColorU8::from_rgba(r, g, b, 255)
        {
            pixels[(py * size + px) as usize] = colour;
        }
    }
}

/// Boxes, edges and points over the image.
fn marks(pixmap: &mut Pixmap, tile: &Tile, [left, top, _]: [f32; 3], scale: f32) {
    let face = tile.face;
    let at = |[x, y]: [f32; 2]| [(x - left) * scale, (y - top) * scale];
    let there = |k: usize| face.points.get(k).copied().filter(|p| p.iter().all(|v| v.is_finite()));
    let outline = |place: &FaceBox| {
        let [x, y] = at([place.x, place.y]);
        Rect::from_xywh(x, y, place.width * scale, place.height * scale).map(PathBuilder::from_rect)
    };
    let differs = |a: &FaceBox, b: &FaceBox| {
        [a.x - b.x, a.y - b.y, a.width - b.width, a.height - b.height].iter().any(|v| v.abs() > SAME)
    };
    if let Some(path) = outline(&face.face) {
        stroke(pixmap, &path, CROP, 1.2, None);
    }
    if let Some(path) = face.stated.filter(|stated| differs(stated, &face.face)).as_ref().and_then(outline) {
        stroke(pixmap, &path, STATED, 1.2, StrokeDash::new(vec![5.0, 4.0], 0.0));
    }
    // As large as the points lie apart, so that crowded ones stay apart; on a whole image they must first of all be seen.
    let spread = face.face.side() * scale;
    let least = if tile.shown.is_none() { (pixmap.width() as f32 / SEEN).max(LEAST) } else { 0.9 };
    let radius = (spread / 110.0).clamp(least, least.max(3.2));
    for edge in &tile.scheme.edges {
        let mut path = PathBuilder::new();
        let mut last = None;
        let closing = edge.closed.then(|| edge.points.first()).flatten();
        for &k in edge.points.iter().chain(closing) {
            let point = there(k);
            if let (Some(from), Some(to)) = (last, point) {
                let ([x0, y0], [x1, y1]) = (at(from), at(to));
                path.move_to(x0, y0);
                path.line_to(x1, y1);
            }
            last = point;
        }
        if let Some(path) = path.finish() {
            stroke(pixmap, &path, EDGE, (0.6 * radius).max(0.8), None);
        }
    }
    for (k, _) in face.points.iter().enumerate() {
        let Some([x, y]) = there(k).map(at) else { continue };
        let hidden = face.visibility.as_ref().is_some_and(|seen| !seen.get(k).copied().unwrap_or(true));
        if let Some(dot) = PathBuilder::from_circle(x, y, radius) {
            let paint = paint(if hidden { HIDDEN } else { VISIBLE });
            pixmap.fill_path(&dot, &paint, FillRule::Winding, Transform::identity(), None);
        }
    }
}

/// A colour to draw with.
pub(super) fn paint([r, g, b, a]: [u8; 4]) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Default::default() };
    paint.set_color(Color::from_rgba8(r, g, b, a));
    paint
}

fn stroke(
    pixmap: &mut Pixmap,
    path: &tiny_skia::Path,
    colour: [u8; 4],
    width: f32,
    dash: Option<StrokeDash>,
) {
    let stroke = Stroke { width, dash, ..Default::default() };
    pixmap.stroke_path(path, &paint(colour), &stroke, Transform::identity(), None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_of_a_small_face_on_a_large_photograph_is_three_pixels_across() {
        let image = RgbImage::from_pixel(3000, 2000, image::Rgb([10, 20, 30]));
        let place = FaceBox { x: 1500.0, y: 900.0, width: 60.0, height: 60.0 };
        let face = Annotation {
            file: std::path::Path::new("a").into(),
            line: 1,
            image: "a.png".into(),
            points: vec![[700.0, 400.0]],
            visibility: None,
            stated: None,
            face: place,
            tags: Vec::new(),
        };
        let tile = Tile { face: &face, image: &image, scheme: &Scheme::new("one", 1), shown: None };
        for side in [200, 400, 1000] {
            let drawn = tile.draw(side).unwrap();
            // The window is as high as the image is wide: 500 pixels of nothing above it.
            let at = [700.0, 900.0].map(|v| (v * side as f32 / 3000.0) as i64);
            let green = |dx: i64, dy: i64| {
                let pixel = drawn.pixel((at[0] + dx) as u32, (at[1] + dy) as u32).unwrap();
                i32::from(pixel.green()) - i32::from(pixel.red()) > 60
            };
            let reach = (side / 200) as i64 + 4;
            let across = (-reach..=reach).filter(|&dx| green(dx, 0)).count();
            let down = (-reach..=reach).filter(|&dy| green(0, dy)).count();
            assert!(across >= 3 && down >= 3, "{side}: {across} x {down}");
        }
    }
}
