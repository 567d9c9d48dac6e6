//! The part of an image about a face that training can come to see: for keeping less than whole photographs.

use image::imageops::{self, FilterType};
use serde::{Deserialize, Serialize};

use crate::{Error, FaceBox, Result, Sample};

/// How much about a face is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Region {
    /// Side of the square about the face's box, in longer sides of the box. What augmentation turns in from beyond it is black, as it
    /// is beyond the image: of 200 000 draws of the reference's augmentation none saw beyond 2.5, and 17 in 10 000 a corner beyond 2.
    pub reach: f64,
    /// Longer side of the face's box in pixels above which the region is made smaller, so that the box has that side; 0 keeps the
    /// image's own pixels. Twice the side of the network's input loses nothing that it can see.
    pub largest_face: u32,
}

impl Default for Region {
    fn default() -> Self {
        Self { reach: 2.5, largest_face: 0 }
    }
}

/// Where a region lies in its image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// First pixel kept, `(x, y)`.
    pub origin: [u32; 2],
    /// Pixels of the image kept, `(width, height)`.
    pub extent: [u32; 2],
    /// Their number once scaled, `(width, height)`.
    pub size: [u32; 2],
}

impl Region {
    /// Checks both fields.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, what it may be and what it is.
    pub fn validate(&self) -> Result<()> {
        if !(1.0..=100.0).contains(&self.reach) {
            let expected = "1 to 100 sides of the face's box".into();
            return Err(Error::Config { field: "reach", expected, got: self.reach.to_string() });
        }
        Ok(())
    }

    /// Where the region about `face` lies in an image of `width x height`: whole pixels, none outside. A face that is nowhere in the
    /// image keeps all of it.
    pub fn place(&self, face: &FaceBox, [width, height]: [u32; 2]) -> Place {
        let (centre, side) = (face.centre().map(f64::from), f64::from(face.side()));
        let half = side * self.reach / 2.0;
        let span = |centre: f64, length: u32| {
            // Casts saturate, and NaN becomes 0.
            let first = ((centre - half).floor().max(0.0) as u32).min(length);
            let end = (((centre + half).ceil() + 1.0).max(0.0) as u32).min(length);
            (first < end).then_some((first, end - first))
        };
        let spans = (span(centre[0], width), span(centre[1], height));
        let (Some((x, w)), Some((y, h))) = spans else {
            return Place { origin: [0, 0], extent: [width, height], size: [width, height] };
        };
        let scale = if self.largest_face > 0 { f64::from(self.largest_face) / side } else { 1.0 };
        let scaled = |length: u32| {
            if scale < 1.0 { (f64::from(length) * scale).round().max(1.0) as u32 } else { length }
        };
        Place { origin: [x, y], extent: [w, h], size: [scaled(w), scaled(h)] }
    }

    /// The sample with nothing but its region, points and box moved along.
    pub fn cut(&self, mut sample: Sample) -> (Sample, Place) {
        let place = self.place(&sample.face, [sample.image.width(), sample.image.height()]);
        let ([x, y], [w, h]) = (place.origin, place.extent);
        if [w, h] != [sample.image.width(), sample.image.height()] {
            sample.image = imageops::crop_imm(&sample.image, x, y, w, h).to_image();
        }
        if place.size != place.extent {
            // A triangle as wide as the reduction takes the mean of what falls together.
            sample.image =
                imageops::resize(&sample.image, place.size[0], place.size[1], FilterType::Triangle);
        }
        place.follow(&mut sample.points, &mut sample.face);
        (sample, place)
    }
}

impl Place {
    /// Moves points and box of the image into the region.
    pub fn follow(&self, points: &mut [[f32; 2]], face: &mut FaceBox) {
        points.iter_mut().for_each(|point| *point = self.inward(*point));
        let [x, y] = self.inward([face.x, face.y]);
        let [sx, sy] = self.scale();
        *face = FaceBox {
            x,
            y,
            width: (f64::from(face.width) * sx) as f32,
            height: (f64::from(face.height) * sy) as f32,
        };
    }

