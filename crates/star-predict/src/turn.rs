//! Images turned by eighths of a full turn, in which to look for faces.

use image::{RgbImage, imageops};
use star_data::affine::Affine;
use star_data::{FaceBox, Result, warp};

/// Largest side in pixels of an image that is turned by an odd number of eighths; a larger one is made smaller, so that its corners cost
/// no memory.
const LARGEST: f64 = 4096.0;

/// Clockwise, by so many eighths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn(u8);

/// An image turned.
pub(crate) struct Turned {
    pub(crate) image: RgbImage,
    /// From the image to the turned one.
    pub(crate) map: Affine,
    turn: Turn,
}

impl Turn {
    /// Every turn but none: by quarters, then between them.
    pub(crate) const ALL: [Self; 7] = [Self(2), Self(6), Self(4), Self(1), Self(7), Self(3), Self(5)];

    /// The image turned; black where it shows nothing.
    ///
    /// # Errors
    /// Never in practice: a turn has an inverse.
    pub(crate) fn of(self, image: &RgbImage) -> Result<Turned> {
        let [w, h] = [image.width(), image.height()].map(f64::from);
        let (turned, matrix) = match self.0 {
            2 => (imageops::rotate90(image), [[0.0, -1.0, h - 1.0], [1.0, 0.0, 0.0]]),
            4 => (imageops::rotate180(image), [[-1.0, 0.0, w - 1.0], [0.0, -1.0, h - 1.0]]),
            6 => (imageops::rotate270(image), [[0.0, 1.0, 0.0], [-1.0, 0.0, w - 1.0]]),
            _ => return self.between(image, [w, h]),
        };
        Ok(Turned { image: turned, map: Affine::new(matrix), turn: self })
    }

    /// The image on a square that holds all of it.
    fn between(self, image: &RgbImage, [w, h]: [f64; 2]) -> Result<Turned> {
        let whole = (w + h) * std::f64::consts::FRAC_1_SQRT_2;
        let side = whole.min(LARGEST).ceil();
        let (centre, middle) = ([(w - 1.0) / 2.0, (h - 1.0) / 2.0], (side - 1.0) / 2.0);
        let angle = f64::from(self.0) * std::f64::consts::FRAC_PI_4;
        let map = Affine::similarity((side / whole).min(1.0), angle, centre)
            .then(Affine::translation(middle - centre[0], middle - centre[1]));
        Ok(Turned { image: warp::warp(image, &map, side as usize)?, map, turn: self })
    }
}

impl Turned {
    /// The box about the same middle in the image; between quarters, where it would be a diamond, the square of its longer side.
    ///
    /// # Errors
    /// Never in practice: a turn has an inverse.
    pub(crate) fn back(&self, turned: &FaceBox) -> Result<FaceBox> {
        let back = self.map.inverse()?;
        let [x, y] = back.apply(turned.centre());
        let [[a, b, _], _] = back.matrix();
        let scale = a.hypot(b) as f32;
        let [width, height] = match self.turn.0 {
            4 => [turned.width, turned.height],
            2 | 6 => [turned.height, turned.width],
            _ => [turned.side(); 2],
        }
        .map(|side| side * scale);
        Ok(FaceBox { x: x - width / 2.0, y: y - height / 2.0, width, height })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twice the distance between neighbouring pixels: a turned pixel is spread over its neighbours.
    const NEAR: f32 = 2.0;

    #[test]
    fn a_pixel_is_where_the_map_says() {
        let mut image = RgbImage::new(70, 40);
        image.put_pixel(51, 13, image::Rgb([255, 0, 0]));
        for turn in Turn::ALL {
            let turned = turn.of(&image).unwrap();
            let (x, y, _) = turned.image.enumerate_pixels().max_by_key(|(_, _, pixel)| pixel.0[0]).unwrap();
            let [u, v] = turned.map.apply([51.0, 13.0]);
            let near = if turn.0 % 2 == 0 { 1e-3 } else { NEAR };
            assert!((u - x as f32).hypot(v - y as f32) < near, "{turn:?}: {u},{v} {x},{y}");
            // Up in the image is where it is turned to: clockwise, from (0, -1).
            let [[_, b, _], [_, e, _]] = turned.map.matrix();
            let angle = f64::from(turn.0) * std::f64::consts::FRAC_PI_4;
            assert!((-b - angle.sin()).abs() < 1e-9 && (-e + angle.cos()).abs() < 1e-9, "{turn:?}: {b} {e}");
        }
    }

    #[test]
    fn a_box_comes_back_about_its_middle() {
        let image = RgbImage::new(70, 40);
        for turn in Turn::ALL {
            let turned = turn.of(&image).unwrap();
            let [x, y] = turned.map.apply([30.0, 20.0]);
            let found = FaceBox { x: x - 4.0, y: y - 6.0, width: 8.0, height: 12.0 };
            let back = turned.back(&found).unwrap();
            let [x, y] = back.centre();
            assert!((x - 30.0).abs() < 1e-3 && (y - 20.0).abs() < 1e-3, "{turn:?}: {back:?}");
            let expected = match turn.0 {
                2 | 6 => [12.0, 8.0],
                4 => [8.0, 12.0],
                _ => [12.0, 12.0],
            };
            assert!((back.width - expected[0]).abs() < 1e-3 && (back.height - expected[1]).abs() < 1e-3);
        }
    }

    #[test]
    fn a_large_image_is_made_smaller_to_be_turned_between_quarters() {
        let turned = Turn(1).of(&RgbImage::new(9000, 3000)).unwrap();
        assert_eq!(turned.image.dimensions(), (4096, 4096));
        // The corners stay on it.
        for corner in [[0.0, 0.0], [8999.0, 0.0], [0.0, 2999.0], [8999.0, 2999.0]] {
            let at = turned.map.apply(corner);
            assert!(at.iter().all(|v| (-1.0..4096.0).contains(v)), "{at:?}");
        }
    }
}
