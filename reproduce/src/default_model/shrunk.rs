//! Faces as a small picture would show them.

use std::path::PathBuf;
use std::sync::Arc;

use image::imageops::{self, FilterType};
use star_data::{Annotation, Dataset, Result, Sample, Scheme};

/// The samples of another data set, each image shrunk until its face is `face` pixels across; smaller ones stay as they are.
pub(super) struct Shrunk {
    pub(super) inner: Arc<dyn Dataset>,
    pub(super) face: f32,
}

impl Dataset for Shrunk {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn scheme(&self) -> &Scheme {
        self.inner.scheme()
    }

    fn source(&self, index: usize) -> PathBuf {
        self.inner.source(index)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let mut sample = self.inner.get(index)?;
        let scale = self.face / sample.face.side();
        if scale >= 1.0 {
            return Ok(sample);
        }
        let [width, height] = [sample.image.width(), sample.image.height()];
        let [w, h] = [width, height].map(|side| ((side as f32 * scale).round() as u32).max(1));
        sample.image = imageops::resize(&sample.image, w, h, FilterType::Triangle);
        let [sx, sy] = [w as f32 / width as f32, h as f32 / height as f32];
        for [x, y] in &mut sample.points {
            (*x, *y) = ((*x + 0.5) * sx - 0.5, (*y + 0.5) * sy - 0.5);
        }
        let face = &mut sample.face;
        (face.x, face.y) = ((face.x + 0.5) * sx - 0.5, (face.y + 0.5) * sy - 0.5);
        (face.width, face.height) = (face.width * sx, face.height * sy);
        Ok(sample)
    }

    /// That of the image as it was: for its name.
    fn annotation(&self, index: usize) -> Result<Annotation> {
        self.inner.annotation(index)
    }
}

#[cfg(test)]
mod tests {
    use star_data::synthetic::{SyntheticConfig, SyntheticFaces};

    use super::*;

    #[test]
    fn a_face_is_as_large_as_asked_and_its_points_move_with_it() {
        let inner =
            Arc::new(SyntheticFaces::new(SyntheticConfig { count: 1, ..Default::default() }).unwrap());
        let before = inner.get(0).unwrap();
        let after = Shrunk { inner, face: 20.0 }.get(0).unwrap();
        assert!((after.face.side() - 20.0).abs() < 0.5, "{}", after.face.side());
        let length = |sample: &Sample| {
            let [a, b] = [sample.points[0], sample.points[16]];
            (a[0] - b[0]).hypot(a[1] - b[1])
        };
        let shrunk = length(&after) / length(&before);
        assert!((shrunk / (20.0 / before.face.side()) - 1.0).abs() < 0.05, "{shrunk}");
    }
}