    /// A point of the image in pixels of the region.
    pub fn inward(&self, point: [f32; 2]) -> [f32; 2] {
        let (scale, origin) = (self.scale(), self.origin);
        // Pixel centres are at whole numbers, so scaling is about the outer edge at -0.5.
        std::array::from_fn(|axis| {
            let at = f64::from(point[axis]) - f64::from(origin[axis]);
            (if scale[axis] == 1.0 { at } else { (at + 0.5) * scale[axis] - 0.5 }) as f32
        })
    }

    /// A point of the region in pixels of the image.
    pub fn outward(&self, point: [f32; 2]) -> [f32; 2] {
        let (scale, origin) = (self.scale(), self.origin);
        std::array::from_fn(|axis| {
            ((f64::from(point[axis]) + 0.5) / scale[axis] - 0.5 + f64::from(origin[axis])) as f32
        })
    }

    fn scale(&self) -> [f64; 2] {
        [0, 1].map(|axis| f64::from(self.size[axis]) / f64::from(self.extent[axis].max(1)))
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn sample() -> Sample {
        Sample {
            image: RgbImage::from_fn(200, 100, |x, y| Rgb([x as u8, y as u8, 7])),
            points: vec![[80.25, 50.5], [f32::NAN, 1.0]],
            visibility: None,
            face: FaceBox { x: 70.0, y: 40.0, width: 20.0, height: 18.0 },
            tags: Vec::new(),
            source: "a.png".into(),
        }
    }

    #[test]
    fn a_region_is_whole_pixels_of_the_image_and_points_move_along() {
        let (cut, place) = Region { reach: 2.0, largest_face: 0 }.cut(sample());
        // centre (80, 49), half of twice 20: x 60 to 100, y 29 to 69, ends included
        assert_eq!((place.origin, place.extent), ([60, 29], [41, 41]));
        assert_eq!(cut.image.get_pixel(3, 5).0, [63, 34, 7]);
        assert_eq!(cut.points[0], [20.25, 21.5]);
        assert!(cut.points[1][0].is_nan());
        assert_eq!(cut.face, FaceBox { x: 10.0, y: 11.0, width: 20.0, height: 18.0 });
    }

    #[test]
    fn a_region_stays_in_the_image_and_a_face_outside_keeps_all_of_it() {
        let place = Region { reach: 50.0, largest_face: 0 }.place(&sample().face, [200, 100]);
        assert_eq!((place.origin, place.extent), ([0, 0], [200, 100]));
        let far = FaceBox { x: 900.0, y: 0.0, width: 20.0, height: 20.0 };
        assert_eq!(Region::default().place(&far, [200, 100]).extent, [200, 100]);
    }

    #[test]
    fn large_faces_are_made_smaller_and_points_keep_their_place() {
        let (cut, place) = Region { reach: 2.0, largest_face: 10 }.cut(sample());
        assert_eq!(place.size, [21, 21]);
        assert!((cut.face.side() - 10.0).abs() < 0.3, "{:?}", cut.face);
        // red is the column: what lies under the point is what lay under it before
        let [x, y] = cut.points[0].map(|v| v.round() as u32);
        let [red, green, _] = cut.image.get_pixel(x, y).0;
        assert!(red.abs_diff(80) <= 1 && green.abs_diff(50) <= 1, "{red} {green}");
        let back = place.outward(cut.points[0]);
        assert!((back[0] - 80.25).abs() < 1e-3 && (back[1] - 50.5).abs() < 1e-3, "{back:?}");
    }

    #[test]
    fn a_reach_inside_the_face_is_refused() {
        assert!(
            Region { reach: 0.5, ..Default::default() }.validate().unwrap_err().to_string().contains("reach")
        );
        Region::default().validate().unwrap();
    }
}
