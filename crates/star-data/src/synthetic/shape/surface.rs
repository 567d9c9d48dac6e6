//! The curved front of the head.

/// Point of the model.
pub(in super::super) type Point3 = [f64; 3];

/// Puts a point on the curved front of the head, `bulge` in front of it.
pub(in super::super) fn on_face(x: f64, y: f64, bulge: f64) -> Point3 {
    let down = (y - 0.4) / 0.85;
    [x, y, bulge - 0.55 * x * x - 0.1 * down * down]
}

/// The same place on the other side of the face.
pub(super) fn mirror([x, y, z]: Point3) -> Point3 {
    [-x, y, z]
}
