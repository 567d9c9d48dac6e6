//! What lies where: a manifest of the shards, and beside each shard a list of its samples.
//!
//! The manifest, `index.json`, is the shard list that WebDataset's own indexed reader takes, with the scheme beside it. The list of a
//! shard, `NAME.index`, saves walking through the shard's headers, which over a network is a request a sample; a shard without one is
//! walked through.

use std::fmt::Write as _;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::store::{ShardStore, StoreReader};
use crate::{Error, Result, Scheme};

/// Name of the manifest.
pub(super) const MANIFEST: &str = "index.json";

/// First line of a shard's list.
const HEAD: &str = "star-data shard index 1";

/// Endings of images.
const IMAGE_ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "ppm", "pgm"];

/// Ending of annotations.
const ANNOTATION: &str = "json";

/// Largest image or annotation that is read, bytes: no file of a data set comes near it.
const LARGEST: u64 = 1 << 30;

/// The shards of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    #[serde(rename = "__kind__")]
    pub(super) kind: String,
    pub(super) wids_version: u32,
    pub(super) shardlist: Vec<Shard>,
    /// What the points are; missing in manifests of other programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scheme: Option<Scheme>,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Shard {
    /// Its file beside the manifest.
    pub(super) url: String,
    /// Samples in it.
    pub(super) nsamples: usize,
    /// Its length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filesize: Option<u64>,
    /// SHA-256 of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
}

impl Manifest {
    pub(super) fn new(shardlist: Vec<Shard>, scheme: &Scheme) -> Self {
        Self { kind: "wids-shard-index-v1".into(), wids_version: 1, shardlist, scheme: Some(scheme.clone()) }
    }

    /// Reads the manifest; `None` where there is none.
    pub(super) fn read(store: &dyn ShardStore) -> Result<Option<Self>> {
        let Some(size) = store.size(MANIFEST)? else { return Ok(None) };
        let bytes = store.read(MANIFEST, 0, limited(store, MANIFEST, size)?)?;
        let wrong =
            |got: String| Error::content(store.place(MANIFEST), "manifest", "a WebDataset shard list", got);
        serde_json::from_slice(&bytes).map(Some).map_err(|error| wrong(error.to_string()))
    }
}

fn limited(store: &dyn ShardStore, name: &str, size: u64) -> Result<usize> {
    let most =
        || Error::content(store.place(name), "size", format!("at most {LARGEST} bytes"), size.to_string());
    usize::try_from(size).ok().filter(|&size| size as u64 <= LARGEST).ok_or_else(most)
}

/// Where one sample lies in its shard.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    /// What its files are called, without ending.
    pub(super) key: String,
    /// Ending of the image.
    pub(super) ending: String,
    pub(super) image: Range<u64>,
    pub(super) annotation: Range<u64>,
}

/// Name of the list of a shard.
pub(super) fn list_name(shard: &str) -> String {
    format!("{}.index", shard.strip_suffix(".tar").unwrap_or(shard))
}

/// A shard's list as text.
pub(super) fn format(members: &[Member]) -> String {
    let mut text = format!("{HEAD}\n");
    for Member { key, ending, image, annotation } in members {
        let lengths = (image.end - image.start, annotation.end - annotation.start);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{key}\t{ending}\t{}\t{}\t{}\t{}",
            image.start, lengths.0, annotation.start, lengths.1
        );
    }
    text
}

/// Bytes that a sample takes at least: two headers of a tar file.
const SMALLEST: u64 = 1024;

/// Length of a shard, which is there, as long as its manifest says and long enough for its samples.
pub(super) fn checked_size(store: &dyn ShardStore, shard: &Shard) -> Result<u64> {
    let name = &shard.url;
    let Some(size) = store.size(name)? else {
        return Err(Error::content(store.place(name), "shard", "a file of that name", "none"));
    };
    if let Some(expected) = shard.filesize.filter(|&expected| expected != size) {
        let expected = format!("{expected} bytes as its manifest says (pack or download it again)");
        return Err(Error::content(store.place(name), "size", expected, size.to_string()));
    }
    if shard.nsamples as u64 > size / SMALLEST {
        let expected = format!("at most {} samples in {size} bytes", size / SMALLEST);
        return Err(Error::content(store.place(name), "nsamples", expected, shard.nsamples.to_string()));
    }
    Ok(size)
}

