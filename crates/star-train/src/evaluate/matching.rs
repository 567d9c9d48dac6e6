//! Predicted faces and annotated ones, matched.

use std::collections::HashMap;

use star_predict::records::FaceRecord;

/// An annotated face.
pub struct Row<'a> {
    /// The image's path, as the annotations name it.
    pub image: String,
    /// True landmarks.
    pub points: &'a [[f32; 2]],
    /// Longer side of its box, by which landmarks without an extent, such as a single one, are matched.
    pub side: f64,
    /// Subsets that it is in.
    pub tags: &'a [String],
}

/// The predicted face of each annotated one: by row index where the predictions carry one, else within the same
/// image the pairs whose landmarks lie closest, each face used once.
#[must_use]
pub fn match_faces(rows: &[Row], faces: &[FaceRecord]) -> Vec<Option<usize>> {
    let mut matched = vec![None; rows.len()];
    let mut by_image: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, face) in faces.iter().enumerate() {
        match face.row {
            Some(row) if row < rows.len() && same_image(&rows[row].image, &face.image) => {
                matched[row] = Some(i)
            }
            _ => by_image.entry(file_name(&face.image)).or_default().push(i),
        }
    }
    let mut pairs = Vec::new();
    for (r, row) in rows.iter().enumerate().filter(|(r, _)| matched[*r].is_none()) {
        for &f in by_image.get(&file_name(&row.image)).into_iter().flatten() {
            if same_image(&row.image, &faces[f].image) {
                pairs.push((mean_distance(row.points, &faces[f].points), r, f));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut taken = vec![false; faces.len()];
    for (distance, r, f) in pairs {
        // Farther apart than the face is large: another face of the image.
        if matched[r].is_none() && !taken[f] && distance <= extent(&rows[r]) {
            matched[r] = Some(f);
            taken[f] = true;
        }
    }
    matched
}

fn file_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_string()
}

/// Whether two paths name one image: equal, or one ends with the other at a folder's border.
fn same_image(a: &str, b: &str) -> bool {
    let (a, b) = (a.replace('\\', "/"), b.replace('\\', "/"));
    let (long, short) = if a.len() >= b.len() { (&a, &b) } else { (&b, &a) };
    long.strip_suffix(short.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

fn mean_distance(a: &[[f32; 2]], b: &[[f32; 2]]) -> f64 {
    let total: f64 = a.iter().zip(b).map(|(p, q)| f64::from((p[0] - q[0]).hypot(p[1] - q[1]))).sum();
    total / a.len().max(1) as f64
}

/// Longer side of the box around a row's points; that of its own box where they span none.
fn extent(row: &Row) -> f64 {
    let side = |axis: usize| {
        let values = row.points.iter().map(|p| p[axis]);
        values.clone().fold(f32::MIN, f32::max) - values.fold(f32::MAX, f32::min)
    };
    let tight = f64::from(side(0).max(side(1)));
    if tight > 0.0 { tight } else { row.side }
}

#[cfg(test)]
mod tests {
    use super::*;
    use star_data::FaceBox;

    fn face(image: &str, at: f32, row: Option<usize>) -> FaceRecord {
        FaceRecord {
            image: image.into(),
            scheme: "two".into(),
            face_box: FaceBox { x: at, y: at, width: 10.0, height: 10.0 },
            score: None,
            row,
            track: None,
            pose: None,
            confidence: Vec::new(),
            occluded: Vec::new(),
            points: vec![[at, at], [at + 10.0, at + 10.0]],
            ellipses: Vec::new(),
        }
    }

    #[test]
    fn faces_of_one_image_are_matched_by_where_they_are() {
        let (near, far) = ([[0.0, 0.0], [10.0, 10.0]], [[100.0, 100.0], [110.0, 110.0]]);
        let rows = [
            Row { image: "a/x.jpg".into(), points: &near, side: 0.0, tags: &[] },
            Row { image: "a/x.jpg".into(), points: &far, side: 0.0, tags: &[] },
        ];
        let faces =
            [face("images/a/x.jpg", 101.0, None), face("x.jpg", 1.0, None), face("b/x.jpg", 0.0, None)];
        assert_eq!(match_faces(&rows, &faces), [Some(1), Some(0)]);
    }

    #[test]
    fn a_face_elsewhere_in_the_image_is_no_prediction() {
        let truth = [[0.0, 0.0], [10.0, 10.0]];
        let rows = [Row { image: "x.jpg".into(), points: &truth, side: 0.0, tags: &[] }];
        assert_eq!(match_faces(&rows, &[face("x.jpg", 50.0, None)]), [None]);
        assert_eq!(match_faces(&rows, &[face("x.jpg", 50.0, Some(0))]), [Some(0)]);
    }
}
