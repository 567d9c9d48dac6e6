//! What a request asks: an image, and how to look for faces in it.

use std::borrow::Cow;

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use star_data::FaceBox;

use super::refusal::Refusal;
use crate::args::{checked_box, parse_box};

/// Most boxes of one request: each takes the network once.
const MOST_BOXES: usize = 256;

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The file of an image.
    Image,
    /// JSON with that in base64.
    Json,
}

/// How to look for faces; what is `None` is as the server was started.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) min_score: Option<f64>,
    pub(super) boxes: Option<Vec<FaceBox>>,
    pub(super) any_rotation: Option<bool>,
}

/// The body of a request in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    image: Cow<'a, str>,
    min_score: Option<f64>,
    boxes: Option<Vec<[f32; 4]>>,
    any_rotation: Option<bool>,
}

impl Kind {
    /// By the content type; a body without one is an image.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Image) };
        let text = value.to_str().unwrap_or("not text").to_ascii_lowercase();
        match text.split(';').next().unwrap_or_default().trim() {
            "application/json" => Ok(Self::Json),
            "application/octet-stream" => Ok(Self::Image),
            image if image.starts_with("image/") => Ok(Self::Image),
            other => Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "Content-Type: expected image/*, application/octet-stream or application/json, got {other}"
                ),
            )),
        }
    }

    /// Most bytes of a body whose image has no more than `bytes`.
    pub(super) fn most(self, bytes: usize) -> usize {
        match self {
            Self::Image => bytes,
            // Four characters for three bytes, and a little for the options.
            Self::Json => bytes.div_ceil(3).saturating_mul(4).saturating_add(1 << 16),
        }
    }

    /// The file of the image, and the options of the body before those of the address.
    pub(super) fn read(self, body: Vec<u8>, address: Options) -> Result<(Vec<u8>, Options), Refusal> {
        let (file, options) = match self {
            Self::Image => (body, address),
            Self::Json => {
                let body: Body =
                    serde_json::from_slice(&body).map_err(|e| Refusal::bad(format!("JSON: {e}")))?;
                let boxes = body.boxes.map(|boxes| boxes.into_iter().map(face_box).collect()).transpose();
                let options = Options {
                    min_score: body.min_score.or(address.min_score),
                    boxes: boxes
                        .map_err(|message| Refusal::bad(format!("boxes: {message}")))?
                        .or(address.boxes),
                    any_rotation: body.any_rotation.or(address.any_rotation),
                };
                (decoded(&body.image)?, options)
            }
        };
        options.check()?;
        Ok((file, options))
    }
}

impl Options {
    /// Of an address such as `/v1/predict?min_score=0.5`.
    pub(super) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Refusal::bad(format!("the query: {error}")))?;
        let mut options = Self::default();
        for (name, value) in pairs {
            let bad = |what: &str| Refusal::bad(format!("{name}: expected {what}, got {value}"));
            match name.as_str() {
                "min_score" => options.min_score = Some(value.parse().map_err(|_| bad("a number"))?),
                "any_rotation" => {
                    options.any_rotation = Some(value.parse().map_err(|_| bad("true or false"))?)
                }
                "boxes" => {
                    let one = parse_box(&value).and_then(face_box);
                    let one = one.map_err(|message| Refusal::bad(format!("boxes: {message}")))?;
                    options.boxes.get_or_insert_default().push(one);
                }
                _ => return Err(Refusal::bad(format!("{name}: expected min_score, any_rotation or boxes"))),
            }
        }
        Ok(options)
    }

    fn check(&self) -> Result<(), Refusal> {
        let Some(boxes) = &self.boxes else { return Ok(()) };
        if boxes.is_empty() || boxes.len() > MOST_BOXES {
            return Err(Refusal::bad(format!("boxes: expected 1 to {MOST_BOXES}, got {}", boxes.len())));
        }
        if self.min_score.is_some() || self.any_rotation.is_some() {
            return Err(Refusal::bad(
                "boxes: expected no min_score or any_rotation beside them, which look for faces",
            ));
        }
        Ok(())
    }
}

fn face_box(values: [f32; 4]) -> Result<FaceBox, String> {
    let [x, y, width, height] = checked_box(values)?;
    Ok(FaceBox { x, y, width, height })
}

/// The bytes of base64, which a browser begins with `data:image/png;base64,`.
fn decoded(text: &str) -> Result<Vec<u8>, Refusal> {
    let base64 = match text.strip_prefix("data:") {
        Some(address) => address.split_once(";base64,").map_or(text, |(_, base64)| base64),
        None => text,
    };
    STANDARD.decode(base64.trim()).map_err(|error| Refusal::bad(format!("image: expected base64: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, query: &str) -> Result<(Vec<u8>, Options), String> {
        let uri: Uri = format!("/v1/predict?{query}").parse().unwrap();
        Options::of(&uri)
            .and_then(|options| Kind::Json.read(body.as_bytes().to_vec(), options))
            .map_err(|refusal| refusal.message)
    }

    #[test]
    fn options_are_those_of_the_body_before_those_of_the_address() {
        let (file, options) =
            read(r#"{"image": "AQID", "min_score": 0.25}"#, "min_score=0.5&any_rotation=true").unwrap();
        assert_eq!(file, [1, 2, 3]);
        assert_eq!(options, Options { min_score: Some(0.25), boxes: None, any_rotation: Some(true) });
        let boxes = Some(vec![
            FaceBox { x: 1.0, y: 2.0, width: 3.0, height: 4.0 },
            FaceBox { x: -5.0, y: 6.5, width: 7.0, height: 8.0 },
        ]);
        let given =
            read(r#"{"image": "data:image/png;base64,AQID"}"#, "boxes=1,2,3,4&boxes=-5,6.5,7,8").unwrap();
        assert_eq!((given.0.as_slice(), given.1.boxes), (&[1, 2, 3][..], boxes.clone()));
        assert_eq!(read(r#"{"image": "", "boxes": [[1,2,3,4],[-5,6.5,7,8]]}"#, "").unwrap().1.boxes, boxes);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, query, expected) in [
            ("{", "", "JSON: EOF"),
            ("{}", "", "missing field `image`"),
            (r#"{"image": "AQID", "path": "/etc/passwd"}"#, "", "unknown field `path`"),
            (r#"{"image": "A*ID"}"#, "", "image: expected base64"),
            (r#"{"image": "AQID", "boxes": [[1,2,0,4]]}"#, "", "boxes: width and height"),
            (r#"{"image": "AQID", "boxes": []}"#, "", "boxes: expected 1 to 256, got 0"),
            (r#"{"image": "AQID", "boxes": [[1,2,3,4]]}"#, "min_score=0.5", "boxes: expected no min_score"),
            ("{}", "min_score=x", "min_score: expected a number, got x"),
            ("{}", "any_rotation=1", "any_rotation: expected true or false, got 1"),
            ("{}", "boxes=1,2,3", "boxes: expected four numbers"),
            ("{}", "url=http://a", "url: expected min_score, any_rotation or boxes"),
        ] {
            let message = read(body, query).unwrap_err();
            assert!(message.contains(expected), "{body} {query}: {message}");
        }
    }
}
