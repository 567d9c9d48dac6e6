//! What the landmarks of a scheme are called, for files that are read without this program.

use serde::{Deserialize, Serialize};
use star_data::Scheme;

/// One keypoint of a scheme.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keypoint {
    /// The scheme's own name of it; where it has none, the edge it lies on and its number there, such as `right_eye_0`.
    pub name: String,
    /// The first edge that it lies on, such as `right_eye`; `other` where it is on none.
    pub group: String,
}

/// The keypoints of `scheme` in order.
#[must_use]
pub fn keypoints(scheme: &Scheme) -> Vec<Keypoint> {
    let keypoint = |k: usize| {
        let place = |edge: &star_data::scheme::Edge| edge.points.iter().position(|point| *point == k);
        let on = scheme.edges.iter().find_map(|edge| Some((edge, place(edge)?)));
        let own = scheme.names.get(k).filter(|name| !name.is_empty()).cloned();
        let derived = || on.map_or_else(|| format!("keypoint_{k}"), |(edge, i)| format!("{}_{i}", edge.name));
        Keypoint {
            name: own.unwrap_or_else(derived),
            group: on.map_or("other", |(edge, _)| edge.name.as_str()).to_string(),
        }
    };
    (0..scheme.keypoints).map(keypoint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landmarks_are_called_by_their_edges_unless_the_scheme_names_them() {
        let of = |scheme: &Scheme, k: usize| {
            let Keypoint { name, group } = keypoints(scheme).swap_remove(k);
            (name, group)
        };
        let ibug = Scheme::named("300w").unwrap();
        assert_eq!(keypoints(&ibug).len(), 68);
        assert_eq!(of(&ibug, 36), ("right_eye_0".into(), "right_eye".into()));
        let wflw = Scheme::named("wflw").unwrap();
        assert_eq!(of(&wflw, 96), ("keypoint_96".into(), "other".into()));
        let mut own = Scheme::new("own", 2);
        own.names = vec!["nose".into(), "tail".into()];
        assert_eq!(of(&own, 1), ("tail".into(), "other".into()));
    }
}
