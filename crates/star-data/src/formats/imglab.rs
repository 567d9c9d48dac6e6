//! The XML files of dlib's imglab (dlib.net, tools/imglab): `<dataset><images><image file='a.jpg' width='9' height='9'><box top='1' left='1'
//! width='7' height='7'><part name='00' x='3' y='4'/>...`.
//!
//! Points are 0-based pixels, taken as they are, and follow the scheme by the names of parts: names that the scheme has, or numbers from 0,
//! or from 1 where the file has a part of the last number and none called 0. A part that a box does not have is absent. Boxes without
//! parts and those with `ignore='1'` are passed over. A file is one split of one data set, without subsets.
//!
//! Where `image` states a width and a height, they tell which way up the image was annotated, by the rule of [`decode`](crate::decode).
//!
//! Crop: the box as it stands ([`CropRule::Stated`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::annotated::{self, AnnotatedImages, Read};
use super::definition::{Definition, Found, Request};
use super::paths::Paths;
use super::place::{self, Place, quoted};
use crate::crop::CropRule;
use crate::sample::or_absent;
use crate::{Annotation, Error, FaceBox, Result, Scheme};

/// What an empty file should have held.
const EXPECTED: &str = "an XML file of imglab with boxes that have parts";

/// Every box with parts of the file `annotations`, with images below `images`.
///
/// # Errors
/// As [`read`], [`Error::Empty`] for a file without such boxes, and for the first box that cannot be used.
pub fn open(
    annotations: impl AsRef<Path>,
    images: impl AsRef<Path>,
    scheme: Scheme,
) -> Result<AnnotatedImages> {
    let annotations = annotations.as_ref();
    annotated::strict(read(annotations, images.as_ref(), scheme)?, annotations, EXPECTED)
}

/// The boxes of the file `path`, and what is wrong with those that cannot be used.
///
/// # Errors
/// [`Error::Io`]; [`Error::Row`] where the file is no such XML.
pub fn read(path: &Path, images: &Path, scheme: Scheme) -> Result<Read> {
    read_by(path, images, scheme, &Paths::default())
}

fn read_by(path: &Path, images: &Path, scheme: Scheme, paths: &Paths) -> Result<Read> {
    let bytes = place::read(path)?;
    let document = Document::parse(&text(&bytes), path, paths)?;
    let indices = document.indices(&scheme);
    let (mut faces, mut sizes, mut problems) = (Vec::new(), Vec::new(), document.problems);
    for marked in document.boxes {
        let size = marked.image.size;
        match marked.face(&indices, &scheme) {
            Ok(face) => {
                faces.push(face);
                sizes.push(size);
            }
            Err(problem) => problems.push(problem),
        }
    }
    Ok((AnnotatedImages::new(faces, images, scheme).with_sizes(sizes), problems))
}

/// imglab's files among the formats.
pub(super) struct Imglab;

impl Definition for Imglab {
    fn name(&self) -> &'static str {
        "imglab"
    }

    fn about(&self) -> &'static str {
        "An XML file of dlib's imglab: images, boxes, parts"
    }

    fn crop(&self) -> CropRule {
        CropRule::Stated
    }

    fn cuts_paths(&self) -> bool {
        true
    }

    fn read(&self, request: &Request) -> Result<Found> {
        let images = request.images_or_beside();
        Ok(read_by(request.path, &images, request.needed_scheme()?, request.paths)?.into())
    }
}

/// imglab calls its files ISO-8859-1 and writes names as the system has them, which is UTF-8 nearly everywhere.
fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.iter().map(|&byte| char::from(byte)).collect())
}

/// An image, and how wide and high the file says it is.
#[derive(Clone)]
struct Image {
    path: PathBuf,
    size: Option<[u32; 2]>,
}

/// A box with parts.
struct Marked {
    place: Place,
    image: Image,
    stated: FaceBox,
    parts: BTreeMap<String, [f32; 2]>,
}

/// What a file says.
#[derive(Default)]
struct Document {
    boxes: Vec<Marked>,
    problems: Vec<Error>,
}

/// The elements that are open.
#[derive(Default)]
struct Open {
    image: Option<Image>,
    marked: Option<Marked>,
}

impl Document {
    fn parse(text: &str, path: &Path, paths: &Paths) -> Result<Self> {
        let mut document = Self::default();
        let (mut open, mut lines) = (Open::default(), Lines { text, at: 0, line: 1 });
        let (mut reader, file) = (Reader::from_str(text), Arc::<Path>::from(path));
        let (mut root, mut depth) = (false, 0usize);
        loop {
            let place = Place { file: file.clone(), line: lines.at(reader.buffer_position()) };
            match reader.read_event().map_err(|error| not_xml(&place, &error))? {
                Event::Start(tag) => {
                    root |= tag.name().as_ref() == b"dataset";
                    depth += 1;
                    document.begin(&tag, &place, &mut open, paths);
                }
                Event::Empty(tag) => {
                    document.begin(&tag, &place, &mut open, paths);
                    document.end(tag.name().as_ref(), &mut open);
                }
                Event::End(tag) => {
                    depth = depth.saturating_sub(1);
                    document.end(tag.name().as_ref(), &mut open);
                }
                Event::Eof if !root => {
                    let expected = "XML with an element `dataset`, as imglab writes it";
                    return Err(Place { file, line: 1 }.error("row", expected, "another document"));
                }
                Event::Eof if depth > 0 => {
                    return Err(place.error(
                        "row",
                        "the ends of all elements",
                        format!("the end, {depth} still open"),
                    ));
                }
                Event::Eof => return Ok(document),
                _ => {}
            }
        }
    }

