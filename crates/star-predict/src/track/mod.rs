//! Faces followed through a video: the next box comes from the last landmarks, and the detector is called when it is needed.
//!
//! A face that is lost, behind somebody or beside the image, is looked for where it would be by its last speed, and known again by how it
//! looks; its number stays. Two faces that come to lie on one another are one face seen twice: the one that looks as before stays.

mod appearance;
mod jitter;

use anyhow::{Result, ensure};
use image::RgbImage;
use star_data::FaceBox;

use crate::detector::{Detection, overlap};
use crate::smooth::{Filters, SmoothConfig};
use crate::{Face, Predictor};
use appearance::Appearance;
pub use jitter::Jitter;

/// Overlap of two boxes in one frame above which they are of one face.
const SAME_FACE: f32 = 0.4;
/// Overlap of a face's box with the one that was expected below which it is another's.
const MOVED: f32 = 0.25;
/// How many times larger or smaller a face may be than in the frame before.
const GROWN: f32 = 1.6;
/// [`ConfidenceModel::evidence`](crate::confidence::ConfidenceModel::evidence) below which a face is lost.
const NO_FACE: f64 = 0.35;
/// Likeness from which two looks may be of one face, half of which somebody may hide, and the distance in sides within which a face may
/// come back. Where it is expected half of that likeness does.
const ALIKE: f32 = 0.4;
const NEAR: f32 = 2.0;
/// Share of the last motion in the speed that is kept.
const SPEED_SHARE: f32 = 0.4;
/// Seconds after which the speed of a lost face is forgotten.
const COASTING: f64 = 0.7;
/// The probability from which a detection begins a new face, and that near a lost one, which may be half hidden.
const NEW_FACE: f32 = 0.5;
const NEW_FACE_NEAR_LOST: f32 = 0.9;

/// How faces are followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackConfig {
    /// Seconds between two looks for new faces while some are followed.
    pub search_every: f64,
    /// Seconds between two looks while a face is missing or there is none.
    pub miss_every: f64,
    /// Seconds for which a lost face keeps its number.
    pub patience: f64,
    /// How landmarks are smoothed; not at all where `None`. The frames' own times count, [`SmoothConfig::fps`] does not.
    pub smooth: Option<SmoothConfig>,
}

impl Default for TrackConfig {
    fn default() -> Self {
        Self { search_every: 0.5, miss_every: 0.1, patience: 2.0, smooth: None }
    }
}

impl TrackConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("search_every", self.search_every),
            ("miss_every", self.miss_every),
            ("patience", self.patience),
        ] {
            ensure!(value >= 0.0 && value.is_finite(), "{name}: expected at least 0 seconds, got {value}");
        }
        self.smooth.as_ref().map_or(Ok(()), SmoothConfig::validate)
    }
}

/// A face in a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackedFace {
    /// Its number, the same in every frame.
    pub track: usize,
    /// The face, smoothed where that was asked for.
    pub face: Face,
}

/// Follows faces through the frames of a video. A predictor whose keypoints are of no known scheme knows no face again by its looks.
pub struct Tracker {
    config: TrackConfig,
    tracks: Vec<Track>,
    next: usize,
    now: f64,
    searched: Option<f64>,
    searches: usize,
    found: Jitter,
    smoothed: Jitter,
}

/// A face that is followed.
struct Track {
    id: usize,
    /// The box of its last landmarks.
    face_box: FaceBox,
    /// Pixels a second.
    speed: [f32; 2],
    seen: f64,
    lost: bool,
    score: Option<f32>,
    look: Option<Appearance>,
    filters: Filters,
}

