//! TensorBoard event files: scalars and images.
//!
//! A file is a row of records, each the length (u64) and its checksum, the bytes of an `Event` message and theirs, as TensorFlow's
//! `record_writer.cc` lays them out; checksums are CRC-32C, masked. The messages are the part of `event.proto` and `summary.proto`
//! that is used here.

mod messages;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use prost::Message;
use star_predict::files;

use self::messages::{Event, Image, RGB, Summary, Value};
use crate::records::{EpochRecord, StepRecord, Terms};

/// An open event file.
pub(crate) struct Events {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Events {
    /// A new event file in `dir`; those of earlier parts of the run stay beside it, as TensorBoard expects.
    ///
    /// # Errors
    /// Names what cannot be written.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        files::make_dir(dir)?;
        let time = now();
        let path = dir.join(format!("events.out.tfevents.{:.0}.{}.star", time * 1e3, std::process::id()));
        let file = File::create_new(&path).with_context(|| path.display().to_string())?;
        let mut events = Self { path, file: BufWriter::new(file) };
        events.write(Event {
            wall_time: time,
            file_version: Some("brain.Event:2".to_string()),
            ..Default::default()
        })?;
        Ok(events)
    }

    /// Loss terms, learning rate and gradient norm of a step.
    pub(crate) fn step(&mut self, record: &StepRecord) -> Result<()> {
        let mut values = terms("train", &record.terms);
        values.push(scalar("train/learning_rate", record.learning_rate));
        values.push(scalar("train/gradient_norm", record.gradient_norm));
        self.summary(record.step, values)
    }

    /// Loss terms and scores of an epoch, and a PNG of one validation sample.
    pub(crate) fn epoch(&mut self, record: &EpochRecord, sample: &[u8]) -> Result<()> {
        let mut values = terms("epoch", &record.terms);
        for (name, nme) in [("weights", record.validation_nme), ("average", record.validation_nme_ema)] {
            if let Some(nme) = nme {
                values.push(scalar(&format!("validation/nme_percent/{name}"), 100.0 * nme));
            }
        }
        values.push(scalar("validation/failure_rate", record.failure_rate));
        values.push(scalar("validation/auc", record.auc));
        values.push(image("validation/first_sample", sample)?);
        self.summary(record.step, values)
    }

    /// Brings everything to disk.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.file.flush().with_context(|| self.path.display().to_string())
    }

    fn summary(&mut self, step: usize, value: Vec<Value>) -> Result<()> {
        let summary = Some(Summary { value });
        self.write(Event { wall_time: now(), step: step as i64, file_version: None, summary })
    }

    fn write(&mut self, event: Event) -> Result<()> {
        let bytes = event.encode_to_vec();
        let length = (bytes.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(bytes.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(&bytes);
        record.extend(masked_crc(&bytes).to_le_bytes());
        self.file.write_all(&record).with_context(|| self.path.display().to_string())
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// TensorFlow's mask, which keeps a checksum of data with checksums in it apart from them.
fn masked_crc(bytes: &[u8]) -> u32 {
    const MASK: u32 = 0xa282_ead8;
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

fn terms(group: &str, terms: &Terms) -> Vec<Value> {
    terms.iter().map(|(name, value)| scalar(&format!("{group}/{name}"), *value)).collect()
}

fn scalar(tag: &str, value: f64) -> Value {
    Value { tag: tag.to_string(), simple_value: Some(value as f32), image: None }
}

fn image(tag: &str, png: &[u8]) -> Result<Value> {
    let size = image::ImageReader::with_format(std::io::Cursor::new(png), image::ImageFormat::Png);
    let (width, height) = size.into_dimensions().context("the drawn sample")?;
    let image = Some(Image {
        height: height as i32,
        width: width as i32,
        colorspace: RGB,
        encoded_image_string: png.to_vec(),
    });
    Ok(Value { tag: tag.to_string(), simple_value: None, image })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file back, checking every checksum.
    fn read(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        let (mut rest, mut events) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (length, tail) = rest.split_at(8);
            let count = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(tail[..4], masked_crc(length).to_le_bytes());
            let body = &tail[4..4 + count];
            assert_eq!(tail[4 + count..8 + count], masked_crc(body).to_le_bytes());
            events.push(Event::decode(body).unwrap());
            rest = &tail[8 + count..];
        }
        events
    }

    #[test]
    fn a_file_begins_with_its_version_and_holds_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = Events::create(dir.path()).unwrap();
        events.summary(7, vec![scalar("train/total", 2.5)]).unwrap();
        events.flush().unwrap();
        let read = read(&events.path);
        assert_eq!(read[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(read[1].step, 7);
        assert_eq!(read[1].summary.as_ref().unwrap().value, [scalar("train/total", 2.5)]);
    }

    #[test]
    fn checksums_are_those_of_the_format() {
        // The record header of an 8-byte length 0 in TensorFlow's own files.
        assert_eq!(masked_crc(&[0; 8]), crc32c::crc32c(&[0; 8]).rotate_right(15).wrapping_add(0xa282_ead8));
        // RFC 3720, section B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    }
}
