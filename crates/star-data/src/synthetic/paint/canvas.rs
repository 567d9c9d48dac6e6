//! Smooth curves and soft spots on an image, in coordinates whose whole numbers are pixel centres.

use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Mask, Paint, Path, PathBuilder, Pixmap,
    Point, RadialGradient, Shader, SpreadMode, Stroke, Transform,
};

use crate::target::Ends;

/// Red, green, blue in `[0, 1]`; values outside are clamped when painted.
pub(crate) type Rgb = [f32; 3];

/// The image being painted and a record of which pixels lie under something that hides the face.
pub(crate) struct Canvas {
    pixmap: Pixmap,
    hidden: Option<Mask>,
}

impl Canvas {
    /// A black image; `None` for a side of 0 or one too large to allocate.
    pub(crate) fn new(size: u32) -> Option<Self> {
        Some(Self { pixmap: Pixmap::new(size, size)?, hidden: None })
    }

    /// Side of the image in pixels.
    pub(crate) fn size(&self) -> u32 {
        self.pixmap.width()
    }

    /// The painted pixels, four bytes each.
    pub(crate) fn pixels(&self) -> &[u8] {
        self.pixmap.data()
    }

    /// Whether the pixel nearest to a point is hidden by an occluder.
    pub(crate) fn is_hidden(&self, [x, y]: [f32; 2]) -> bool {
        let Some(mask) = &self.hidden else {
            return false;
        };
        let side = self.size();
        let inside = |v: f32| (v >= -0.5 && v < side as f32 - 0.5).then(|| v.round().max(0.0) as u32);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => mask.data()[(y * side + x) as usize] > 127,
            _ => false,
        }
    }

    /// Fills a path with one colour.
    pub(crate) fn fill(&mut self, path: Option<Path>, colour: Rgb, alpha: f32) {
        self.shade(path, Shader::SolidColor(opaque(colour, alpha)), None);
    }

    /// Fills a path with one colour inside a mask made by [`Canvas::mask`].
    pub(crate) fn fill_within(&mut self, path: Option<Path>, colour: Rgb, alpha: f32, mask: Option<&Mask>) {
        self.shade(path, Shader::SolidColor(opaque(colour, alpha)), mask);
    }

    /// Fills a path with a straight run of colours from `from` to `to`.
    pub(crate) fn fill_gradient(
        &mut self,
        path: Option<Path>,
        from: [f32; 2],
        to: [f32; 2],
        colours: &[Rgb],
    ) {
        let last = (colours.len().max(2) - 1) as f32;
        let stops = colours.iter().enumerate();
        let stops = stops.map(|(i, &c)| GradientStop::new(i as f32 / last, opaque(c, 1.0))).collect();
        let gradient =
            LinearGradient::new(point(from), point(to), stops, SpreadMode::Pad, Transform::identity());
        if let Some(shader) = gradient {
            self.shade(path, shader, None);
        }
    }

    /// A round spot that fades to nothing at `radius`.
    pub(crate) fn spot(
        &mut self,
        centre: [f32; 2],
        radius: f32,
        colour: Rgb,
        alpha: f32,
        mask: Option<&Mask>,
    ) {
        let stops =
            vec![GradientStop::new(0.0, opaque(colour, alpha)), GradientStop::new(1.0, opaque(colour, 0.0))];
        let middle = point(centre);
        let gradient =
            RadialGradient::new(middle, 0.0, middle, radius, stops, SpreadMode::Pad, Transform::identity());
        if let Some(shader) = gradient {
            // Its rim has no colour, so it needs no smoothing.
            let paint = Paint { anti_alias: false, ..paint(shader) };
            if let Some(path) = circle(centre, radius) {
                self.pixmap.fill_path(&path, &paint, FillRule::Winding, to_corners(), mask);
            }
        }
    }

    /// Draws a path's line.
    pub(crate) fn stroke(&mut self, path: Option<Path>, width: f32, colour: Rgb, alpha: f32) {
        let Some(path) = path else { return };
        let stroke =
            Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
        let paint = paint(Shader::SolidColor(opaque(colour, alpha)));
        self.pixmap.stroke_path(&path, &paint, &stroke, to_corners(), None);
    }

    /// Fills a path with something that hides what is below it.
    pub(crate) fn occlude(&mut self, path: Option<Path>, colour: Rgb) {
        let Some(path) = path else { return };
        let side = self.size();
        if self.hidden.is_none() {
            self.hidden = Mask::new(side, side);
        }
        if let Some(mask) = &mut self.hidden {
            mask.fill_path(&path, FillRule::Winding, true, to_corners());
        }
        self.fill(Some(path), colour, 1.0);
    }

    /// Coverage of a path, for painting inside it.
    pub(crate) fn mask(&self, path: Option<&Path>) -> Option<Mask> {
        let mut mask = Mask::new(self.size(), self.size())?;
        mask.fill_path(path?, FillRule::Winding, true, to_corners());
        Some(mask)
    }

    fn shade(&mut self, path: Option<Path>, shader: Shader<'_>, mask: Option<&Mask>) {
        let Some(path) = path else { return };
        self.pixmap.fill_path(&path, &paint(shader), FillRule::Winding, to_corners(), mask);
    }
}

