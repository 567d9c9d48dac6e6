//! The mirror: pixels, points and boxes together.

use crate::affine::Affine;
use crate::{FaceBox, Result, Scheme};

/// Points of a mirrored image `width` pixels wide: each at `width - 1 - x`, left and right exchanging their indices.
///
/// # Errors
/// As [`Scheme::flip_permutation`].
pub fn flip_points(points: &[[f32; 2]], scheme: &Scheme, width: u32) -> Result<Vec<[f32; 2]>> {
    let (mirror, permutation) = (Affine::mirror(f64::from(width)), scheme.flip_permutation()?);
    Ok(permutation.iter().filter_map(|&k| points.get(k)).map(|&point| mirror.apply(point)).collect())
}

/// The box in a mirrored image `width` pixels wide.
pub fn mirrored(face: &FaceBox, width: u32) -> FaceBox {
    FaceBox { x: width as f32 - 1.0 - face.x - face.width, ..*face }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flipping_twice_is_no_change_and_left_becomes_right() {
        let scheme = Scheme::named("cofw29").unwrap();
        let points: Vec<[f32; 2]> = (0..29).map(|k| [k as f32, 2.0 * k as f32]).collect();
        let once = flip_points(&points, &scheme, 100).unwrap();
        // 0 and 1 are the outer ends of the brows: point 0 of the mirrored image is old point 1 at 99 - 1
        assert_eq!(once[0], [98.0, 2.0]);
        assert_eq!(flip_points(&once, &scheme, 100).unwrap(), points);
        let face = FaceBox { x: 10.0, y: 3.0, width: 20.0, height: 30.0 };
        assert_eq!(mirrored(&mirrored(&face, 100), 100), face);
        assert_eq!(mirrored(&face, 100).centre()[0], 99.0 - 20.0);
    }
}
