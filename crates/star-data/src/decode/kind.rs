//! What a file is, by its first bytes.

use image::ImageFormat;

/// Bytes from the start that tell what a file is.
pub(crate) const HEAD: usize = 64;

/// Forms of images that are decoded.
const READABLE: [ImageFormat; 7] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Gif,
    ImageFormat::Tiff,
    ImageFormat::Pnm,
];

/// What to do about an image of another form.
const CONVERT: &str = "convert it to JPEG or PNG";

/// What to do about a video.
const FRAMES: &str = "write its frames as JPEG or PNG, such as with ffmpeg";

/// The form of the image that begins with `head`, where it is one that is decoded.
pub(crate) fn readable(head: &[u8]) -> Option<ImageFormat> {
    // A TIFF by its first bytes, but with raw data of a sensor that the decoder would take for pixels.
    if head.get(8..10) == Some(b"CR") && head.starts_with(b"II*\0") {
        return None;
    }
    image::guess_format(head).ok().filter(|format| READABLE.contains(format))
}

/// Why a file that begins with `head` is not decoded: what it is, and what to do.
pub(super) fn reason(head: &[u8]) -> String {
    match other(head) {
        Some((what, advice)) => format!("this is {what}: {advice}"),
        None => "neither JPEG, PNG, WebP, BMP, GIF, TIFF, PPM nor PGM".into(),
    }
}

/// What else a file is, and what to do.
fn other(head: &[u8]) -> Option<(&'static str, &'static str)> {
    if head.get(4..8) == Some(b"ftyp") {
        return head.get(8..12).map(boxed);
    }
    let text = head.trim_ascii_start().to_ascii_lowercase();
    let begins = [
        (&b"\0\0\0\x0cjP  "[..], "JPEG 2000", CONVERT),
        (b"\xff\x4f\xff\x51", "JPEG 2000", CONVERT),
        (b"\0\0\0\x0cJXL ", "JPEG XL", CONVERT),
        (b"\xff\x0a", "JPEG XL", CONVERT),
        (b"8BPS", "a Photoshop file", CONVERT),
        (b"II*\0", "a camera's raw file", CONVERT),
        (b"%PDF", "a PDF document", CONVERT),
        (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video", FRAMES),
        (b"PK\x03\x04", "a ZIP archive", "unpack it"),
        (b"\x1f\x8b", "a gzip archive", "unpack it"),
        (b"\0\x05\x16\x07", "a resource fork of macOS, not the image itself", "leave it out"),
    ];
    let says = [
        (&b"<svg"[..], "an SVG drawing", CONVERT),
        (b"<!doctype html", "a web page, perhaps the error of a download", "download it again"),
        (b"<html", "a web page, perhaps the error of a download", "download it again"),
        (b"version https://git-lfs", "a pointer of Git LFS, not the image itself", "run git lfs pull"),
    ];
    let found = begins.iter().find(|(magic, ..)| head.starts_with(magic));
    found
        .or_else(|| says.iter().find(|(magic, ..)| text.starts_with(magic)))
        .map(|&(_, what, advice)| (what, advice))
}

/// Files of boxes, told apart by their brand.
fn boxed(brand: &[u8]) -> (&'static str, &'static str) {
    match brand {
        b"avif" | b"avis" => ("AVIF", CONVERT),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => ("HEIC", CONVERT),
        b"crx " => ("a camera's raw file", CONVERT),
        _ => ("a video", FRAMES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_are_not_decoded_are_named_with_what_to_do() {
        for (head, what) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0"[..], "this is HEIC: convert it to JPEG or PNG"),
            (b"\0\0\0\x20ftypavif\0\0\0\0", "this is AVIF: convert it to JPEG or PNG"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "this is JPEG 2000: convert"),
            (b"\xff\x0a\xfa", "this is JPEG XL: convert"),
            (b"\0\0\0\x18ftypisom", "this is a video: write its frames"),
            (b"II*\0\x10\0\0\0CR\x02\0", "this is a camera's raw file: convert"),
            (b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
            (b"\n<!DOCTYPE HTML>", "a web page"),
            (b"hello", "neither JPEG, PNG, WebP"),
            (b"", "neither"),
        ] {
            assert_eq!(readable(head), None);
            assert!(reason(head).contains(what), "{}", reason(head));
        }
    }
}