    /// Takes an element in; one that is wrong is a problem, and its box is left out.
    fn begin(&mut self, tag: &BytesStart, place: &Place, open: &mut Open, paths: &Paths) {
        if let Err(problem) = self.take(tag, place, open, paths) {
            self.problems.push(problem);
            open.marked = None;
        }
    }

    fn take(&mut self, tag: &BytesStart, place: &Place, open: &mut Open, paths: &Paths) -> Result<()> {
        match tag.name().as_ref() {
            b"image" => {
                open.image = None;
                let tag = Attributes::of(tag, place)?;
                let path = place.image_by(paths, tag.get("file")?)?;
                let size = tag.side("width")?.zip(tag.side("height")?).map(|(width, height)| [width, height]);
                open.image = Some(Image { path, size });
            }
            b"box" => {
                open.marked = None;
                let (tag, image) = (Attributes::of(tag, place)?, open.image.clone());
                if let Some(image) =
                    image.filter(|_| tag.values.get("ignore").is_none_or(|ignore| ignore == "0"))
                {
                    open.marked = Some(tag.marked(image)?);
                }
            }
            b"part" => {
                if let Some(marked) = &mut open.marked {
                    let (name, point) = Attributes::of(tag, place)?.part()?;
                    if marked.parts.insert(name.clone(), point).is_some() {
                        return Err(place.error("part", "each name once in a box", quoted(&name)));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &[u8], open: &mut Open) {
        match name {
            b"image" => open.image = None,
            b"box" => self.boxes.extend(open.marked.take().filter(|marked| !marked.parts.is_empty())),
            _ => {}
        }
    }

    /// The index of each name of a part that the scheme has a place for.
    fn indices(&self, scheme: &Scheme) -> HashMap<String, usize> {
        let names: BTreeSet<&String> = self.boxes.iter().flat_map(|marked| marked.parts.keys()).collect();
        let named = |name: &String| scheme.names.iter().position(|known| known == name);
        if names.iter().all(|name| named(name).is_some()) {
            return names.into_iter().filter_map(|name| Some((name.clone(), named(name)?))).collect();
        }
        let number = |name: &String| name.parse::<usize>().ok();
        let has = |wanted: usize| names.iter().any(|name| number(name) == Some(wanted));
        let first = usize::from(has(scheme.keypoints) && !has(0));
        let index =
            |name: &String| number(name)?.checked_sub(first).filter(|index| *index < scheme.keypoints);
        names.iter().filter_map(|name| Some(((*name).clone(), index(name)?))).collect()
    }
}

impl Marked {
    fn face(self, indices: &HashMap<String, usize>, scheme: &Scheme) -> Result<Annotation> {
        let Self { place, image: Image { path: image, .. }, stated, parts } = self;
        let mut points = vec![[f32::NAN; 2]; scheme.keypoints];
        for (name, point) in parts {
            let Some(&index) = indices.get(&name) else {
                let expected = format!(
                    "a number from 0 to {} or a name of scheme `{}`",
                    scheme.keypoints.saturating_sub(1),
                    scheme.name
                );
                return Err(place.error("part name", expected, quoted(&name)));
            };
            if points[index][0].is_finite() {
                return Err(place.error("part name", format!("point {index} once in a box"), quoted(&name)));
            }
            points[index] = point;
        }
        let face = CropRule::Stated.apply(&points, Some(stated));
        let face = face.map_err(|error| place.error("box", "a box with an area", error.to_string()))?;
        let (Place { file, line }, stated) = (place, Some(stated));
        Ok(Annotation { file, line, image, points, visibility: None, stated, face, tags: Vec::new() })
    }
}

/// The attributes of an element.
struct Attributes<'a> {
    values: HashMap<String, String>,
    place: &'a Place,
}

impl<'a> Attributes<'a> {
    fn of(tag: &BytesStart, place: &'a Place) -> Result<Self> {
        let mut values = HashMap::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| not_xml(place, &error))?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| not_xml(place, &error))?;
            values.insert(
                String::from_utf8_lossy(attribute.key.as_ref()).into_owned(),
                value.trim().to_string(),
            );
        }
        Ok(Self { values, place })
    }

    fn get(&self, name: &'static str) -> Result<&str> {
        let value = self.values.get(name).map(String::as_str);
        value.ok_or_else(|| self.place.error(name, "an attribute of this name", "none"))
    }

    fn number(&self, name: &'static str) -> Result<f32> {
        self.place.number(name, self.get(name)?)
    }

    /// A side of an image, which older files do not state.
    fn side(&self, name: &'static str) -> Result<Option<u32>> {
        let whole =
            |text: &String| text.parse().map_err(|_| self.place.error(name, "a whole number", quoted(text)));
        self.values.get(name).map(whole).transpose()
    }

    fn marked(&self, image: Image) -> Result<Marked> {
        let [x, y] = [self.number("left")?, self.number("top")?];
        let [width, height] = [self.number("width")?, self.number("height")?];
        let stated = FaceBox { x, y, width, height };
        Ok(Marked { place: self.place.clone(), image, stated, parts: BTreeMap::new() })
    }

    fn part(&self) -> Result<(String, [f32; 2])> {
        Ok((self.get("name")?.to_string(), or_absent([self.number("x")?, self.number("y")?])))
    }
}

fn not_xml(place: &Place, error: &dyn std::fmt::Display) -> Error {
    place.error("row", "XML", error.to_string())
}

/// Counts lines up to places that only move forward.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of what follows the white space after byte `to`.
    fn at(&mut self, to: u64) -> usize {
        let to = usize::try_from(to).unwrap_or(usize::MAX).min(self.text.len());
        let rest = &self.text.as_bytes()[to..];
        let to = to + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let passed = self.text.as_bytes().get(self.at..to).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.at = self.at.max(to);
        self.line
    }
}