impl Tracker {
    /// Starts before the first frame.
    ///
    /// # Errors
    /// As [`TrackConfig::validate`].
    pub fn new(config: TrackConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            config,
            tracks: Vec::new(),
            next: 0,
            now: f64::NEG_INFINITY,
            searched: None,
            searches: 0,
            found: Jitter::default(),
            smoothed: Jitter::default(),
        })
    }

    /// How often the detector was called.
    #[must_use]
    pub fn searches(&self) -> usize {
        self.searches
    }

    /// How much the landmarks trembled, as they were found and as they were given.
    #[must_use]
    pub fn jitter(&self) -> (&Jitter, &Jitter) {
        (&self.found, &self.smoothed)
    }

    /// The faces of the next frame, `seconds` after the video's start, in the order of their numbers.
    ///
    /// # Errors
    /// When the detector or the network fails; for a frame that is not later than the one before.
    pub fn frame(
        &mut self,
        predictor: &Predictor,
        image: &RgbImage,
        seconds: f64,
    ) -> Result<Vec<TrackedFace>> {
        ensure!(
            seconds.is_finite() && seconds > self.now,
            "seconds: expected a frame later than {}, got {seconds}",
            self.now
        );
        self.now = seconds;
        let patience = self.config.patience;
        self.tracks.retain(|track| !track.lost || seconds - track.seen <= patience);
        let mut faces = self.follow(predictor, image)?;
        self.part(predictor, image, &mut faces)?;
        if self.should_search() {
            self.searched = Some(seconds);
            self.searches += 1;
            let detections = predictor.detect(image)?;
            self.take(predictor, image, detections, &mut faces)?;
        }
        self.finish(predictor, image, faces)
    }

    /// Follows faces in `boxes` of the next frame, such as those that no detector finds.
    ///
    /// # Errors
    /// As [`Tracker::frame`] and [`Predictor::predict_in`].
    pub fn frame_in(
        &mut self,
        predictor: &Predictor,
        image: &RgbImage,
        seconds: f64,
        boxes: &[FaceBox],
    ) -> Result<Vec<TrackedFace>> {
        self.now = seconds;
        self.searched = Some(seconds);
        let mut faces = Vec::new();
        for face in predictor.predict_in(image, boxes)? {
            let track = self.begin(&face);
            faces.push((track, face));
        }
        self.finish(predictor, image, faces)
    }

    /// The faces that are followed, by index of their track, each in the box that is expected.
    fn follow(&mut self, predictor: &Predictor, image: &RgbImage) -> Result<Vec<(usize, Face)>> {
        let inside = |b: &FaceBox| {
            let [x, y] = b.centre();
            x >= 0.0 && y >= 0.0 && x < image.width() as f32 && y < image.height() as f32
        };
        let (mut followed, mut boxes) = (Vec::new(), Vec::new());
        for (i, track) in self.tracks.iter_mut().enumerate().filter(|(_, track)| !track.lost) {
            let expected = track.expected(self.now);
            if inside(&expected) {
                followed.push(i);
                boxes.push(expected);
            } else {
                track.lost = true;
            }
        }
        let mut faces = Vec::new();
        for ((i, expected), face) in
            followed.into_iter().zip(&boxes).zip(predictor.predict_in(image, &boxes)?)
        {
            let found = tight(&face.landmarks.points).filter(|found| {
                let grown = found.side() / expected.side();
                overlap(found, expected) >= MOVED && (GROWN.recip()..GROWN).contains(&grown)
            });
            if is_face(predictor, &face) && found.is_some() {
                faces.push((i, Face { score: self.tracks[i].score, ..face }));
            } else {
                self.tracks[i].lost = true;
            }
        }
        Ok(faces)
    }

    /// Of faces that lie on one another, keeps the one that looks as before; the other is lost.
    fn part(
        &mut self,
        predictor: &Predictor,
        image: &RgbImage,
        faces: &mut Vec<(usize, Face)>,
    ) -> Result<()> {
        while let Some((a, b)) = pair_on_one_another(faces) {
            let likeness = |n: usize| -> Result<f32> {
                let (track, face) = &faces[n];
                let look = Self::look(predictor, image, face)?;
                Ok(match (&self.tracks[*track].look, look) {
                    (Some(before), Some(now)) => before.likeness(&now),
                    _ => 0.0,
                })
            };
            let lost = if likeness(a)? < likeness(b)? { a } else { b };
            let (track, _) = faces.remove(lost);
            self.tracks[track].lost = true;
        }
        Ok(())
    }

    fn should_search(&self) -> bool {
        let Some(searched) = self.searched else { return true };
        let missing = self.tracks.is_empty() || self.tracks.iter().any(|track| track.lost);
        let every = if missing { self.config.miss_every } else { self.config.search_every };
        // Half a millisecond: times of frames are rounded.
        self.now - searched >= every - 5e-4
    }

    /// Gives what the detector found to lost faces that it may be, or to new ones.
    fn take(
        &mut self,
        predictor: &Predictor,
        image: &RgbImage,
        detections: Vec<Detection>,
        faces: &mut Vec<(usize, Face)>,
    ) -> Result<()> {
        let mut others = Vec::new();
        for detection in detections {
            let known = faces.iter_mut().find(|(_, face)| {
                tight(&face.landmarks.points).is_some_and(|b| overlap(&b, &detection.face_box) >= SAME_FACE)
            });
            match known {
                Some((track, face)) => {
                    face.score = Some(detection.score);
                    self.tracks[*track].score = Some(detection.score);
                }
                None => others.push(detection),
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        let boxes: Vec<FaceBox> = others.iter().map(|found| found.face_box).collect();
        let mut fresh = Vec::new();
        for (face, detection) in predictor.predict_in(image, &boxes)?.into_iter().zip(others) {
            let face = Face { score: Some(detection.score), ..face };
            if is_face(predictor, &face) {
                let look = Self::look(predictor, image, &face)?;
                fresh.push((face, look));
            }
        }
        let mut pairs = Vec::new();
        for (n, (face, look)) in fresh.iter().enumerate() {
            let Some(found) = tight(&face.landmarks.points) else { continue };
            for (t, track) in self.tracks.iter().enumerate().filter(|(_, track)| track.lost) {
                if let Some(fitness) = track.fitness(&found, look.as_ref(), self.now) {
                    pairs.push((fitness, n, t));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut given: Vec<Option<usize>> = vec![None; fresh.len()];
        for (_, n, t) in pairs {
            if given[n].is_none() && !given.contains(&Some(t)) {
                given[n] = Some(t);
            }
        }
        for ((face, _), track) in fresh.into_iter().zip(given) {
            let track = match track {
                Some(track) => {
                    // Where it has been is not where it is: speed and filters start anew.
                    let track_of = &mut self.tracks[track];
                    (track_of.speed, track_of.filters) = ([0.0; 2], Filters::default());
                    track
                }
                None if self.is_new(&face) => self.begin(&face),
                None => continue,
            };
            faces.push((track, face));
        }
        self.part(predictor, image, faces)
    }

    /// Whether a face that is none of the lost ones begins a track.
    fn is_new(&self, face: &Face) -> bool {
        let mut lost = self.tracks.iter().filter(|track| track.lost);
        let near = lost.any(|track| track.distance(&face.face_box, self.now) <= NEAR);
        let least = if near { NEW_FACE_NEAR_LOST } else { NEW_FACE };
        face.score.is_none_or(|score| score >= least)
    }

    /// A new track; returns its index.
    fn begin(&mut self, face: &Face) -> usize {
        self.tracks.push(Track {
            id: self.next,
            face_box: face.face_box,
            speed: [0.0; 2],
            seen: self.now,
            lost: false,
            score: face.score,
            look: None,
            filters: Filters::default(),
        });
        self.next += 1;
        self.tracks.len() - 1
    }

    /// Updates the tracks of `faces` and smooths these.
    fn finish(
        &mut self,
        predictor: &Predictor,
        image: &RgbImage,
        faces: Vec<(usize, Face)>,
    ) -> Result<Vec<TrackedFace>> {
        let mut tracked = Vec::with_capacity(faces.len());
        for (index, mut face) in faces {
            let look = Self::look(predictor, image, &face)?;
            let track = &mut self.tracks[index];
            let elapsed = (self.now - track.seen).max(1e-3);
            let Some(found) = tight(&face.landmarks.points) else { continue };
            if self.now > track.seen && !track.lost {
                let moved = [0, 1].map(|i| (found.centre()[i] - track.face_box.centre()[i]) / elapsed as f32);
                track.speed = [0, 1].map(|i| SPEED_SHARE * moved[i] + (1.0 - SPEED_SHARE) * track.speed[i]);
            }
            (track.face_box, track.seen, track.lost) = (found, self.now, false);
            match (&mut track.look, look) {
                (Some(before), Some(now)) => before.learn(&now),
                (before, now) => *before = now,
            }
            self.found.add(track.id, self.now, &face);
            if let Some(config) = &self.config.smooth {
                track.filters.smooth(&mut face, elapsed, config);
            }
            self.smoothed.add(track.id, self.now, &face);
            tracked.push(TrackedFace { track: track.id, face });
        }
        tracked.sort_by_key(|face| face.track);
        Ok(tracked)
    }

    fn look(predictor: &Predictor, image: &RgbImage, face: &Face) -> Result<Option<Appearance>> {
        match predictor.scheme() {
            Some(scheme) => Appearance::of(image, scheme, &face.landmarks.points),
            None => Ok(None),
        }
    }
}

impl Track {
    /// Where it would be by its last speed.
    fn expected(&self, now: f64) -> FaceBox {
        let elapsed = (now - self.seen).min(COASTING) as f32;
        let FaceBox { x, y, width, height } = self.face_box;
        FaceBox { x: x + self.speed[0] * elapsed, y: y + self.speed[1] * elapsed, width, height }
    }

    /// From where it is expected, or where it was lost, since it may have stopped, to a face: in sides of the larger one.
    fn distance(&self, found: &FaceBox, now: f64) -> f32 {
        let side = self.face_box.side().max(found.side());
        let [x, y] = found.centre();
        let off = |[a, b]: [f32; 2]| (a - x).hypot(b - y);
        off(self.expected(now).centre()).min(off(self.face_box.centre())) / side.max(f32::MIN_POSITIVE)
    }

    /// How well a face fits this lost one, `None` where it cannot be it.
    fn fitness(&self, found: &FaceBox, look: Option<&Appearance>, now: f64) -> Option<f32> {
        let distance = self.distance(found, now);
        let grown = found.side() / self.face_box.side();
        let alike = match (&self.look, look) {
            (Some(before), Some(now)) => before.likeness(now),
            _ => ALIKE,
        };
        let least = ALIKE * (0.5 + 0.5 * distance / NEAR);
        let fits = distance <= NEAR && alike >= least && (0.4..2.5).contains(&grown);
        fits.then_some(2.0 * alike - 0.5 * distance)
    }
}

/// The tight square around landmarks; `None` where they span none.
fn tight(points: &[[f32; 2]]) -> Option<FaceBox> {
    let bound = |axis: usize| {
        let values = points.iter().map(|p| p[axis]);
        (values.clone().fold(f32::INFINITY, f32::min), values.fold(f32::NEG_INFINITY, f32::max))
    };
    let ((x0, x1), (y0, y1)) = (bound(0), bound(1));
    let side = (x1 - x0).max(y1 - y0);
    let (x, y) = ((x0 + x1 - side) / 2.0, (y0 + y1 - side) / 2.0);
    (side > 1.0 && side.is_finite()).then_some(FaceBox { x, y, width: side, height: side })
}

/// Whether the landmarks are of a face, as far as their confidence tells.
fn is_face(predictor: &Predictor, face: &Face) -> bool {
    let evidence = predictor.confidence().map(|model| model.evidence(&face.landmarks.confidence));
    evidence.is_none_or(|evidence| evidence >= NO_FACE)
}

/// Two faces whose boxes are of one.
fn pair_on_one_another(faces: &[(usize, Face)]) -> Option<(usize, usize)> {
    let boxes: Vec<_> = faces.iter().map(|(_, face)| tight(&face.landmarks.points)).collect();
    (0..boxes.len()).find_map(|a| {
        let b = (0..a).find(|&b| match (&boxes[a], &boxes[b]) {
            (Some(x), Some(y)) => overlap(x, y) >= SAME_FACE,
            _ => false,
        })?;
        Some((a, b))
    })
}