/// A smooth curve through all points (Catmull-Rom).
pub(crate) fn curve(points: &[[f32; 2]], ends: Ends) -> Option<Path> {
    match ends {
        Ends::Open => outline(&[points]),
        Ends::Closed => ring(points),
    }
}

/// A closed outline of several smooth curves with corners where they meet.
pub(crate) fn outline(pieces: &[&[[f32; 2]]]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (i, piece) in pieces.iter().enumerate() {
        let first = *piece.first()?;
        if i == 0 {
            builder.move_to(first[0], first[1])
        } else {
            builder.line_to(first[0], first[1])
        }
        for j in 0..piece.len() - 1 {
            let at = |k: usize| piece[k.min(piece.len() - 1)];
            span(&mut builder, at(j.saturating_sub(1)), at(j), at(j + 1), at(j + 2));
        }
    }
    if pieces.len() > 1 {
        builder.close();
    }
    builder.finish()
}

/// A circle.
pub(crate) fn circle([x, y]: [f32; 2], radius: f32) -> Option<Path> {
    PathBuilder::from_circle(x, y, radius)
}

/// Straight lines, closed.
pub(crate) fn polygon(points: &[[f32; 2]]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    builder.move_to(first[0], first[1]);
    rest.iter().for_each(|p| builder.line_to(p[0], p[1]));
    builder.close();
    builder.finish()
}

/// `a` with the share `t` of `b`.
pub(crate) fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    std::array::from_fn(|i| a[i] + t * (b[i] - a[i]))
}

/// A colour times a number.
pub(crate) fn scaled(colour: Rgb, factor: f32) -> Rgb {
    colour.map(|c| c * factor)
}

fn ring(points: &[[f32; 2]]) -> Option<Path> {
    let n = points.len();
    let mut builder = PathBuilder::new();
    let first = *points.first()?;
    builder.move_to(first[0], first[1]);
    for i in 0..n {
        span(&mut builder, points[(i + n - 1) % n], points[i], points[(i + 1) % n], points[(i + 2) % n]);
    }
    builder.close();
    builder.finish()
}

/// The Catmull-Rom piece from `b` to `c` as a cubic Bezier curve.
fn span(builder: &mut PathBuilder, a: [f32; 2], b: [f32; 2], c: [f32; 2], d: [f32; 2]) {
    let [x1, y1] = [b[0] + (c[0] - a[0]) / 6.0, b[1] + (c[1] - a[1]) / 6.0];
    let [x2, y2] = [c[0] - (d[0] - b[0]) / 6.0, c[1] - (d[1] - b[1]) / 6.0];
    builder.cubic_to(x1, y1, x2, y2, c[0], c[1]);
}

/// The library's whole numbers are pixel corners, ours are centres.
fn to_corners() -> Transform {
    Transform::from_translate(0.5, 0.5)
}

fn paint(shader: Shader<'_>) -> Paint<'_> {
    Paint { shader, anti_alias: true, ..Paint::default() }
}

fn point([x, y]: [f32; 2]) -> Point {
    Point::from_xy(x, y)
}

fn opaque([r, g, b]: Rgb, alpha: f32) -> Color {
    let c = |v: f32| v.clamp(0.0, 1.0);
    Color::from_rgba(c(r), c(g), c(b), c(alpha)).unwrap_or(Color::BLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_pixel_centres() {
        let mut canvas = Canvas::new(21).unwrap();
        canvas.fill(circle([10.0, 8.0], 4.0), [1.0; 3], 1.0);
        let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
        for (i, pixel) in canvas.pixels().chunks_exact(4).enumerate() {
            let value = f64::from(pixel[0]);
            (sum, x, y) = (sum + value, x + value * (i % 21) as f64, y + value * (i / 21) as f64);
        }
        // Coverage is quantised to 1/16 in one direction.
        assert!((x / sum - 10.0).abs() < 0.02 && (y / sum - 8.0).abs() < 0.02, "{} {}", x / sum, y / sum);
    }

    #[test]
    fn only_what_an_occluder_covers_is_hidden() {
        let mut canvas = Canvas::new(20).unwrap();
        canvas.fill(circle([5.0, 5.0], 3.0), [1.0; 3], 1.0);
        assert!(!canvas.is_hidden([5.0, 5.0]));
        canvas.occlude(circle([5.0, 5.0], 3.0), [1.0; 3]);
        assert!(
            canvas.is_hidden([5.4, 5.0]) && !canvas.is_hidden([9.0, 5.0]) && !canvas.is_hidden([-3.0, 99.0])
        );
    }

    #[test]
    fn curves_pass_through_their_points() {
        let points = [[2.0, 10.0], [6.0, 4.0], [11.0, 12.0], [17.0, 6.0]];
        let mut canvas = Canvas::new(20).unwrap();
        canvas.stroke(curve(&points, Ends::Open), 1.0, [1.0; 3], 1.0);
        for [x, y] in points {
            let i = 4 * (y as usize * 20 + x as usize);
            assert!(canvas.pixels()[i] > 100, "({x}, {y}): {}", canvas.pixels()[i]);
        }
    }
}
