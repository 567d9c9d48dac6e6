//! Images of a tar shard, as WebDataset has it, with the boxes that their annotations hold.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use star_data::FaceBox;

use super::item::{ImageSource, Item, Items};

/// Endings of images.
const IMAGES: [&str; 5] = ["jpg", "jpeg", "png", "ppm", "pgm"];

/// Largest image or annotation that is read, bytes.
const LARGEST: u64 = 1 << 30;

/// Bytes read from the disk at a time.
const BUFFER: usize = 1 << 20;

/// What is wanted of an annotation; other programs' have other fields, or none of these.
#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    face: Option<FaceBox>,
    #[serde(default)]
    faces: Option<Vec<FaceBox>>,
}

/// The images of the tar file `path`, which messages call `label`, read once from front to back.
///
/// # Errors
/// When it cannot be opened.
pub(super) fn open(path: &Path, label: &str) -> Result<Items> {
    let file = File::open(path).with_context(|| label.to_string())?;
    let length = file.metadata().with_context(|| label.to_string())?.len();
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let label = label.to_string();
    // A tar reader borrows from itself; on a thread of its own it needs no home. It ends when nobody listens any more.
    std::thread::Builder::new()
        .name("star-tar".into())
        .spawn(move || {
            let mut each = |item| send.send(item).is_ok();
            if let Err(error) = walk(BufReader::with_capacity(BUFFER, file), length, &label, &mut each) {
                each(Err(error));
            }
        })
        .context("a thread to read tar files")?;
    Ok(Box::new(receive.into_iter()))
}

/// Hands every image to `each`, until that wants no more. Files that belong together have one name up to its first dot, and lie
/// together. The reader has `length` bytes: memory is not reserved for
/// files that say they have more.
fn walk(
    reader: impl Read,
    length: u64,
    label: &str,
    each: &mut impl FnMut(Result<Item>) -> bool,
) -> Result<()> {
    let damaged = || format!("{label}: expected a whole tar file");
    let mut archive = tar::Archive::new(reader);
    let mut group = Group::default();
    for entry in archive.entries().with_context(damaged)? {
        let mut entry = entry.with_context(damaged)?;
        let name = entry.path().with_context(damaged)?.to_string_lossy().into_owned();
        let file = name.rsplit('/').next().unwrap_or_default();
        let Some((stem, ending)) = file.split_once('.') else { continue };
        let ending = ending.to_lowercase();
        let is_image = IMAGES.contains(&ending.as_str());
        // Names that begin with a dot are other programs' remarks on files.
        if !entry.header().entry_type().is_file() || stem.is_empty() || !(is_image || ending == "json") {
            continue;
        }
        if entry.size() > length {
            bail!(
                "{label}: expected a whole tar file, {name} has {} bytes and all of it {length}",
                entry.size()
            )
        }
        if entry.size() > LARGEST {
            bail!("{label}: {name}: expected at most {LARGEST} bytes, got {}", entry.size())
        }
        let key = name[..name.len() - ending.len() - 1].to_string();
        if group.key != key && !std::mem::replace(&mut group, Group::new(key)).hand_over(each) {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(entry.size() as usize);
        entry.read_to_end(&mut bytes).with_context(damaged)?;
        if is_image {
            group.images.push((name, bytes));
        } else {
            group.annotation = Some(bytes);
        }
    }
    group.hand_over(each);
    Ok(())
}

/// Files of one name.
#[derive(Default)]
struct Group {
    key: String,
    images: Vec<(String, Vec<u8>)>,
    annotation: Option<Vec<u8>>,
}

impl Group {
    fn new(key: String) -> Self {
        Self { key, ..Self::default() }
    }

    fn hand_over(self, each: &mut impl FnMut(Result<Item>) -> bool) -> bool {
        let boxes = self.annotation.and_then(|bytes| boxes(&bytes));
        let mut images = self.images.into_iter();
        images.all(|(name, bytes)| {
            each(Ok(Item { name, source: ImageSource::Bytes(bytes), boxes: boxes.clone() }))
        })
    }
}

/// The boxes of an annotation; one that is no annotation of faces has none.
fn boxes(bytes: &[u8]) -> Option<Vec<FaceBox>> {
    let Annotation { face, faces } = serde_json::from_slice(bytes).ok()?;
    faces.or_else(|| face.map(|face| vec![face]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn items(bytes: &[u8]) -> Result<Vec<Item>> {
        let mut found = Vec::new();
        walk(bytes, bytes.len() as u64, "a.tar", &mut |item| {
            found.push(item);
            true
        })?;
        found.into_iter().collect()
    }

    #[test]
    fn a_box_is_found_before_or_behind_its_image_and_may_be_missing() {
        let face = br#"{"points": [], "face": {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}}"#;
        let bytes = archive(&[
            ("0.jpg", b"zero"),
            ("0.json", face),
            ("._0.jpg", b"a remark"),
            ("sub/1.json", face),
            ("sub/1.PNG", b"one"),
            ("2.cls", b"7"),
            ("2.jpg", b"two"),
            ("2.json", b"{\"label\": 7}"),
            ("readme", b""),
        ]);
        let found: Vec<(String, ImageSource, Option<f32>)> = items(&bytes)
            .unwrap()
            .into_iter()
            .map(|item| (item.name, item.source, item.boxes.map(|boxes| boxes[0].width)))
            .collect();
        let expected =
            [("0.jpg", "zero", Some(3.0)), ("sub/1.PNG", "one", Some(3.0)), ("2.jpg", "two", None)];
        let expected =
            expected.map(|(name, bytes, width)| (name.to_string(), ImageSource::Bytes(bytes.into()), width));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cut_archive_is_an_error_and_not_a_short_one() {
        let bytes = archive(&[("0.jpg", &[1; 2000]), ("1.jpg", &[2; 2000])]);
        let message = format!("{:#}", items(&bytes[..3000]).err().unwrap());
        assert!(message.contains("a.tar: expected a whole tar file"), "{message}");
    }
    #[test]
    fn a_header_that_claims_more_than_the_archive_holds_is_refused_before_memory_is_reserved_for_it() {
        let mut header = tar::Header::new_ustar();
        header.set_path("0.jpg").unwrap();
        header.set_size(LARGEST);
        header.set_cksum();
        let message = format!("{:#}", items(header.as_bytes()).err().unwrap());
        assert!(message.contains("0.jpg has 1073741824 bytes and all of it 512"), "{message}");
    }
}
