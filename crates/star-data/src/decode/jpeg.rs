//! JPEG files that end too early.

use image::DynamicImage;

/// Share of an image's rows that may be missing: cut far down, a face may be gone and nobody told.
const MAX_MISSING: f64 = 0.25;

/// What the decoder fills rows with that the file does not have.
const FILL: u8 = 128;

/// How far a JPEG file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// To its end-of-image marker.
    Marked,
    /// Into its last scan, so that some rows may be missing.
    InLastScan,
    /// Not to the scans that have the rest of the colours or details of all rows.
    Earlier,
}

/// How far the entropy-coded data of a JPEG goes.
///
/// The decoder fills what is missing with grey and reports success, which would train a network on grey halves. Markers are walked
/// from the start, so the end marker of an embedded thumbnail does not count; what follows the true end is ignored.
pub(super) fn end(bytes: &[u8]) -> End {
    let (mut at, mut scans) = (2, Scans::default());
    loop {
        // Find the next marker: 0xff and a byte that is neither fill nor a stuffed zero.
        let offset = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff));
        at += offset.map_or(bytes.len(), |offset| offset + 1);
        match bytes.get(at) {
            None => return if scans.are_all() { End::InLastScan } else { End::Earlier },
            Some(0xd9) => return End::Marked,
            // stuffed zero, fill byte, restart markers, start of image, temporary: no length follows
            Some(0x00 | 0xff | 0x01 | 0xd0..=0xd8) => at += usize::from(bytes[at] != 0xff),
            Some(&marker) => {
                let length =
                    bytes.get(at + 1..at + 3).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
                let segment = bytes.get(at + 3..at + 1 + length.max(2)).unwrap_or_default();
                scans.add(marker, segment);
                at += 1 + length.max(2);
            }
        }
    }
}

/// Which coefficients of each component have begun to arrive with their last bit: one bit each.
#[derive(Default)]
struct Scans(Vec<(u8, u64)>);

impl Scans {
    /// Takes note of a frame's or a scan's header.
    fn add(&mut self, marker: u8, segment: &[u8]) {
        match (marker, segment) {
            (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, [_, _, _, _, _, _, components @ ..]) => {
                self.0 = components.chunks_exact(3).map(|component| (component[0], 0)).collect();
            }
            (0xda, &[_, ref components @ .., first @ 0..64, last @ 0..64, bits]) if bits & 0xf == 0 => {
                let range = (u64::MAX << first) & (u64::MAX >> (63 - last));
                let named = |id: u8| components.iter().step_by(2).any(|&component| component == id);
                self.0.iter_mut().filter(|(id, _)| named(*id)).for_each(|(_, seen)| *seen |= range);
            }
            _ => {}
        }
    }

    fn are_all(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(_, seen)| *seen == u64::MAX)
    }
}

/// The warning about an image decoded from a file that ends there, if any.
///
/// # Errors
/// Says what is missing, where it is colours or details of the whole or more rows than [`MAX_MISSING`].
pub(super) fn warning(end: End, image: &DynamicImage) -> Result<Option<String>, String> {
    match end {
        End::Marked => return Ok(None),
        End::InLastScan => {}
        End::Earlier => {
            return Err("truncated JPEG: colours or details of the whole image are missing".into());
        }
    }
    let (missing, rows) = (missing_rows(image), image.height());
    if f64::from(missing) > MAX_MISSING * f64::from(rows) {
        return Err(format!("truncated JPEG: {missing} of {rows} rows of pixels are missing"));
    }
    Ok(Some(match missing {
        0 => "truncated JPEG: its end is missing, the last rows of pixels may be damaged".into(),
        _ => format!("truncated JPEG: the last {missing} of {rows} rows of pixels are missing and grey"),
    }))
}

/// Rows at the bottom that are nothing but the decoder's fill.
fn missing_rows(image: &DynamicImage) -> u32 {
    let row_bytes = image.as_bytes().len() / image.height().max(1) as usize;
    let rows = image.as_bytes().rchunks_exact(row_bytes.max(1));
    rows.take_while(|row| row.iter().all(|&value| value == FILL)).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these segments, each a marker and what follows its length, with a byte of data behind each scan.
    fn file(segments: &[(u8, &[u8])]) -> Vec<u8> {
        let segment = |(marker, bytes): &(u8, &[u8])| {
            let length = (bytes.len() as u16 + 2).to_be_bytes();
            let data: &[u8] = if *marker == 0xda { &[0x5a] } else { &[] };
            [[0xff, *marker].as_slice(), &length, bytes, data].concat()
        };
        let segments: Vec<u8> = segments.iter().flat_map(segment).collect();
        [b"\xff\xd8".as_slice(), &segments].concat()
    }

    #[test]
    fn a_progressive_file_goes_far_enough_when_the_last_bits_of_all_coefficients_have_begun() {
        let frame: (u8, &[u8]) = (0xc2, &[8, 0, 9, 0, 9, 2, 1, 0x11, 0, 2, 0x11, 0]);
        let scans: [(u8, &[u8]); 5] = [
            (0xda, &[2, 1, 0, 2, 0, 0, 0, 0x01]),
            (0xda, &[1, 1, 0, 1, 63, 0x01]),
            (0xda, &[1, 2, 0, 1, 63, 0x00]),
            (0xda, &[2, 1, 0, 2, 0, 0, 0, 0x10]),
            (0xda, &[1, 1, 0, 1, 63, 0x10]),
        ];
        for count in 0..=scans.len() {
            let bytes = file(&[&[frame], &scans[..count]].concat());
            assert_eq!(end(&bytes), if count == 5 { End::InLastScan } else { End::Earlier }, "{count} scans");
            assert_eq!(end(&[&bytes[..], b"\xff\xd9"].concat()), End::Marked);
        }
        let planes = file(&[(0xc0, frame.1), (0xda, &[1, 1, 0, 0, 63, 0])]);
        assert_eq!(end(&planes), End::Earlier, "a plane of colour is missing");
        assert_eq!(end(b"\xff\xd8\xff\xc0\x00"), End::Earlier);
    }
}
