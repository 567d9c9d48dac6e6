//! Tags of TIFF files, whose decoder reserves up to 256 MB for the values that a tag claims to have before it looks for them.

/// Checks that the values of every tag of the first image lie in the file.
///
/// # Errors
/// Says which tag claims more.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let Some(file) = File::new(bytes) else { return Ok(()) };
    // What is cut here is the decoder's to tell.
    let Some((start, count)) = file.directory() else { return Ok(()) };
    let tags = (0..count).map_while(|i| file.tag(start.checked_add(i.checked_mul(file.entry())?)?));
    for (tag, size, values) in tags {
        let most = bytes.len() as u64;
        if values.checked_mul(size).is_none_or(|claimed| claimed > most) {
            return Err(format!("tag {tag} claims {values} values of {size} bytes in a file of {most}"));
        }
    }
    Ok(())
}

/// A file of either kind in either byte order.
struct File<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (little, big) = match bytes.get(..4)? {
            b"II\x2a\0" => (true, false),
            b"MM\0\x2a" => (false, false),
            b"II\x2b\0" => (true, true),
            b"MM\0\x2b" => (false, true),
            _ => return None,
        };
        Some(Self { bytes, little, big })
    }

    /// The whole number of `width` bytes at `at`.
    fn number(&self, at: u64, width: usize) -> Option<u64> {
        let field = self.bytes.get(usize::try_from(at).ok()?..)?.get(..width)?;
        let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.little { field.iter().rev().fold(0, join) } else { field.iter().fold(0, join) })
    }

    /// Where the tags of the first image are, and how many.
    fn directory(&self) -> Option<(u64, u64)> {
        let (at, width, head) = if self.big { (8, 8, 8) } else { (4, 4, 2) };
        let start = self.number(at, width)?;
        Some((start.checked_add(head)?, self.number(start, head as usize)?))
    }

    /// Bytes of a tag.
    fn entry(&self) -> u64 {
        if self.big { 20 } else { 12 }
    }

    /// Number of the tag at `at`, bytes of a value, and number of values.
    fn tag(&self, at: u64) -> Option<(u64, u64, u64)> {
        let size = match self.number(at.checked_add(2)?, 2)? {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 1,
        };
        Some((self.number(at, 2)?, size, self.number(at.checked_add(4)?, if self.big { 8 } else { 4 })?))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::decode::decode_bytes;

    /// A header and a directory of one tag.
    fn file(little: bool, kind: u16, values: u32) -> Vec<u8> {
        let short = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let head = if little { b"II" } else { b"MM" };
        let parts: [&[u8]; 8] =
            [head, &short(42), &long(8), &short(1), &short(273), &short(kind), &long(values), &long(0)];
        parts.concat()
    }

    #[test]
    fn a_tag_that_claims_more_than_the_file_holds_is_refused_before_memory_is_reserved_for_it() {
        for little in [true, false] {
            assert_eq!(check(&file(little, 4, 5)), Ok(()));
            let hostile = file(little, 4, 0x00b4_0000);
            assert_eq!(
                check(&hostile).unwrap_err(),
                "tag 273 claims 11796480 values of 4 bytes in a file of 22"
            );
            let message = decode_bytes(&hostile, Path::new("a.tif")).unwrap_err().to_string();
            assert!(message.starts_with("a.tif: ") && message.contains("tag 273"), "{message}");
        }
    }

    #[test]
    fn large_files_of_the_newer_kind_are_checked_too_and_cut_ones_are_left_to_the_decoder() {
        let parts: [&[u8]; 7] = [
            b"II\x2b\0\x08\0\0\0",
            &16u64.to_le_bytes(),
            &1u64.to_le_bytes(),
            &273u16.to_le_bytes(),
            &16u16.to_le_bytes(),
            &u64::MAX.to_le_bytes(),
            &[0; 8],
        ];
        let whole = parts.concat();
        assert!(check(&whole).unwrap_err().starts_with("tag 273 claims 18446744073709551615 values of 8"));
        (0..36).for_each(|length| assert_eq!(check(&whole[..length]), Ok(()), "{length}"));
    }
}
