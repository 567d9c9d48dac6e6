//! Writing the TOML and CSV files of one's own data.

use std::path::Path;

use super::Head;
use super::columns::BOX;
use crate::{Annotation, Error, Result, Scheme};

/// The TOML and the CSV file of annotations, the latter under the name `table`; images are found from `images`. The stated box is
/// the one that crops are made from.
///
/// # Errors
/// [`Error::Content`] for paths that are not UTF-8.
pub fn to_files(
    faces: &[Annotation],
    scheme: &Scheme,
    split: Option<&str>,
    table: &Path,
    images: &Path,
) -> Result<(String, String)> {
    let internal = |error: String| Error::content(table, "description", "text", error);
    let head = Head {
        points: Some(table.to_path_buf()),
        images: Some(images.to_path_buf()),
        crop: None,
        scheme: toml::Value::try_from(scheme).map_err(|error| internal(error.to_string()))?,
    };
    let head = toml::to_string(&head).map_err(|error| internal(error.to_string()))?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    let seen = faces.iter().any(|face| face.visibility.is_some());
    let name = |k: usize, axis: char| match scheme.names.get(k) {
        Some(name) => format!("{name}_{axis}"),
        None => format!("{axis}{k}"),
    };
    let axes: &[char] = if seen { &['x', 'y', 'v'] } else { &['x', 'y'] };
    let mut header = vec!["image".to_string()];
    header.extend(
        (0..scheme.keypoints)
            .flat_map(|k| axes.iter().map(move |&axis| (k, axis)))
            .map(|(k, axis)| name(k, axis)),
    );
    header.extend(BOX.iter().chain(&["split", "tags"]).map(|name| name.to_string()));
    let failed = |error: csv::Error| internal(error.to_string());
    writer.write_record(&header).map_err(failed)?;
    for face in faces {
        let image = face.image.to_str().ok_or_else(|| {
            let field = format!("entry {}: image", face.line);
            Error::content(&*face.file, field, "a path of UTF-8", format!("{:?}", face.image))
        })?;
        let mut row = vec![image.replace('\\', "/")];
        for (k, &[x, y]) in face.points.iter().enumerate() {
            let here = x.is_finite() && y.is_finite();
            let number = |v: f32| if here { v.to_string() } else { String::new() };
            row.extend([number(x), number(y)]);
            if seen {
                let visible =
                    face.visibility.as_ref().is_none_or(|visible| visible.get(k).copied().unwrap_or(true));
                row.push(
                    if !here {
                        "0"
                    } else if visible {
                        "2"
                    } else {
                        "1"
                    }
                    .to_string(),
                );
            }
        }
        let place = face.face;
        row.extend([place.x, place.y, place.width, place.height].map(|v| v.to_string()));
        row.extend([split.unwrap_or_default().to_string(), face.tags.join(" ")]);
        writer.write_record(&row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| internal(error.to_string()))?;
    Ok((head, String::from_utf8(bytes).map_err(|error| internal(error.to_string()))?))
}
