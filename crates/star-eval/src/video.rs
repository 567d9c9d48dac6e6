//! Temporal stability of keypoints in a video: how much the error changes from one frame to the next.
//!
//! A constant error is no jitter, and neither is a sample that moves: what counts is the change of the error vector,
//! `j = 100 |e_t - e_(t-1)| / sqrt(box area / 256^2)` per keypoint, the box being the one around the true keypoints
//! in frame *t*. A keypoint that jumps by one pixel in a box of 256x256 pixels has `j = 100`.

use serde::{Deserialize, Serialize};

use crate::{Error, Normalizer, Result};

/// Side of the box to which jitter is scaled, pixels.
const BOX_SIDE: f64 = 256.0;

/// Change of the error from frame to frame, over one or more videos.
///
/// ```
/// // One keypoint of two stands still, the other jumps by 3 px in a box of 256x256 px.
/// let truth = [[0.0, 0.0], [256.0, 256.0]];
/// let mut jitter = star_eval::Jitter::new(2)?;
/// jitter.frame(Some(&[[1.0, 0.0], [256.0, 256.0]]), &truth)?;
/// jitter.frame(Some(&[[1.0, 0.0], [259.0, 256.0]]), &truth)?;
/// assert!((jitter.nmj().unwrap() - 150.0).abs() < 1e-9); // mean of 0 and 300
/// assert!((jitter.nmf().unwrap() - 300.0 / 2f64.sqrt()).abs() < 1e-9); // root of their mean square
/// # Ok::<(), star_eval::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Jitter {
    /// Error vectors of the frame before, in pixels; `None` after a gap.
    before: Option<Vec<[f64; 2]>>,
    /// Sums of `j` and of its square, per keypoint.
    sums: Vec<[f64; 2]>,
    frames: usize,
    missing: usize,
    pairs: usize,
}

/// Figures of a video or of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JitterSummary {
    /// Name of the video or the category.
    pub name: String,
    /// Number of videos in it.
    pub videos: usize,
    /// Frames, with and without prediction.
    pub frames: usize,
    /// Frames without a prediction; the steps into and out of them are not measured.
    pub missing: usize,
    /// Steps between frames that were measured.
    pub pairs: usize,
    /// Mean of `j` (see the module); `None` without a step.
    pub nmj: Option<f64>,
    /// Root mean square of `j`; `None` without a step.
    pub nmf: Option<f64>,
    /// Root mean square of each keypoint.
    pub keypoint_nmf: Vec<Option<f64>>,
}

impl Jitter {
    /// Starts a video.
    ///
    /// # Errors
    /// [`Error::Empty`] for 0 keypoints.
    pub fn new(keypoints: usize) -> Result<Self> {
        if keypoints == 0 {
            return Err(Error::Empty { what: "set of keypoints", hint: "a scheme has at least one" });
        }
        Ok(Self { before: None, sums: vec![[0.0; 2]; keypoints], frames: 0, missing: 0, pairs: 0 })
    }

    /// The next frame; `None` where nothing was found. A prediction with a coordinate that is not finite counts as missing.
    ///
    /// # Errors
    /// [`Error::Length`] for another number of keypoints, and as [`Normalizer::length`] for truth that spans no box.
    pub fn frame(&mut self, predicted: Option<&[[f32; 2]]>, truth: &[[f32; 2]]) -> Result<()> {
        let expected = self.sums.len();
        for (what, got) in [
            ("keypoints of the truth", truth.len()),
            ("predicted keypoints", predicted.map_or(expected, <[_]>::len)),
        ] {
            if got != expected {
                return Err(Error::Length { what, expected, got });
            }
        }
        let side = Normalizer::BoxGeometricMean(Vec::new()).length(truth)?;
        self.frames += 1;
        let Some(predicted) = predicted.filter(|p| p.iter().flatten().all(|v| v.is_finite())) else {
            self.missing += 1;
            self.before = None;
            return Ok(());
        };
        let errors: Vec<[f64; 2]> = predicted
            .iter()
            .zip(truth)
            .map(|(p, t)| [0, 1].map(|axis| f64::from(p[axis]) - f64::from(t[axis])))
            .collect();
        if let Some(before) = &self.before {
            self.pairs += 1;
            for ((now, then), sums) in errors.iter().zip(before).zip(&mut self.sums) {
                let j = 100.0 * (now[0] - then[0]).hypot(now[1] - then[1]) / (side / BOX_SIDE);
                sums[0] += j;
                sums[1] += j * j;
            }
        }
        self.before = Some(errors);
        Ok(())
    }

    /// A cut: the next frame is not compared with the one before.
    pub fn cut(&mut self) {
        self.before = None;
    }

