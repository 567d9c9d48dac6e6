//! What is measured on samples of a scheme: groups, curves, normalizers.

use anyhow::{Result, bail};
use star_data::Scheme;
use star_data::scheme::DefaultNormalizer;
use star_eval::{Curve, Group, MetricSet, Normalizer, Setting};
use star_predict::records;

/// Length that errors are divided by, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalizerName {
    /// Between the outer eye corners.
    InterOcular,
    /// Between the eye centres.
    InterPupil,
    /// Diagonal of the box around the true landmarks.
    BoxDiagonal,
    /// Geometric mean of the sides of that box.
    BoxMean,
    /// 0.6 of that diagonal: the head's size as MPII defines it for PCKh.
    HeadSize,
    /// Diagonal of the box that the annotations state.
    StatedBoxDiagonal,
}

/// Parts of a face by the words that edges are named with; edges of other names are groups of their own.
const PARTS: [(&str, &str); 9] = [
    ("contour", "contour"),
    ("jaw", "contour"),
    ("brow", "brows"),
    ("eye", "eyes"),
    ("nose", "nose"),
    ("lip", "mouth"),
    ("mouth", "mouth"),
    ("pupil", "pupils"),
    ("chin", "contour"),
];

/// Keypoints by part of the face: the scheme's edges, left and right, inner and outer together; keypoints on no edge are `other`.
pub fn groups(scheme: &Scheme) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for edge in &scheme.edges {
        let part = PARTS.iter().find(|(word, _)| edge.name.contains(word));
        let name = part.map_or_else(|| edge.name.replace('_', " "), |(_, part)| (*part).to_string());
        let at = groups.iter().position(|group| group.name == name).unwrap_or_else(|| {
            groups.push(Group { name, keypoints: Vec::new() });
            groups.len() - 1
        });
        groups[at].keypoints.extend(&edge.points);
    }
    let on_none = |k: &usize| scheme.edges.iter().all(|edge| !edge.points.contains(k));
    let others: Vec<usize> = (0..scheme.keypoints).filter(on_none).collect();
    if !others.is_empty() && !groups.is_empty() {
        groups.push(Group { name: "other".into(), keypoints: others });
    }
    for group in &mut groups {
        group.keypoints.sort_unstable();
        group.keypoints.dedup();
    }
    groups
}

/// The scheme's edges as curves through keypoints.
pub fn curves(scheme: &Scheme) -> Vec<Curve> {
    let curve = |edge: &star_data::scheme::Edge| Curve {
        name: edge.name.replace('_', " "),
        keypoints: edge.points.clone(),
        closed: edge.closed,
    };
    scheme.edges.iter().map(curve).collect()
}

/// Eye corners against the contour, where the scheme has both: of an edge around an eye, the first point and the one opposite.
fn contrast(scheme: &Scheme) -> Option<[Group; 2]> {
    let eyes = scheme.edges.iter().filter(|edge| edge.name.contains("eye") && !edge.name.contains("brow"));
    let corners: Vec<usize> = eyes
        .filter_map(|eye| Some([*eye.points.first()?, *eye.points.get(eye.points.len() / 2)?]))
        .flatten()
        .collect();
    let contour = groups(scheme).into_iter().find(|group| group.name == "contour")?;
    (!corners.is_empty()).then(|| [Group { name: "eye corners".into(), keypoints: corners }, contour])
}

