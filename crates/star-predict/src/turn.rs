//! Images turned by quarters, and faces found in them turned back.

use image::{RgbImage, imageops};
use star_data::FaceBox;

use crate::Face;

/// A quarter turn, or several, clockwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Right,
    Half,
    Left,
}

impl Turn {
    pub(crate) const ALL: [Self; 3] = [Self::Right, Self::Left, Self::Half];

    /// The image turned.
    pub(crate) fn image(self, image: &RgbImage) -> RgbImage {
        match self {
            Self::Right => imageops::rotate90(image),
            Self::Half => imageops::rotate180(image),
            Self::Left => imageops::rotate270(image),
        }
    }

    /// Where a point of the turned image is in the image, which is `width` by `height` pixels.
    fn point(self, [x, y]: [f32; 2], [width, height]: [f32; 2]) -> [f32; 2] {
        match self {
            Self::Right => [y, height - 1.0 - x],
            Self::Half => [width - 1.0 - x, height - 1.0 - y],
            Self::Left => [width - 1.0 - y, x],
        }
    }

    /// The face that was found in the turned image, in the image.
    pub(crate) fn back(self, mut face: Face, size: [f32; 2]) -> Face {
        for point in &mut face.landmarks.points {
            *point = self.point(*point, size);
        }
        let FaceBox { x, y, width, height } = face.face_box;
        // A box is an area: its far corner is that of the pixels before it.
        let [a, b] = [self.point([x, y], size), self.point([x + width - 1.0, y + height - 1.0], size)];
        let quarter = self != Self::Half;
        let [width, height] = if quarter { [height, width] } else { [width, height] };
        face.face_box = FaceBox { x: a[0].min(b[0]), y: a[1].min(b[1]), width, height };
        if quarter {
            for [xx, xy, yy] in &mut face.landmarks.covariances {
                (*xx, *xy, *yy) = (*yy, -*xy, *xx);
            }
        }
        face
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Landmarks;

    #[test]
    fn a_pixel_comes_back_to_where_it_was() {
        let mut image = RgbImage::new(7, 4);
        image.put_pixel(5, 1, image::Rgb([255, 0, 0]));
        for turn in Turn::ALL {
            let turned = turn.image(&image);
            let (x, y, _) = turned.enumerate_pixels().find(|(_, _, pixel)| pixel.0[0] == 255).unwrap();
            let face = Face {
                face_box: FaceBox { x: x as f32, y: y as f32, width: 1.0, height: 1.0 },
                score: None,
                landmarks: Landmarks {
                    points: vec![[x as f32, y as f32]],
                    covariances: vec![[4.0, 1.0, 9.0]],
                    ..Default::default()
                },
                pose: None,
            };
            let back = turn.back(face, [7.0, 4.0]);
            assert_eq!(back.landmarks.points, [[5.0, 1.0]], "{turn:?}");
            assert_eq!((back.face_box.x, back.face_box.y), (5.0, 1.0), "{turn:?}");
            let expected = if turn == Turn::Half { [4.0, 1.0, 9.0] } else { [9.0, -1.0, 4.0] };
            assert_eq!(back.landmarks.covariances, [expected], "{turn:?}");
        }
    }
}
