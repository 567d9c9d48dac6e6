//! Why a file is no COCO document: in which field, and what it is instead.

use std::collections::HashMap;
use std::path::Path;

use serde::de::IgnoredAny;

use crate::Error;
use crate::formats::{place, sniff};

const EXPECTED: &str = "COCO keypoints: images, annotations, categories";

/// Most names of fields that a message lists.
const LISTED: usize = 8;

type Object = HashMap<String, IgnoredAny>;

/// What is wrong with `bytes`, which `error` was said about.
pub(super) fn error(path: &Path, bytes: &[u8], error: &serde_json::Error) -> Error {
    let other = sniff::kind(bytes).filter(|kind| *kind != "JSON");
    if let Some(kind) = other {
        return Error::content(path, "annotations", EXPECTED, kind);
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Error::content(path, "annotations", EXPECTED, "an empty file");
    }
    let end = offset(bytes, error.line(), error.column());
    let walk = Walk::over(bytes, end);
    if let Some((at, field, word)) = walk.foreign {
        let line = 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        let got =
            format!("{word}, which JSON does not have (write null, and v 0 for a point that is absent)");
        return Error::content(path, format!("line {line}: {field}"), "a number", got);
    }
    let got = instead(bytes).unwrap_or_else(|| match field(&walk.frames) {
        field if field.is_empty() => error.to_string(),
        field => format!("{error}, in {field}"),
    });
    Error::content(path, "annotations", EXPECTED, got)
}

/// JSON of another form.
fn instead(bytes: &[u8]) -> Option<String> {
    if let Ok(list) = serde_json::from_slice::<Vec<Object>>(bytes) {
        let first = list.first();
        let has = |name: &str| first.is_some_and(|first| first.contains_key(name));
        let what = match (has("image_id"), has("score")) {
            (true, true) => {
                "this is a results file, which says nothing about images and categories".to_string()
            }
            (true, false) => "these are annotations without their images and categories".to_string(),
            _ => format!("each with {}", names(first)),
        };
        return Some(format!("a list of {} objects: {what}", list.len()));
    }
    let object = serde_json::from_slice::<Object>(bytes).ok()?;
    let missing =
        ["images", "annotations", "categories"].into_iter().find(|name| !object.contains_key(*name))?;
    Some(format!("an object without `{missing}`, with {}", names(Some(&object))))
}

fn names(object: Option<&Object>) -> String {
    let mut names: Vec<&str> = object.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let more = if names.len() > LISTED { ", ..." } else { "" };
    names.truncate(LISTED);
    if names.is_empty() { "no field".into() } else { place::quoted(&names.join(", ")) + more }
}

/// The byte of a line, counted from 1, and a column, as serde_json counts them.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(i, _)| i + 1);
    let start = if line < 2 { 0 } else { ends.nth(line - 2).unwrap_or(bytes.len()) };
    (start + column).min(bytes.len())
}

/// What one walks into and out of.
enum Frame {
    List(usize),
    Object(String),
}

/// A walk through JSON up to a byte.
struct Walk {
    frames: Vec<Frame>,
    /// Place, field and text of the first word that JSON does not have.
    foreign: Option<(usize, String, &'static str)>,
}

/// Numbers of other languages.
const WORDS: [&str; 6] = ["-Infinity", "Infinity", "NaN", "-inf", "inf", "nan"];

impl Walk {
    fn over(bytes: &[u8], end: usize) -> Self {
        let mut walk = Self { frames: Vec::new(), foreign: None };
        let (mut at, mut key) = (0, String::new());
        while at < end && walk.foreign.is_none() {
            match bytes[at] {
                b'"' => {
                    let length = string(&bytes[at..]);
                    key = String::from_utf8_lossy(&bytes[at..at + length]).trim_matches('"').to_string();
                    at += length;
                    continue;
                }
                b':' => walk.name(std::mem::take(&mut key)),
                b'[' => walk.frames.push(Frame::List(0)),
                b'{' => walk.frames.push(Frame::Object(String::new())),
                b']' | b'}' => drop(walk.frames.pop()),
                b',' => walk.next(),
                _ => {
                    let word = WORDS.into_iter().find(|word| bytes[at..].starts_with(word.as_bytes()));
                    walk.foreign = word.map(|word| (at, field(&walk.frames), word));
                }
            }
            at += 1;
        }
        walk
    }

    fn name(&mut self, key: String) {
        if let Some(Frame::Object(name)) = self.frames.last_mut() {
            *name = key;
        }
    }

    fn next(&mut self) {
        if let Some(Frame::List(index)) = self.frames.last_mut() {
            *index += 1;
        }
    }
}

/// Bytes of the string that `bytes` begin with, its quotation marks included.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// `annotations[3].keypoints[5]`.
fn field(frames: &[Frame]) -> String {
    let mut text = String::new();
    for frame in frames {
        match frame {
            Frame::List(index) => text += &format!("[{index}]"),
            Frame::Object(name) if text.is_empty() => text = name.clone(),
            Frame::Object(name) => text += &format!(".{name}"),
        }
    }
    text
}