/// The samples of a shard, from its list or, where that is missing, from the shard itself.
pub(super) fn members(store: &dyn ShardStore, shard: &Shard) -> Result<Vec<Member>> {
    let (name, size) = (&shard.url, checked_size(store, shard)?);
    let list = list_name(name);
    let members = match store.size(&list)? {
        Some(length) => parse(store, &list, &store.read(&list, 0, limited(store, &list, length)?)?)?,
        None => walk(store, name, size)?,
    };
    let outside = |range: &Range<u64>| range.end > size || range.end - range.start > LARGEST;
    if let Some(member) = members.iter().find(|m| outside(&m.image) || outside(&m.annotation)) {
        let got = format!("{:?} and {:?}", member.image, member.annotation);
        return Err(Error::content(
            store.place(name),
            member.key.as_str(),
            format!("bytes below {size}"),
            got,
        ));
    }
    Ok(members)
}

/// Reads a list.
fn parse(store: &dyn ShardStore, name: &str, bytes: &[u8]) -> Result<Vec<Member>> {
    let row = |line: usize, expected: &str, got: &str| Error::Row {
        path: store.place(name),
        line,
        field: "sample",
        expected: expected.to_string(),
        got: format!("`{got}`"),
    };
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    if head != HEAD {
        return Err(row(1, HEAD, head));
    }
    let member = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [key, ending, numbers @ ..] = fields.as_slice() else { return None };
        let numbers: Vec<u64> = numbers.iter().map(|v| v.parse().ok()).collect::<Option<_>>()?;
        let [image, image_length, annotation, annotation_length] = numbers.try_into().ok()?;
        Some(Member {
            key: key.to_string(),
            ending: ending.to_string(),
            image: image..image.checked_add(image_length)?,
            annotation: annotation..annotation.checked_add(annotation_length)?,
        })
    };
    lines
        .enumerate()
        .map(|(i, line)| member(line).ok_or_else(|| row(i + 2, "key, ending and four numbers", line)))
        .collect()
}

/// Walks through the headers of a shard. Files that belong together have one name up to its first dot, and lie together.
fn walk(store: &dyn ShardStore, name: &str, size: u64) -> Result<Vec<Member>> {
    let wrong = |error: std::io::Error| {
        Error::content(store.place(name), "shard", "a whole tar file", error.to_string())
    };
    let mut archive = tar::Archive::new(StoreReader::new(store, name, size));
    let mut members: Vec<Member> = Vec::new();
    let absent = 0..0;
    for entry in archive.entries_with_seek().map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let path = entry.path().map_err(wrong)?.to_string_lossy().into_owned();
        let file = path.rsplit('/').next().unwrap_or_default();
        let Some((_, ending)) = file.split_once('.') else { continue };
        let (key, ending) = (&path[..path.len() - ending.len() - 1], ending.to_lowercase());
        let range = entry.raw_file_position()..entry.raw_file_position().saturating_add(entry.size());
        if !entry.header().entry_type().is_file()
            || !(ending == ANNOTATION || IMAGE_ENDINGS.contains(&ending.as_str()))
        {
            continue;
        }
        if members.last().is_none_or(|last| last.key != key) {
            let (key, ending) = (key.to_string(), String::new());
            members.push(Member { key, ending, image: absent.clone(), annotation: absent.clone() });
        }
        let Some(member) = members.last_mut() else { continue };
        if ending == ANNOTATION {
            member.annotation = range;
        } else {
            (member.image, member.ending) = (range, ending);
        }
    }
    if let Some(half) = members.iter().find(|m| m.image == absent || m.annotation == absent) {
        let expected = format!("an image ({}) and its annotation (json)", IMAGE_ENDINGS.join(", "));
        let got = if half.image == absent { "no image" } else { "no annotation" };
        return Err(Error::content(store.place(name), half.key.as_str(), expected, got));
    }
    Ok(members)
}
