//! Where a head stands before the camera, and where its points come to lie in the image.

use super::model::{FACE, HeadModel};

/// Turn of a head in degrees: yaw to the head's left, pitch up, roll towards its right shoulder; all 0 is frontal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) yaw: f32,
    pub(super) pitch: f32,
    pub(super) roll: f32,
}

impl Turn {
    /// Rows of the matrix roll * pitch * yaw on (x right, y up, z to the camera).
    fn matrix(self) -> [[f32; 3]; 3] {
        let [(sy, cy), (sp, cp), (sr, cr)] =
            [self.yaw, self.pitch, self.roll].map(|angle| angle.to_radians().sin_cos());
        let yaw = [[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]];
        let pitch = [[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]];
        let roll = [[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]];
        product(&product(&roll, &pitch), &yaw)
    }
}

fn product(a: &[[f32; 3]; 3], b: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

/// A pinhole camera in front of a turned head.
pub(super) struct Camera {
    /// Pixels a centimetre at the head's distance.
    pub(super) scale: f32,
    /// Distance of the camera from the head's origin, centimetres.
    pub(super) distance: f32,
    /// Image point of the head's origin, pixels.
    pub(super) centre: [f32; 2],
}

/// A head as the camera sees it.
pub(super) struct View {
    /// Image x, y in pixels and depth in centimetres from the camera, one a vertex.
    pub(super) points: Vec<[f32; 3]>,
    /// Turned vertices, centimetres.
    pub(super) turned: Vec<[f32; 3]>,
}

impl Camera {
    /// Turns and projects `vertices`.
    pub(super) fn view(&self, vertices: &[[f32; 3]], turn: Turn) -> View {
        let matrix = turn.matrix();
        let turned: Vec<[f32; 3]> = vertices
            .iter()
            .map(|v| std::array::from_fn(|row| (0..3).map(|k| matrix[row][k] * v[k]).sum()))
            .collect();
        let project = |v: &[f32; 3]| {
            let depth = self.distance - v[2];
            let scale = self.scale * self.distance / depth;
            [self.centre[0] + scale * v[0], self.centre[1] - scale * v[1], depth]
        };
        View { points: turned.iter().map(project).collect(), turned }
    }
}

/// Points of the jaw in the 68-point markup: 0 at the head's right ear, 8 at the chin, 16 at the left ear.
const JAW: usize = 17;
/// Half the height of the band of skin in which a jaw point may move to the outline, centimetres.
const BAND: f32 = 0.35;

/// For each point of the jaw, the vertices it may move to when the head turns: annotators mark the visible outline of the face, not
/// the place on the bone.
pub(super) struct JawBands(Vec<Vec<usize>>);

impl JawBands {
    pub(super) fn new(model: &HeadModel) -> Self {
        let band = |&landmark: &usize| {
            let at = model.mean[landmark];
            let near = |v: &usize| {
                let p = model.mean[*v];
                let inside = p[0].abs() <= at[0].abs() + 0.1 && p[2] >= at[2] - 0.1;
                (p[1] - at[1]).abs() <= BAND && p[0] * at[0] > 0.0 && inside
            };
            FACE.filter(near).collect()
        };
        Self(model.landmarks[..JAW].iter().map(band).collect())
    }

    /// The 68 points of a view, pixels: vertices, but of the jaw's far side the outline.
    pub(super) fn landmarks(&self, model: &HeadModel, view: &View) -> Vec<[f32; 2]> {
        let at = |vertex: usize| [view.points[vertex][0], view.points[vertex][1]];
        let mut points: Vec<[f32; 2]> = model.landmarks.iter().map(|&vertex| at(vertex)).collect();
        // Across the face in the image, from its right to its left.
        let (right, left) = (points[36], points[45]);
        let across = [left[0] - right[0], left[1] - right[1]];
        for (jaw, band) in self.0.iter().enumerate() {
            let side = if jaw < JAW / 2 { -1.0 } else { 1.0 };
            if jaw == JAW / 2 {
                continue;
            }
            let out = |p: [f32; 2]| side * (p[0] * across[0] + p[1] * across[1]);
            let furthest =
                band.iter().map(|&v| at(v)).fold(points[jaw], |a, b| if out(b) > out(a) { b } else { a });
            points[jaw] = furthest;
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_turns_to_its_left_moves_its_nose_to_the_right_of_the_image() {
        let camera = Camera { scale: 4.0, distance: 60.0, centre: [50.0, 50.0] };
        let nose = [[0.0, 0.0, 10.0]];
        let x = |yaw, pitch| camera.view(&nose, Turn { yaw, pitch, roll: 0.0 }).points[0];
        assert_eq!(x(0.0, 0.0)[..2], [50.0, 50.0]);
        // 10 sin 30 = 5 cm aside; 10 cos 30 = 8.66 cm nearer: 4 * 60 / (60 - 8.66) = 4.675 pixels a centimetre
        let turned = x(30.0, 0.0);
        assert!((turned[0] - 73.37).abs() < 0.01 && (turned[1] - 50.0).abs() < 1e-3, "{turned:?}");
        // Up is towards smaller y.
        assert!(x(0.0, 20.0)[1] < 50.0);
    }
}
