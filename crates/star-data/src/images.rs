//! The images of folders that a person names.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::decode::kind;
use crate::{Error, Result};

/// Endings of images that are decoded, in lower case.
pub const ENDINGS: [&str; 12] =
    ["jpg", "jpeg", "png", "ppm", "pgm", "webp", "bmp", "gif", "tif", "tiff", "jfif", "jpe"];

/// Start of the names that macOS gives to what it writes beside files on foreign disks.
const RESOURCE_FORK: &str = "._";

/// How far a folder is looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The files in it.
    #[default]
    Folder,
    /// Those of all folders below it too.
    Below,
}

/// Images that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Their paths.
    pub images: Vec<PathBuf>,
    /// Number of files in the folders that are no images, or of a form that is not decoded.
    pub others: usize,
}

/// The images that are named, whatever they are, and those that lie in a folder that is, in the order of [`natural`].
///
/// In a folder an image is a file with one of the [`ENDINGS`], or one without an ending whose first bytes are those of an image.
///
/// # Errors
/// [`Error::Io`] where a folder cannot be read, [`Error::Content`] where one has no images.
pub fn list(paths: &[PathBuf], depth: Depth) -> Result<Listing> {
    let mut listing = Listing::default();
    for path in paths {
        if path.is_dir() {
            let inside = in_folder(path, depth)?;
            listing.images.extend(inside.images);
            listing.others += inside.others;
        } else {
            listing.images.push(path.clone());
        }
    }
    Ok(listing)
}

fn in_folder(folder: &Path, depth: Depth) -> Result<Listing> {
    let mut found = Listing::default();
    let mut folders = vec![folder.to_path_buf()];
    // A link may lead to a folder that was looked into.
    let mut seen = HashSet::new();
    while let Some(folder) = folders.pop() {
        let io = |source| Error::io(&folder, source);
        if !seen.insert(std::fs::canonicalize(&folder).map_err(io)?) {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.is_dir() {
                folders.extend((depth == Depth::Below).then_some(path));
            } else if is_image(&path) {
                found.images.push(path);
            } else {
                found.others += 1;
            }
        }
    }
    if found.images.is_empty() {
        let got = format!("no images, {} other files", found.others);
        return Err(Error::content(folder, "folder", format!("images ({})", ENDINGS.join(", ")), got));
    }
    found.images.sort_by(|a, b| natural(a, b));
    Ok(found)
}

fn is_image(path: &Path) -> bool {
    let fork =
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(RESOURCE_FORK.as_bytes()));
    if fork || !path.is_file() {
        return false;
    }
    match path.extension() {
        Some(ending) => ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)),
        None => begins_as_image(path),
    }
}

/// Whether the first bytes are those of an image; a file that cannot be read is none.
fn begins_as_image(path: &Path) -> bool {
    let mut head = Vec::with_capacity(kind::HEAD);
    let read = std::fs::File::open(path).and_then(|file| file.take(kind::HEAD as u64).read_to_end(&mut head));
    read.is_ok() && kind::readable(&head).is_some()
}

/// Order of paths in which numbers count as numbers: `frame2` before `frame10`, folder by folder.
pub fn natural(a: &Path, b: &Path) -> Ordering {
    let parts =
        |path: &Path| path.components().map(|part| part.as_os_str().to_os_string()).collect::<Vec<_>>();
    let (x, y) = (parts(a), parts(b));
    let pairs = x.iter().zip(&y).map(|(a, b)| natural_name(a.as_encoded_bytes(), b.as_encoded_bytes()));
    pairs.fold(Ordering::Equal, Ordering::then).then(x.len().cmp(&y.len())).then_with(|| a.cmp(b))
}

fn natural_name(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number_a, number_b) = (number(&mut a), number(&mut b));
            number_a.len().cmp(&number_b.len()).then(number_a.cmp(number_b))
        } else {
            (a, b) = (&a[1..], &b[1..]);
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Takes the digits at the start of `text`; without leading zeros they are in order by length, then by digit.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    &digits[digits.iter().take_while(|digit| **digit == b'0').count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        dir
    }

    fn listed(dir: &Path, depth: Depth) -> (Vec<String>, usize) {
        let found = list(&[dir.to_path_buf()], depth).unwrap();
        let name = |path: &PathBuf| path.strip_prefix(dir).unwrap().to_string_lossy().replace('\\', "/");
        (found.images.iter().map(name).collect(), found.others)
    }

    #[test]
    fn a_folder_stands_for_the_images_in_it_and_other_files_are_counted() {
        let dir =
            folder(&["b.JPG", "a.png", "c.jfif", "d.Webp", "notes.txt", "e.heic", "._a.png", "below/f.png"]);
        assert_eq!(
            listed(dir.path(), Depth::Folder),
            (["a.png", "b.JPG", "c.jfif", "d.Webp"].map(String::from).to_vec(), 3)
        );
        let named = list(&["x.heic".into(), dir.path().to_path_buf()], Depth::Folder).unwrap();
        assert_eq!((named.images.len(), &named.images[0]), (5, &PathBuf::from("x.heic")));
    }

    #[test]
    fn folders_below_are_looked_into_when_asked_for_and_loops_of_links_end() {
        let dir = folder(&["z.png", "b/2/a.png", "b/10/a.png", "b/10/a.txt"]);
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.path(), dir.path().join("b/again")).unwrap();
        let (names, others) = listed(dir.path(), Depth::Below);
        assert_eq!((names, others), (["b/2/a.png", "b/10/a.png", "z.png"].map(String::from).to_vec(), 1));
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let dir =
            folder(&["frame10.png", "frame2.png", "frame1.png", "frame02b.png", "frame.png", "Frame3.png"]);
        assert_eq!(
            listed(dir.path(), Depth::Folder).0,
            ["Frame3.png", "frame.png", "frame1.png", "frame2.png", "frame02b.png", "frame10.png"]
        );
        let long = |digit: &str| PathBuf::from(format!("{}{digit}.png", "9".repeat(60)));
        assert_eq!(natural(&long("1"), &long("2")), Ordering::Less, "more digits than any integer has");
        assert_eq!(natural(Path::new("007"), Path::new("7")), Ordering::Less, "never equal");
    }

    #[test]
    fn files_without_an_ending_are_images_by_their_content() {
        let dir = folder(&["README"]);
        image::RgbImage::new(2, 2).save_with_format(dir.path().join("IMG"), image::ImageFormat::Png).unwrap();
        assert_eq!(listed(dir.path(), Depth::Folder), (vec!["IMG".to_string()], 1));
    }

    #[test]
    fn a_folder_without_images_says_what_was_looked_for_and_how_many_others_there_are() {
        let dir = folder(&["a.heic", "below/b.png"]);
        let message = list(&[dir.path().to_path_buf()], Depth::Folder).unwrap_err().to_string();
        assert!(
            message.contains("expected images (jpg, jpeg, png")
                && message.ends_with("no images, 1 other files")
        );
    }
}
