//! Landmarks in frames of a video: each face is followed from frame to frame and its landmarks are smoothed.

mod filters;
mod one_euro;

use anyhow::{Result, ensure};
use star_data::FaceBox;

use crate::Face;
use crate::detector::overlap;

pub use filters::Filters;
pub use one_euro::OneEuro;

/// Overlap (intersection over union) of a face's boxes in two frames above which they are of the same face.
const SAME_FACE: f32 = 0.3;
/// Frames that a face may be out of sight and still be followed.
const PATIENCE: usize = 5;

/// How landmarks are smoothed. Lengths are measured in sides of the face's box, so that the numbers fit faces of any size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmoothConfig {
    /// Frames a second.
    pub fps: f64,
    /// Cutoff of a landmark at rest, Hz.
    pub min_cutoff: f64,
    /// Cutoff gained per face side a second of speed, Hz.
    pub beta: f64,
}

impl Default for SmoothConfig {
    fn default() -> Self {
        Self { fps: 30.0, min_cutoff: 1.0, beta: 20.0 }
    }
}

impl SmoothConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        ensure!(positive(self.fps), "fps: expected a positive number, got {}", self.fps);
        ensure!(positive(self.min_cutoff), "min_cutoff: expected a positive number, got {}", self.min_cutoff);
        ensure!(self.beta >= 0.0 && self.beta.is_finite(), "beta: expected at least 0, got {}", self.beta);
        Ok(())
    }
}

/// Follows faces through a video.
pub struct Smoother {
    config: SmoothConfig,
    tracks: Vec<Track>,
    next: usize,
    frame: usize,
}

/// A face that is followed.
struct Track {
    id: usize,
    face_box: FaceBox,
    seen: usize,
    filters: Filters,
}

impl Smoother {
    /// Starts before the first frame.
    ///
    /// # Errors
    /// As [`SmoothConfig::validate`].
    pub fn new(config: SmoothConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, tracks: Vec::new(), next: 0, frame: 0 })
    }

    /// The faces of the next frame: their landmarks become smoothed ones. Returns the number of each face's track. Covariances stay
    /// as they were predicted.
    pub fn frame(&mut self, faces: &mut [Face]) -> Vec<usize> {
        self.frame += 1;
        self.tracks.retain(|track| self.frame - track.seen <= PATIENCE + 1);
        let followed = self.follow(faces);
        let mut numbers = Vec::with_capacity(faces.len());
        for (face, track) in faces.iter_mut().zip(followed) {
            let track = match track {
                Some(at) => &mut self.tracks[at],
                None => {
                    self.tracks.push(Track {
                        id: self.next,
                        face_box: face.face_box,
                        seen: self.frame,
                        filters: Filters::default(),
                    });
                    self.next += 1;
                    let last = self.tracks.len() - 1;
                    &mut self.tracks[last]
                }
            };
            let elapsed = (self.frame - track.seen).max(1) as f64 / self.config.fps;
            track.face_box = face.face_box;
            track.seen = self.frame;
            track.filters.smooth(face, elapsed, &self.config);
            numbers.push(track.id);
        }
        numbers
    }

    /// The track of each face, the pairs that overlap most first.
    fn follow(&self, faces: &[Face]) -> Vec<Option<usize>> {
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (f, face) in faces.iter().enumerate() {
            for (t, track) in self.tracks.iter().enumerate() {
                pairs.push((overlap(&face.face_box, &track.face_box), f, t));
            }
        }
        pairs.retain(|(shared, ..)| *shared >= SAME_FACE);
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut followed = vec![None; faces.len()];
        for (_, f, t) in pairs {
            if followed[f].is_none() && !followed.contains(&Some(t)) {
                followed[f] = Some(t);
            }
        }
        followed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Landmarks;

    fn face(x: f32, point: [f32; 2]) -> Face {
        let landmarks = Landmarks { points: vec![point], ..Default::default() };
        let face_box = FaceBox { x, y: 0.0, width: 100.0, height: 100.0 };
        Face { face_box, score: None, landmarks, pose: None }
    }

    #[test]
    fn faces_keep_their_tracks_when_they_change_places_in_the_list_and_after_a_short_absence() {
        let mut smoother = Smoother::new(SmoothConfig::default()).unwrap();
        let tracks =
            |smoother: &mut Smoother, mut faces: Vec<Face>| -> Vec<usize> { smoother.frame(&mut faces) };
        assert_eq!(tracks(&mut smoother, vec![face(0.0, [0.0; 2]), face(300.0, [0.0; 2])]), [0, 1]);
        assert_eq!(tracks(&mut smoother, vec![face(310.0, [0.0; 2]), face(5.0, [0.0; 2])]), [1, 0]);
        for _ in 0..PATIENCE {
            assert!(tracks(&mut smoother, vec![]).is_empty());
        }
        assert_eq!(tracks(&mut smoother, vec![face(8.0, [0.0; 2])]), [0]);
        for _ in 0..=PATIENCE {
            tracks(&mut smoother, vec![]);
        }
        assert_eq!(tracks(&mut smoother, vec![face(8.0, [0.0; 2])]), [2]);
    }

    /// Root mean square step of the error, and the mean distance behind, of a landmark that stands still for two seconds and then
    /// crosses a face side in a second, with noise of half a per cent of the face.
    fn walk(config: Option<SmoothConfig>) -> [f64; 2] {
        let mut smoother = config.map(|config| Smoother::new(config).unwrap());
        let (mut jitter, mut lag, mut before) = (0.0, 0.0, 0.0);
        for t in 0..90usize {
            let truth = 50.0 + (t.saturating_sub(60) as f64) / 30.0 * 100.0;
            let noise = 0.5 * ((t * 7919 % 101) as f64 / 50.0 - 1.0);
            let mut faces = [face(truth as f32 - 50.0, [(truth + noise) as f32, 50.0])];
            if let Some(smoother) = &mut smoother {
                smoother.frame(&mut faces);
            }
            let error = f64::from(faces[0].landmarks.points[0][0]) - truth;
            if t > 0 && t < 60 {
                jitter += (error - before).powi(2) / 59.0;
            }
            if t >= 75 {
                lag -= error / 15.0;
            }
            before = error;
        }
        [jitter.sqrt(), lag]
    }

    #[test]
    fn the_defaults_still_a_face_at_rest_and_stay_close_to_one_that_moves() {
        let [raw, _] = walk(None);
        let [jitter, lag] = walk(Some(SmoothConfig::default()));
        println!("jitter {raw:.3} px raw, {jitter:.3} px smoothed; {lag:.2} px behind at 100 px a second");
        assert!(jitter < 0.4 * raw, "{jitter} of {raw}");
        // Two per cent of the face behind at a face side a second.
        assert!(lag < 2.0, "{lag}");
        let [_, slow] = walk(Some(SmoothConfig { beta: 0.0, ..Default::default() }));
        assert!(slow > 3.0 * lag, "{slow}");
    }

    #[test]
    fn settings_without_meaning_are_refused_by_name() {
        let good = SmoothConfig::default();
        for (bad, field) in [
            (SmoothConfig { fps: 0.0, ..good }, "fps:"),
            (SmoothConfig { min_cutoff: f64::NAN, ..good }, "min_cutoff:"),
            (SmoothConfig { beta: -1.0, ..good }, "beta:"),
        ] {
            assert!(Smoother::new(bad).err().unwrap().to_string().contains(field));
        }
    }
}
