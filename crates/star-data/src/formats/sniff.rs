//! What a file is that is no text of rows: told by its first bytes, so that a message names it instead of its first line.

use std::path::Path;

use super::place;
use crate::{Error, Result};

/// Beginnings of files that people mistake for annotations.
const BEGINNINGS: [(&[u8], &str); 10] = [
    (b"PK\x03\x04", "a ZIP archive, such as a spreadsheet's workbook"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet's workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"MATLAB ", "a MATLAB file"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"%PDF", "a PDF file"),
    (b"\x80\x04", "a Python pickle"),
];

/// UTF-16, by its mark or by a zero in every second byte.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    let marked = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    let zeros = |first: usize| bytes.iter().skip(first).step_by(2).take(4).all(|&byte| byte == 0);
    marked || (bytes.len() >= 8 && (zeros(0) != zeros(1)))
}

/// What a file is that holds no rows of text, as far as its beginning tells.
pub(super) fn kind(bytes: &[u8]) -> Option<&'static str> {
    if is_utf16(bytes) {
        return Some("UTF-16 text: save it as UTF-8");
    }
    if let Some((_, kind)) = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)) {
        return Some(kind);
    }
    let mut signs = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (signs.next()?, signs.next()) {
        (b'<', _) => Some("XML"),
        (b'{', Some(b'"' | b'}')) | (b'[', Some(b'{')) => Some("JSON"),
        _ => None,
    }
}

/// Reads a file of rows whole; one of another kind is an error that names the kind.
pub(crate) fn read_rows(path: &Path, expected: &str) -> Result<Vec<u8>> {
    let bytes = place::read(path)?;
    match kind(&bytes) {
        Some(kind) => Err(Error::content(path, "annotations", expected, kind)),
        None => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_named_by_their_beginning() {
        for (bytes, part) in [
            (&b"\xff\xfei\0m\0"[..], "UTF-16"),
            (b"i\0m\0a\0g\0", "UTF-16"),
            (b"\0i\0m\0a\0g", "UTF-16"),
            (b"\n <?xml version", "XML"),
            (b"<dataset>", "XML"),
            (b"{ \"images\": []}", "JSON"),
            (b"[\n{\"id\": 1}]", "JSON"),
            (b"PK\x03\x04rest", "workbook"),
            (b"\x1f\x8b\x08", "gzip"),
        ] {
            assert!(kind(bytes).is_some_and(|kind| kind.contains(part)), "{part}: {:?}", kind(bytes));
        }
    }

    #[test]
    fn rows_and_descriptions_are_no_other_kind() {
        for text in
            ["", "image,x0\n", "a/b.png\t1,2", "[scheme]\nname = 1", "[[edges]]", "[1].png,2", "{a}.png,1"]
        {
            assert_eq!(kind(text.as_bytes()), None, "{text}");
        }
    }
}