/// A normalizer of `scheme` by name, or its own default; with the name that readers know it by. One keypoint spans no box: its default is
/// the stated box, never the points'.
///
/// # Errors
/// When the scheme does not have such a normalizer.
pub fn normalizer(scheme: &Scheme, name: Option<NormalizerName>) -> Result<(Normalizer, &'static str)> {
    let name = name.unwrap_or(match scheme.normalizer {
        DefaultNormalizer::InterOcular => NormalizerName::InterOcular,
        DefaultNormalizer::InterPupil => NormalizerName::InterPupil,
        DefaultNormalizer::BoxDiagonal if scheme.keypoints > 1 => NormalizerName::BoxDiagonal,
        DefaultNormalizer::BoxDiagonal | DefaultNormalizer::StatedBoxDiagonal => {
            NormalizerName::StatedBoxDiagonal
        }
    });
    let between = |ends: &Option<[Vec<usize>; 2]>, what: &'static str| match ends {
        Some([a, b]) => Ok((Normalizer::Between(a.clone(), b.clone()), what)),
        None => {
            bail!(
                "scheme `{}` has no {what} normalizer: choose --normalize-by box-diagonal, box-mean or stated-box-diagonal",
                scheme.name
            )
        }
    };
    match name {
        NormalizerName::InterOcular => between(&scheme.inter_ocular, "inter-ocular"),
        NormalizerName::InterPupil => between(&scheme.inter_pupil, "inter-pupil"),
        NormalizerName::BoxDiagonal => Ok((Normalizer::BoxDiagonal(Vec::new()), "box diagonal")),
        NormalizerName::BoxMean => Ok((Normalizer::BoxGeometricMean(Vec::new()), "box geometric mean")),
        NormalizerName::HeadSize => Ok((Normalizer::HeadSize(Vec::new()), "head size")),
        NormalizerName::StatedBoxDiagonal => Ok((Normalizer::StatedBoxDiagonal, "stated box diagonal")),
    }
}

/// Everything that can be measured under `setting`, whose normalizer comes first, then the scheme's others.
pub fn metric_set(scheme: &Scheme, setting: &Setting) -> MetricSet {
    let others = [
        NormalizerName::InterOcular,
        NormalizerName::InterPupil,
        NormalizerName::BoxDiagonal,
        NormalizerName::BoxMean,
    ];
    let others = others.into_iter().filter_map(|name| normalizer(scheme, Some(name)).ok());
    // One keypoint has no length of its own.
    let others = others.filter(|_| scheme.keypoints > 1);
    let mut normalizers: Vec<(String, Normalizer)> =
        vec![(setting.normalizer_name.clone(), setting.normalizer.clone())];
    normalizers.extend(
        others
            .map(|(normalizer, name)| (name.to_string(), normalizer))
            .filter(|(_, normalizer)| *normalizer != setting.normalizer),
    );
    MetricSet {
        dataset: setting.dataset.clone(),
        whole: setting.subset.clone(),
        normalizers,
        thresholds: setting.thresholds.clone(),
        groups: setting.groups.clone(),
        curves: curves(scheme),
        names: records::keypoints(scheme)
            .into_iter()
            .map(|keypoint| keypoint.name.replace('_', " "))
            .collect(),
        contrast: contrast(scheme),
        notes: setting.notes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_keypoint_is_measured_by_the_stated_box_and_several_by_their_own() {
        let name = |keypoints: usize| normalizer(&Scheme::new("s", keypoints), None).unwrap().1;
        assert_eq!((name(1), name(2)), ("stated box diagonal", "box diagonal"));
        let stated = DefaultNormalizer::StatedBoxDiagonal;
        let scheme = Scheme { normalizer: stated, ..Scheme::new("s", 2) };
        assert_eq!(normalizer(&scheme, None).unwrap().1, "stated box diagonal");
        assert_eq!(toml::Value::try_from(stated).unwrap().as_str(), Some("stated-box-diagonal"));
    }

    #[test]
    fn built_in_schemes_have_the_parts_of_a_face_and_their_eye_corners() {
        let corners = |name: &str| contrast(&Scheme::named(name).unwrap()).map(|[eyes, _]| eyes.keypoints);
        assert_eq!(corners("wflw").unwrap(), [60, 64, 68, 72]);
        assert_eq!(corners("300w").unwrap(), [36, 39, 42, 45]);
        assert_eq!(corners("cofw"), None, "it has no contour");
        let names = |name: &str| -> Vec<String> {
            groups(&Scheme::named(name).unwrap()).into_iter().map(|group| group.name).collect()
        };
        assert_eq!(names("wflw"), ["contour", "brows", "nose", "eyes", "mouth", "other"]);
        assert_eq!(names("300w"), ["contour", "brows", "nose", "eyes", "mouth"]);
        let wflw = groups(&Scheme::named("wflw").unwrap());
        assert_eq!(wflw.iter().map(|g| g.keypoints.len()).collect::<Vec<_>>(), [33, 18, 9, 16, 20, 2]);
    }
}
