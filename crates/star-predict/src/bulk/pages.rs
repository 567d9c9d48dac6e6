//! What the pages of a Parquet file say of themselves, read before its reader believes it: that reserves what a page claims to unpack to,
//! two gigabytes for a page of ten bytes.
//!
//! A page's header is a struct of Thrift's compact protocol; only what `parquet.thrift` allows in it is read, and in the kinds that are
//! written there, since the reader does not look at them.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};
use parquet::file::metadata::ParquetMetaData;

/// Most bytes, and values, that a byte of a page is unpacked to; deflate comes to 1032, and only what is all alike to more.
const MAX_EXPANSION: u64 = 2000;

/// Bytes, and values, that are granted to a page of any size: writers begin a new one at one megabyte or a few.
const SLACK: u64 = 8 << 20;

/// Structs in structs: statistics stand in the header of a page's kind, and that in the page's.
const MAX_DEPTH: u32 = 8;

/// Kinds of fields, by their numbers in the protocol.
const TRUTH: RangeInclusive<u8> = 1..=2;
const BYTE: u8 = 3;
const I32: u8 = 5;
const WHOLE: RangeInclusive<u8> = 4..=6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const STRUCT: u8 = 12;

/// Refuses a file with a page that claims out of all proportion, in the columns that are `wanted` by their number.
///
/// # Errors
/// Names the column, and what is wrong with one of its pages.
pub(super) fn check(
    file: impl Read + Seek,
    about: &ParquetMetaData,
    wanted: impl Fn(usize) -> bool,
) -> Result<()> {
    let mut headers = Headers { file: BufReader::new(file), at: 0 };
    for group in about.row_groups() {
        for (_, column) in group.columns().iter().enumerate().filter(|(i, _)| wanted(*i)) {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            headers
                .column(start, column.compressed_size())
                .with_context(|| format!("column {}", column.column_path()))?;
        }
    }
    Ok(())
}

/// What counts of a header.
#[derive(Debug, Default, PartialEq)]
struct Page {
    unpacked: u64,
    packed: u64,
    values: u64,
}

/// Headers as they come off a file, with the place that is read.
struct Headers<R> {
    file: BufReader<R>,
    at: u64,
}

impl<R: Read + Seek> Headers<R> {
    fn column(&mut self, start: i64, length: i64) -> Result<()> {
        let range = (u64::try_from(start), u64::try_from(length));
        let (Ok(start), Ok(length)) = range else { bail!("it begins at {start} and has {length} bytes") };
        let end = start.checked_add(length).context("it ends behind every file")?;
        self.file.seek(SeekFrom::Start(start))?;
        self.at = start;
        while self.at < end {
            let page = self.page().context("a page's header is damaged")?;
            let most = SLACK.saturating_add(MAX_EXPANSION.saturating_mul(page.packed));
            if page.unpacked > most || page.values > most {
                let Page { unpacked, packed, values } = page;
                bail!("a page of {packed} bytes claims to hold {values} values in {unpacked} bytes")
            }
            self.skip(page.packed)?;
        }
        Ok(())
    }

    /// `PageHeader` of `parquet.thrift`.
    fn page(&mut self) -> Result<Page> {
        let mut page = Page::default();
        let mut last = 0;
        while let Some((id, kind)) = self.field(&mut last)? {
            match (id, kind) {
                (1 | 4, I32) => drop(self.whole()?),
                (2, I32) => page.unpacked = self.size()?,
                (3, I32) => page.packed = self.size()?,
                (5..=8, STRUCT) => page.values = page.values.max(self.values(id)?),
                (1..=8, _) => bail!("field {id} is of kind {kind}"),
                _ => self.pass(kind, 1)?,
            }
        }
        Ok(page)
    }

    /// The number of values that the header of a page's kind has as its first field.
    fn values(&mut self, of: i64) -> Result<u64> {
        let (mut values, mut last) = (0, 0);
        while let Some((id, kind)) = self.field(&mut last)? {
            match (of, id, kind) {
                (5 | 7 | 8, 1, I32) => values = self.size()?,
                (5, 2..=4, I32) | (7, 2, I32) | (8, 2..=6, I32) => drop(self.whole()?),
                (5, 5, STRUCT) | (8, 8, STRUCT) => self.pass(kind, 2)?,
                (7, 3, kind) | (8, 7, kind) if TRUTH.contains(&kind) => {}
                (5, 1..=5, _) | (7, 1..=3, _) | (8, 1..=8, _) => bail!("field {of}.{id} is of kind {kind}"),
                _ => self.pass(kind, 2)?,
            }
        }
        Ok(values)
    }

    /// Number and kind of the next field; `None` at the end of a struct.
    fn field(&mut self, last: &mut i64) -> Result<Option<(i64, u8)>> {
        let head = self.byte()?;
        let (step, kind) = (head >> 4, head & 0xf);
        if kind == 0 {
            return Ok(None);
        }
        *last = if step == 0 { self.whole()? } else { last.saturating_add(i64::from(step)) };
        Ok(Some((*last, kind)))
    }

