//! Which column of the CSV file is what, and a face from a row of it.

use std::collections::HashMap;

use csv::ByteRecord;

use super::super::paths::Paths;
use super::super::place::{Place, quoted, separator};
use crate::crop::CropRule;
use crate::sample::{ABSENT, is_labelled};
use crate::{Annotation, FaceBox, Result, Scheme};

/// What a column of visibility says; tables with gaps write whole numbers as fractions.
#[derive(Clone, Copy, PartialEq)]
enum Visible {
    Absent,
    Hidden,
    Seen,
    Unsaid,
}

impl Visible {
    fn of(text: &str) -> Option<Self> {
        if text.is_empty() || text.eq_ignore_ascii_case("nan") {
            return Some(Self::Unsaid);
        }
        match text.parse::<f32>().ok()? {
            0.0 => Some(Self::Absent),
            1.0 => Some(Self::Hidden),
            2.0 => Some(Self::Seen),
            _ => None,
        }
    }
}

/// Columns that say where the box is.
pub(super) const BOX: [&str; 4] = ["box_x", "box_y", "box_width", "box_height"];

/// Where each field of a row is.
pub(super) struct Columns {
    count: usize,
    image: usize,
    points: Vec<Point>,
    stated: Option<[usize; 4]>,
    split: Option<usize>,
    tags: Option<usize>,
}

struct Point {
    x: usize,
    y: usize,
    v: Option<usize>,
}

impl Columns {
    /// From the header.
    pub(super) fn of(place: &Place, header: &ByteRecord, scheme: &Scheme) -> Result<Self> {
        let mut at = HashMap::new();
        for (i, name) in header.iter().enumerate() {
            let name = place.text(name)?.trim();
            if at.insert(name, i).is_some() {
                return Err(place.error("header", "each column once", quoted(name)));
            }
        }
        let count = at.len();
        separated(place, &at)?;
        let names = header.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
        let needed = |found: Option<usize>, name: &str| {
            let got = || format!("none of that name in {}", quoted(&names));
            found.ok_or_else(|| place.error("header", format!("a column `{name}`"), got()))
        };
        let image = needed(at.remove("image"), "image")?;
        let mut points = Vec::with_capacity(scheme.keypoints);
        for k in 0..scheme.keypoints {
            let name = scheme.names.get(k);
            let mut column = |axis: char| {
                let named = name.and_then(|name| at.remove(format!("{name}_{axis}").as_str()));
                named.or_else(|| at.remove(format!("{axis}{k}").as_str()))
            };
            let (x, y, v) = (column('x'), column('y'), column('v'));
            let expected = |axis: char| match name {
                Some(name) => format!("{name}_{axis}"),
                None => format!("{axis}{k}"),
            };
            points.push(Point { x: needed(x, &expected('x'))?, y: needed(y, &expected('y'))?, v });
        }
        let sides = BOX.map(|name| at.remove(name));
        let stated = match sides {
            [Some(x), Some(y), Some(width), Some(height)] => Some([x, y, width, height]),
            [None, None, None, None] => None,
            _ => {
                return Err(place.error(
                    "header",
                    format!("all of {}, or none", BOX.join(", ")),
                    "some of them",
                ));
            }
        };
        let (split, tags) = (at.remove("split"), at.remove("tags"));
        if let Some(name) = at.keys().min() {
            let expected = "image, points of the scheme, box_x and so on, split, tags";
            return Err(place.error("header", expected, format!("a column {}", quoted(name))));
        }
        Ok(Self { count, image, points, stated, split, tags })
    }

    /// A row: its split, and its face.
    pub(super) fn face(
        &self,
        place: &Place,
        record: &ByteRecord,
        crop: Option<CropRule>,
        paths: &Paths,
    ) -> Result<(Option<String>, Annotation)> {
        if record.len() != self.count {
            let expected = format!("{}, as the header has", self.count);
            return Err(place.error("columns", expected, record.len().to_string()));
        }
        let field = |i: usize| Ok(place.text(&record[i])?.trim());
        let (mut points, mut visible) = (Vec::new(), Vec::new());
        for point in &self.points {
            let v = point.v.map_or(Ok("2"), field)?;
            let (x, y) = (field(point.x)?, field(point.y)?);
            let empty =
                (x.is_empty() && y.is_empty()) || [x, y].iter().all(|t| t.eq_ignore_ascii_case("nan"));
            let (place_of, seen) = match (Visible::of(v), empty) {
                (Some(Visible::Absent), _) | (Some(Visible::Unsaid), true) => (ABSENT, false),
                (_, true) if point.v.is_none() => (ABSENT, false),
                (Some(visible @ (Visible::Hidden | Visible::Seen)), false) => {
                    let place_of = place.point("point", [x, y])?;
                    (place_of, visible == Visible::Seen && is_labelled(&place_of))
                }
                _ => {
                    return Err(place.error(
                        "point",
                        "x, y and a v of 0, 1 or 2",
                        quoted(&format!("{x},{y},{v}")),
                    ));
                }
            };
            points.push(place_of);
            visible.push(seen);
        }
        let known = self.points.iter().any(|point| point.v.is_some());
        let stated = match self.stated {
            Some(sides) => self.stated_box(
                place,
                [field(sides[0])?, field(sides[1])?, field(sides[2])?, field(sides[3])?],
            )?,
            None => None,
        };
        let rule = crop.unwrap_or(if stated.is_some() { CropRule::Stated } else { CropRule::LandmarkTight });
        let face = rule.apply(&points, stated);
        let face =
            face.map_err(|error| place.error("box", "points or a box with an extent", error.to_string()))?;
        let split = self.split.map(field).transpose()?.map(str::to_string);
        let tags = self.tags.map(field).transpose()?.unwrap_or_default();
        let annotation = Annotation {
            file: place.file.clone(),
            line: place.line,
            image: place.image_by(paths, field(self.image)?)?,
            points,
            visibility: known.then_some(visible),
            stated,
            face,
            tags: tags.split_whitespace().map(str::to_string).collect(),
        };
        Ok((split, annotation))
    }

    fn stated_box(&self, place: &Place, texts: [&str; 4]) -> Result<Option<FaceBox>> {
        if texts.iter().all(|text| text.is_empty() || text.eq_ignore_ascii_case("nan")) {
            return Ok(None);
        }
        let mut sides = [0.0; 4];
        for (side, text) in sides.iter_mut().zip(texts) {
            *side = place.number("box", text)?;
        }
        Ok(FaceBox::stated(sides))
    }
}

/// A header whose columns another sign divides is named by that sign.
fn separated(place: &Place, header: &HashMap<&str, usize>) -> Result<()> {
    let whole = header.keys().find(|name| name.contains([';', '\t', '|']));
    match whole.filter(|_| !header.contains_key("image")) {
        Some(name) => {
            let sign = separator(name).unwrap_or("other signs");
            Err(place.error("header", "commas between columns", format!("{sign}: {}", quoted(name))))
        }
        None => Ok(()),
    }
}
