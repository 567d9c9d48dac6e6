//! A place in a text file of annotations: reading its fields, and saying what is wrong with them.

use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::paths::Paths;
use super::sniff;
use crate::sample::{ABSENT, or_absent};
use crate::{Error, Result};

/// Largest annotation file that is read into memory, bytes.
const MAX_BYTES: u64 = 4 << 30;

/// Characters of a wrong field that a message repeats.
const SHOWN: usize = 60;

/// Reads a text file whole: a plain file of bearable size, without the mark some editors put first.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::io(path, source);
    let file = std::fs::File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(Error::content(path, "annotations", "a file", "a folder or device"));
    }
    let mut bytes = Vec::with_capacity(meta.len().min(MAX_BYTES) as usize);
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::content(path, "annotations", format!("at most {MAX_BYTES} bytes"), "more"));
    }
    if sniff::is_utf16(&bytes) {
        return Err(Error::content(path, "annotations", "UTF-8 text", "UTF-16: save it as UTF-8"));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// Lines that hold something, with their number from 1, without line ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let whole = |line| <[u8]>::strip_suffix(line, b"\r").unwrap_or(line);
    let numbered = bytes.split(|&b| b == b'\n').map(whole).enumerate();
    numbered.map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
}

/// One line of one file.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) file: Arc<Path>,
    pub(super) line: usize,
}

impl Place {
    pub(super) fn error(
        &self,
        field: &'static str,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Error {
        let (path, line) = (self.file.to_path_buf(), self.line);
        Error::Row { path, line, field, expected: expected.into(), got: got.into() }
    }

    /// The line as text.
    pub(super) fn text<'a>(&self, line: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(line).map_err(|error| {
            self.error("row", "UTF-8 text", format!("an invalid byte after {} bytes", error.valid_up_to()))
        })
    }

    pub(super) fn number(&self, field: &'static str, text: &str) -> Result<f32> {
        match text.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.error(field, "a finite number", quoted(text))),
        }
    }

    /// Pairs of numbers.
    pub(super) fn pairs(&self, field: &'static str, texts: &[&str]) -> Result<Vec<[f32; 2]>> {
        let number = |text: &str| self.number(field, text.trim());
        texts.chunks_exact(2).map(|pair| Ok([number(pair[0])?, number(pair[1])?])).collect()
    }

    /// Points, those that are not labelled NaN.
    pub(super) fn points(&self, field: &'static str, texts: &[&str]) -> Result<Vec<[f32; 2]>> {
        texts.chunks_exact(2).map(|pair| self.point(field, [pair[0], pair[1]])).collect()
    }

    /// One point, NaN where it is not labelled.
    pub(super) fn point(&self, field: &'static str, texts: [&str; 2]) -> Result<[f32; 2]> {
        let [x, y] = texts.map(str::trim);
        if x.eq_ignore_ascii_case("nan") && y.eq_ignore_ascii_case("nan") {
            return Ok(ABSENT);
        }
        Ok(or_absent([self.number(field, x)?, self.number(field, y)?]))
    }

    /// An image's path, relative to the image folder, as it is written.
    pub(super) fn image(&self, text: &str) -> Result<PathBuf> {
        self.image_by(&Paths::default(), text)
    }

    /// An image's path, relative to the image folder, by the options for paths.
    pub(super) fn image_by(&self, paths: &Paths, text: &str) -> Result<PathBuf> {
        paths.find(text).map_err(|(expected, got)| self.error("image", expected, got))
    }
}

/// What stands between the columns of a line that another sign was expected in.
pub(super) fn separator(line: &str) -> Option<&'static str> {
    let found = |sign: char| line.contains(sign);
    match () {
        () if found(';') => Some("semicolons"),
        () if found('\t') => Some("tabs"),
        () if found('|') => Some("bars"),
        () if found(',') => Some("commas"),
        () => None,
    }
}

/// A wrong field as messages repeat it.
pub(super) fn quoted(text: &str) -> String {
    let more = if text.chars().nth(SHOWN).is_some() { "..." } else { "" };
    format!("`{}{more}`", text.chars().take(SHOWN).collect::<String>())
}

/// A written path as one below a folder, whatever system it was written on; `None` where it leads out of the folder or is empty.
pub(super) fn inside(text: &str) -> Option<PathBuf> {
    let path = text.replace('\\', "/");
    let clean: PathBuf = Path::new(&path).components().filter(|part| *part != Component::CurDir).collect();
    let inside = clean.components().all(|part| matches!(part, Component::Normal(_)));
    let drive = path.as_bytes().get(1) == Some(&b':');
    let address = path.contains("://");
    (inside && !drive && !address && !clean.as_os_str().is_empty()).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_out_of_the_folder_are_none() {
        for text in [
            "../b.png",
            "/etc/passwd",
            "a/../../b.png",
            "C:\\b.png",
            ".",
            "",
            "\\\\host\\b.png",
            "file:///a.png",
        ] {
            assert_eq!(inside(text), None, "{text}");
        }
        assert_eq!(inside("./a\\b.png"), Some(PathBuf::from("a/b.png")));
    }

    #[test]
    fn lines_are_numbered_from_one_and_empty_ones_left_out() {
        let found: Vec<(usize, &[u8])> = lines(b"a\r\n\n  \nb").collect();
        assert_eq!(found, [(1, &b"a"[..]), (4, &b"b"[..])]);
    }

    #[test]
    fn a_folder_is_no_annotation_file() {
        let dir = tempfile::tempdir().unwrap();
        let message = read(dir.path()).unwrap_err().to_string();
        assert!(message.contains("expected a file"), "{message}");
    }
}