    /// Passes over a field. Lists do not occur in headers of pages.
    fn pass(&mut self, kind: u8, depth: u32) -> Result<()> {
        ensure!(depth <= MAX_DEPTH, "it nests deeper than {MAX_DEPTH}");
        match kind {
            kind if TRUTH.contains(&kind) => Ok(()),
            BYTE => self.byte().map(drop),
            kind if WHOLE.contains(&kind) => self.whole().map(drop),
            DOUBLE => self.skip(8),
            BINARY => {
                let length = self.bits()?;
                self.skip(length)
            }
            STRUCT => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.pass(kind, depth + 1)?;
                }
                Ok(())
            }
            _ => bail!("a field of kind {kind}"),
        }
    }

    fn size(&mut self) -> Result<u64> {
        let size = self.whole()?;
        i32::try_from(size)
            .ok()
            .and_then(|size| u64::try_from(size).ok())
            .with_context(|| format!("a size of {size}"))
    }

    /// A whole number, its sign in the lowest bit.
    fn whole(&mut self) -> Result<i64> {
        let bits = self.bits()?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    /// Seven bits a byte, the lowest first.
    fn bits(&mut self) -> Result<u64> {
        let mut bits = 0;
        for place in 0..10 {
            let byte = self.byte()?;
            bits |= u64::from(byte & 0x7f).wrapping_shl(7 * place);
            if byte & 0x80 == 0 {
                return Ok(bits);
            }
        }
        bail!("a number of more than 10 bytes")
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.file.read_exact(&mut byte)?;
        self.at += 1;
        Ok(byte[0])
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        self.file.seek_relative(i64::try_from(count).context("it ends behind every file")?)?;
        self.at = self.at.checked_add(count).context("it ends behind every file")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use arrow_array::builder::{Float32Builder, ListBuilder};
    use arrow_array::{BinaryArray, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::file::properties::{WriterProperties, WriterVersion};

    use super::*;

    /// The header of a data page of the first version: its sizes, its number of values, three encodings; zigzag doubles each number.
    fn header(unpacked: u32, packed: u8, values: u32) -> Vec<u8> {
        let varint = |number: u32| {
            let bits = u64::from(number) << 1;
            (0..5).map(move |i| (bits >> (7 * i)) as u8 & 0x7f | if i < 4 { 0x80 } else { 0 })
        };
        let mut bytes = vec![0x15, 0, 0x15];
        bytes.extend(varint(unpacked));
        bytes.extend([0x15, packed << 1, 0x2c, 0x15]);
        bytes.extend(varint(values));
        bytes.extend([0x15, 0, 0x15, 6, 0x15, 6, 0, 0]);
        bytes
    }

    fn refusal(bytes: &[u8], length: i64) -> String {
        let mut headers = Headers { file: BufReader::new(Cursor::new(bytes)), at: 0 };
        headers.column(0, length).map_or_else(|error| format!("{error:#}"), |()| String::new())
    }

    #[test]
    fn a_page_that_claims_gigabytes_is_refused_before_it_is_unpacked() {
        let page = |unpacked, values| {
            let bytes = [header(unpacked, 10, values), vec![0; 10]].concat();
            refusal(&bytes, bytes.len() as i64)
        };
        assert_eq!(page(200, 30), "");
        assert_eq!(page(1 << 30, 30), "a page of 10 bytes claims to hold 30 values in 1073741824 bytes");
        assert_eq!(page(200, 1 << 30), "a page of 10 bytes claims to hold 1073741824 values in 200 bytes");
    }

    #[test]
    fn a_damaged_header_is_told_and_not_guessed_around() {
        let whole = header(200, 10, 30);
        assert!(refusal(&whole[..7], 20).starts_with("a page's header is damaged"));
        // The size as a text: Parquet's own reader would take the number for a size all the same.
        let other = [&whole[..2], &[0x18], &whole[3..]].concat();
        assert!(refusal(&other, 20).contains("field 2 is of kind 8"), "{}", refusal(&other, 20));
        assert!(refusal(&whole, -1).contains("has -1 bytes"));
        let deep = [vec![0x9c], vec![0x1c; 100]].concat();
        assert!(refusal(&deep, 20).contains("nests deeper"), "{}", refusal(&deep, 20));
    }

    #[test]
    fn what_is_written_passes_with_all_its_values() {
        let mut boxes = ListBuilder::new(Float32Builder::new());
        (0..5000).for_each(|_| boxes.append_value([Some(1.0), Some(2.0), Some(8.0), Some(8.0)]));
        let batch = RecordBatch::try_from_iter([
            ("image", Arc::new(BinaryArray::from_iter_values((0..5000).map(|_| [7; 40]))) as _),
            ("path", Arc::new(StringArray::from_iter_values((0..5000).map(|i| i.to_string()))) as _),
            ("boxes", Arc::new(boxes.finish()) as _),
        ])
        .unwrap();
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for packing in
                [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())]
            {
                let properties = WriterProperties::builder()
                    .set_writer_version(version)
                    .set_compression(packing)
                    .set_data_page_row_count_limit(700)
                    .set_write_page_header_statistics(true)
                    .build();
                let file = tempfile::NamedTempFile::new().unwrap();
                let mut writer =
                    ArrowWriter::try_new(file.reopen().unwrap(), batch.schema(), Some(properties)).unwrap();
                writer.write(&batch).unwrap();
                writer.close().unwrap();
                let about = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
                check(file.reopen().unwrap(), about.metadata(), |_| true).unwrap();
                let first = about.metadata().row_group(0).column(0);
                let mut headers = Headers { file: BufReader::new(file.reopen().unwrap()), at: 0 };
                headers.skip(first.data_page_offset() as u64).unwrap();
                let page = headers.page().unwrap();
                assert!(page.values > 0 && page.values < 5000 && page.packed > 0, "{page:?}");
            }
        }
    }
}