    /// Adds the figures of another video of the same scheme.
    ///
    /// # Errors
    /// [`Error::Length`] for another number of keypoints.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.sums.len() != self.sums.len() {
            let (expected, got) = (self.sums.len(), other.sums.len());
            return Err(Error::Length { what: "keypoints of the other video", expected, got });
        }
        for (sums, more) in self.sums.iter_mut().zip(&other.sums) {
            sums[0] += more[0];
            sums[1] += more[1];
        }
        self.frames += other.frames;
        self.missing += other.missing;
        self.pairs += other.pairs;
        self.before = None;
        Ok(())
    }

    /// Normalised mean jitter: the mean of `j`; `None` without a step.
    pub fn nmj(&self) -> Option<f64> {
        self.mean(0)
    }

    /// Normalised mean flicker: the root mean square of `j`; `None` without a step.
    pub fn nmf(&self) -> Option<f64> {
        self.mean(1).map(f64::sqrt)
    }

    /// All figures under a name.
    pub fn summary(&self, name: impl Into<String>, videos: usize) -> JitterSummary {
        let of = |sums: &[f64; 2]| (self.pairs > 0).then(|| (sums[1] / self.pairs as f64).sqrt());
        JitterSummary {
            name: name.into(),
            videos,
            frames: self.frames,
            missing: self.missing,
            pairs: self.pairs,
            nmj: self.nmj(),
            nmf: self.nmf(),
            keypoint_nmf: self.sums.iter().map(of).collect(),
        }
    }

    fn mean(&self, which: usize) -> Option<f64> {
        let count = (self.pairs * self.sums.len()) as f64;
        (self.pairs > 0).then(|| self.sums.iter().map(|sums| sums[which]).sum::<f64>() / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [[f32; 2]; 2] = [[0.0, 0.0], [128.0, 128.0]];

    #[test]
    fn a_constant_error_and_a_moving_face_are_no_jitter() {
        let mut jitter = Jitter::new(2).unwrap();
        for t in 0..5 {
            let moved = TRUTH.map(|p| p.map(|v| v + 10.0 * t as f32));
            jitter.frame(Some(&moved.map(|[x, y]| [x + 3.0, y])), &moved).unwrap();
        }
        assert_eq!((jitter.nmj(), jitter.nmf()), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn jitter_is_scaled_to_the_size_of_the_face() {
        let mut jitter = Jitter::new(2).unwrap();
        jitter.frame(Some(&TRUTH), &TRUTH).unwrap();
        jitter.frame(Some(&TRUTH.map(|[x, y]| [x, y + 1.0])), &TRUTH).unwrap();
        // One pixel in a box of 128: two in one of 256.
        assert!((jitter.nmj().unwrap() - 200.0).abs() < 1e-9);
        assert!((jitter.summary("v", 1).keypoint_nmf[0].unwrap() - 200.0).abs() < 1e-9);
    }

    #[test]
    fn a_missing_frame_and_a_cut_are_not_stepped_over() {
        let mut jitter = Jitter::new(2).unwrap();
        let off = TRUTH.map(|[x, y]| [x + 9.0, y]);
        jitter.frame(Some(&TRUTH), &TRUTH).unwrap();
        jitter.frame(None, &TRUTH).unwrap();
        jitter.frame(Some(&off), &TRUTH).unwrap();
        jitter.cut();
        jitter.frame(Some(&TRUTH), &TRUTH).unwrap();
        let nan = [[f32::NAN, 0.0], [0.0, 0.0]];
        jitter.frame(Some(&nan), &TRUTH).unwrap();
        let summary = jitter.summary("v", 1);
        assert_eq!((summary.frames, summary.missing, summary.pairs, summary.nmj), (5, 2, 0, None));
    }

    #[test]
    fn videos_are_pooled_by_their_steps() {
        let step = |by: f32, times: usize| {
            let mut jitter = Jitter::new(2).unwrap();
            for t in 0..=times {
                let moved = TRUTH.map(|[x, y]| [x + by * t as f32, y]);
                jitter.frame(Some(&moved), &TRUTH).unwrap();
            }
            jitter
        };
        let mut all = step(1.0, 3);
        all.merge(&step(3.0, 1)).unwrap();
        // Three steps of 200 and one of 600.
        assert!((all.nmj().unwrap() - 300.0).abs() < 1e-9);
        assert!((all.nmf().unwrap() - ((3.0 * 4e4 + 36e4) / 4f64).sqrt()).abs() < 1e-9);
        assert!(all.merge(&Jitter::new(3).unwrap()).is_err());
    }
}
