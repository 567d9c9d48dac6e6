//! The lips.

use std::f64::consts::FRAC_PI_2;

use super::Shape;
use super::surface::{Point3, on_face};

impl Shape {
    /// 76..=87 around the outer edge of the lips from the image-left corner over the upper lip, 88..=95 around the inner edge.
    pub(super) fn mouth(&self) -> Vec<Point3> {
        let middle =
            0.80 + 0.3 * 0.43 * (self.nose_length - 1.0) + 0.6 * 1.25 * (self.face_height - 1.0) / 2.0;
        let broad = self.smile[0].midpoint(self.smile[1]);
        let half = 0.265 * self.mouth_width + 0.04 * broad - 0.03 * self.mouth_open;
        let lip = self.lip_thickness;
        let gap = 0.2 * self.mouth_open;
        // How far the line between the lips lies above the middle: the corners follow the smile.
        let lift = |t: f64| {
            let side = if t < 0.0 { self.smile[0] } else { self.smile[1] };
            0.055 * side * t.abs().powf(1.6)
        };
        let at = |t: f64, down: f64| {
            let bow = 1.0 - t * t;
            let open_centre = 0.35 * gap * t.abs();
            on_face(half * t, middle - lift(t) + down + open_centre, 0.03 + 0.08 * bow)
        };
        let outer_upper = [
            (-1.0, 0.0),
            (-0.62, 0.052),
            (-0.22, 0.088),
            (0.0, 0.074),
            (0.22, 0.088),
            (0.62, 0.052),
            (1.0, 0.0),
        ]
        .map(|(t, rise)| at(t, -lip * rise - 0.12 * gap * bump(t)));
        let outer_lower = [(0.66, 0.066), (0.34, 0.103), (0.0, 0.115), (-0.34, 0.103), (-0.66, 0.066)]
            .map(|(t, fall)| at(t, lip * fall + gap * bump(t)));
        let inner_upper = [(-0.86, 0.0), (-0.45, 0.006), (0.0, 0.0), (0.45, 0.006), (0.86, 0.0)]
            .map(|(t, rise)| at(t, -lip * rise - 0.12 * gap * bump(t)));
        let inner_lower = [0.45, 0.0, -0.45].map(|t| at(t, 0.008 * lip + gap * bump(t)));
        outer_upper.into_iter().chain(outer_lower).chain(inner_upper).chain(inner_lower).collect()
    }
}

/// 1 in the middle of the mouth, 0 at the corners.
fn bump(t: f64) -> f64 {
    (FRAC_PI_2 * t).cos().max(0.0)
}
