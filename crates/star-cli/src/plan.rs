//! What is measured on faces of a scheme: groups, curves, rulers.

use std::path::Path;

use anyhow::{Result, bail};
use star_data::Scheme;
use star_data::scheme::DefaultRuler;
use star_eval::{Curve, Group, Plan, Ruler, Setting};

use crate::args::{Ends, MetricArgs, RulerName};

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

/// A ruler of `scheme` by name, or its own default; with the name that readers know it by.
///
/// # Errors
/// When the scheme does not have such a ruler.
pub fn ruler(scheme: &Scheme, name: Option<RulerName>) -> Result<(Ruler, &'static str)> {
    let name = name.unwrap_or(match scheme.ruler {
        DefaultRuler::InterOcular => RulerName::InterOcular,
        DefaultRuler::InterPupil => RulerName::InterPupil,
        DefaultRuler::BoxDiagonal => RulerName::BoxDiagonal,
    });
    let between = |ends: &Option<[Vec<usize>; 2]>, what: &'static str| match ends {
        Some([a, b]) => Ok((Ruler::Between(a.clone(), b.clone()), what)),
        None => {
            bail!("scheme `{}` has no {what} ruler: choose --ruler box-diagonal or box-mean", scheme.name)
        }
    };
    match name {
        RulerName::InterOcular => between(&scheme.inter_ocular, "inter-ocular"),
        RulerName::InterPupil => between(&scheme.inter_pupil, "inter-pupil"),
        RulerName::BoxDiagonal => Ok((Ruler::BoxDiagonal(Vec::new()), "box diagonal")),
        RulerName::BoxMean => Ok((Ruler::BoxGeometricMean(Vec::new()), "box geometric mean")),
        RulerName::HeadSize => Ok((Ruler::HeadSize(Vec::new()), "head size")),
    }
}

/// What figures are printed with: data set, subset, ruler, thresholds and the parts of a face as groups.
///
/// # Errors
/// When the scheme does not have the ruler asked for.
pub fn setting(args: &MetricArgs, scheme: &Scheme, annotations: &Path) -> Result<Setting> {
    let (ruler, ruler_name) = match &args.between {
        Some(Ends(first, second)) => {
            if let Some(point) = first.iter().chain(second).find(|&&point| point >= scheme.keypoints) {
                bail!(
                    "--between: expected keypoints below {} of scheme `{}`, got {point}",
                    scheme.keypoints,
                    scheme.name
                )
            }
            let ruler = Ruler::Between(first.clone(), second.clone());
            let name = ruler.name();
            (ruler, name)
        }
        None => ruler(scheme, args.ruler).map(|(ruler, name)| (ruler, name.to_string()))?,
    };
    let name = || {
        let file = annotations.file_name().unwrap_or(annotations.as_os_str());
        let dir = annotations.parent().and_then(Path::file_name);
        dir.map_or(Path::new(file).to_path_buf(), |dir| Path::new(dir).join(file))
            .to_string_lossy()
            .into_owned()
    };
    Ok(Setting {
        dataset: args.dataset.clone().unwrap_or_else(name),
        subset: args.subset.clone(),
        ruler_name,
        ruler,
        thresholds: if args.thresholds.is_empty() { vec![scheme.threshold] } else { args.thresholds.clone() },
        groups: groups(scheme),
        notes: Vec::new(),
    })
}

/// Everything that can be measured under `setting`, whose ruler comes first, then the scheme's others.
pub fn plan(scheme: &Scheme, setting: &Setting) -> Plan {
    let others = [RulerName::InterOcular, RulerName::InterPupil, RulerName::BoxDiagonal, RulerName::BoxMean];
    let others = others.into_iter().filter_map(|name| ruler(scheme, Some(name)).ok());
    let mut rulers: Vec<(String, Ruler)> = vec![(setting.ruler_name.clone(), setting.ruler.clone())];
    rulers.extend(
        others.map(|(ruler, name)| (name.to_string(), ruler)).filter(|(_, ruler)| *ruler != setting.ruler),
    );
    let curve = |edge: &star_data::scheme::Edge| Curve {
        name: edge.name.replace('_', " "),
        keypoints: edge.points.clone(),
        closed: edge.closed,
    };
    Plan {
        dataset: setting.dataset.clone(),
        whole: setting.subset.clone(),
        rulers,
        thresholds: setting.thresholds.clone(),
        groups: setting.groups.clone(),
        curves: scheme.edges.iter().map(curve).collect(),
        contrast: contrast(scheme),
        notes: setting.notes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
