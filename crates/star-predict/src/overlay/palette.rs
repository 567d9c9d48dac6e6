//! Colours of the parts of a face, the same in every scheme and drawing.

use star_data::Scheme;

/// Outline, brows, nose, eyes, mouth: apart from each other and from skin, light enough for dark photographs.
const COLOURS: [[u8; 3]; 5] =
    [[64, 196, 255], [255, 200, 0], [60, 230, 110], [196, 120, 255], [255, 56, 190]];

/// What belongs to no part.
pub(super) const REST: [u8; 3] = [245, 245, 245];

/// Words in the names of edges, and which part they are of.
const PARTS: [(&str, usize); 9] = [
    ("brow", 1),
    ("nose", 2),
    ("eye", 3),
    ("lip", 4),
    ("mouth", 4),
    ("contour", 0),
    ("jaw", 0),
    ("cheek", 0),
    ("chin", 0),
];

/// The colour of each edge and each keypoint of a scheme, as red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette {
    /// In the order of the scheme's edges.
    pub edges: Vec<[u8; 3]>,
    /// That of the first edge that a keypoint lies on; nearly white for one that lies on none.
    pub points: Vec<[u8; 3]>,
}

impl Palette {
    /// Parts of a face by their names; the edges of anything else take turns, left and right alike.
    #[must_use]
    pub fn of(scheme: &Scheme) -> Self {
        let mut others: Vec<String> = Vec::new();
        let mut edges = Vec::new();
        for edge in &scheme.edges {
            let name = edge.name.to_lowercase();
            let part = PARTS.iter().find(|(word, _)| name.contains(word)).map(|(_, part)| *part);
            let part = part.unwrap_or_else(|| {
                let sides = ["left", "right"];
                let words = name.split(['_', '-', ' ']).filter(|word| !sides.contains(word));
                let key = words.collect::<Vec<_>>().join("_");
                others.iter().position(|other| *other == key).unwrap_or_else(|| {
                    others.push(key);
                    others.len() - 1
                })
            });
            edges.push(COLOURS[part % COLOURS.len()]);
        }
        let of_point = |k: usize| {
            let edge = scheme.edges.iter().position(|edge| edge.points.contains(&k));
            edge.map_or(REST, |edge| edges[edge])
        };
        let points = (0..scheme.keypoints).map(of_point).collect();
        Self { edges, points }
    }
}

/// From red where a landmark is unsure to green where it is sure; `confidence` runs from 0 to 1.
pub(super) fn of_confidence(confidence: f32) -> [u8; 3] {
    const STOPS: [[f32; 3]; 3] = [[255.0, 60.0, 50.0], [255.0, 205.0, 60.0], [90.0, 240.0, 120.0]];
    let at = if confidence.is_finite() { confidence.clamp(0.0, 1.0) * 2.0 } else { 0.0 };
    let first = (at as usize).min(1);
    let share = at - first as f32;
    std::array::from_fn(|c| (STOPS[first][c] * (1.0 - share) + STOPS[first + 1][c] * share).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_face_have_one_colour_in_every_scheme_and_other_things_take_turns() {
        let of = |scheme: &str, edge: &str| {
            let scheme = Scheme::named(scheme).unwrap();
            let at = scheme.edges.iter().position(|e| e.name == edge).unwrap();
            Palette::of(&scheme).edges[at]
        };
        assert_eq!(of("cofw29", "right_eye"), of("wflw98", "left_eye"));
        assert_eq!(of("cofw29", "upper_lip"), of("ibug68", "inner_lip"));
        assert_ne!(of("ibug68", "right_eye"), of("ibug68", "right_eyebrow"));
        let hand = Palette::of(&Scheme::named("hand21").unwrap());
        let different: std::collections::HashSet<_> = hand.edges.iter().collect();
        assert_eq!((different.len(), hand.points[0], hand.points[8]), (5, REST, hand.edges[1]));
    }

    #[test]
    fn the_sure_are_green_and_the_unsure_red() {
        let [low, middle, high] = [0.0, 0.5, 1.0].map(of_confidence);
        assert!(low[0] > 200 && low[1] < 100 && middle[1] > 150 && high[1] > 200 && high[0] < 120);
        assert_eq!(of_confidence(f32::NAN), low);
    }
}
