//! Packing a data set into shards, which can be stopped and gone on with.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::index::{self, MANIFEST, Manifest, Member, Shard};
use super::record::Record;
use crate::atomic::Durability;
use crate::decode::decode_bytes;
use crate::loader::Unreadable;
use crate::region::Region;
use crate::{Dataset, Error, Result, Scheme, atomic};

/// Settings of a packing under way, to go on by.
const PACKING: &str = "packing.json";

/// Samples prepared side by side before they are written.
const CHUNK: usize = 64;

/// How images are written that are not copied as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Without loss.
    #[default]
    Png,
    /// Smaller and faster to read, with the loss of that quality, 1 to 100.
    Jpeg(u8),
    /// No compression: the fastest to read, the largest.
    Ppm,
}

/// How a set is packed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackConfig {
    /// Samples a shard.
    pub per_shard: usize,
    /// Keep only the part of each image about its face; `None` copies whole files as they are, byte for byte.
    pub region: Option<Region>,
    /// How images without files, or cut out of theirs, are written.
    pub encoding: Encoding,
    /// Seed to shuffle the set by before it is packed: neighbours, such as the frames of a video, then lie in different shards.
    pub shuffle: Option<u64>,
    /// What becomes of a sample that cannot be read.
    pub unreadable: Unreadable,
}

impl Default for PackConfig {
    fn default() -> Self {
        Self {
            per_shard: 1000,
            region: None,
            encoding: Encoding::Png,
            shuffle: None,
            unreadable: Unreadable::Fail,
        }
    }
}

/// What was packed.
#[derive(Debug, Default)]
pub struct Packed {
    /// Samples in all shards.
    pub samples: usize,
    /// Shards, those that an earlier run wrote included.
    pub shards: usize,
    /// Bytes of all shards.
    pub bytes: u64,
    /// Index and skipped of samples left out by this run.
    pub unreadable: Vec<(usize, Error)>,
    /// Stopped before everything was packed.
    pub stopped: bool,
}

/// What a packing was begun with, kept beside its shards until it is done.
#[derive(PartialEq, Serialize, Deserialize)]
struct Packing {
    config: PackConfig,
    scheme: Scheme,
    samples: usize,
    /// SHA-256 of where the samples come from.
    sources: String,
}

/// Packs `dataset` into shards in `folder`, which is made if missing; every sample is decoded, so what is packed can be read.
///
/// Shards appear whole or not at all, the manifest last. Once `stop` is set, or after an error, shards that are whole stay, and a call
/// with the same settings goes on after them. `progress` hears of the samples done.
///
/// # Errors
/// [`Error::Config`] for settings out of range, [`Error::Content`] where `folder` holds another packing, what cannot be read (unless
/// left out) or written.
pub fn pack(
    dataset: &dyn Dataset,
    folder: &Path,
    config: &PackConfig,
    stop: &AtomicBool,
    progress: &dyn Fn(usize),
) -> Result<Packed> {
    validate(config)?;
    begin(dataset, folder, config)?;
    let mut order: Vec<usize> = (0..dataset.len()).collect();
    if let Some(seed) = config.shuffle {
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    }
    let (mut packed, mut shards) = (Packed::default(), Vec::new());
    for (number, samples) in order.chunks(config.per_shard).enumerate() {
        let url = format!("shard-{number:06}.tar");
        let first = number * config.per_shard;
        let job = Job { dataset, folder, config, url: &url, samples, first };
        let shard = match finished(folder, &url)? {
            Some(shard) => shard,
            None => match job.write(stop, progress)? {
                Some((shard, skipped)) => {
                    packed.unreadable.extend(skipped);
                    shard
                }
                None => return Ok(Packed { stopped: true, shards: shards.len(), ..packed }),
            },
        };
        progress(first + samples.len());
        packed.samples += shard.nsamples;
        packed.bytes += shard.filesize.unwrap_or_default();
        shards.push(shard);
    }
    packed.shards = shards.len();
    let notes: Vec<_> = shards.iter().map(|shard| folder.join(note_name(&shard.url))).collect();
    write_json(&folder.join(MANIFEST), &Manifest::new(shards, dataset.scheme()))?;
    for note in notes.into_iter().chain([folder.join(PACKING)]) {
        std::fs::remove_file(&note).map_err(|source| Error::io(note, source))?;
    }
    Ok(packed)
}

fn validate(config: &PackConfig) -> Result<()> {
    let refuse = |field, expected: &str, got: usize| {
        Err(Error::Config { field, expected: expected.into(), got: got.to_string() })
    };
    match config.encoding {
        _ if config.per_shard == 0 => refuse("per_shard", "at least 1", 0),
        Encoding::Jpeg(quality) if !(1..=100).contains(&quality) => {
            refuse("encoding", "a JPEG quality from 1 to 100", quality.into())
        }
        _ => config.region.map_or(Ok(()), |region| region.validate()),
    }
}

/// Makes the folder and leaves a note of what is packed, or finds the same note there.
fn begin(dataset: &dyn Dataset, folder: &Path, config: &PackConfig) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    if folder.join(MANIFEST).exists() {
        let expected = "a folder without packed shards (choose another, or delete them)";
        return Err(Error::content(folder, "folder", expected, MANIFEST));
    }
    let mut hash = Sha256::new();
    for index in 0..dataset.len() {
        hash.update(dataset.source(index).to_string_lossy().as_bytes());
        hash.update([0]);
    }
    let (scheme, samples) = (dataset.scheme().clone(), dataset.len());
    let packing = Packing { config: *config, scheme, samples, sources: hex(hash) };
    let note = folder.join(PACKING);
    match std::fs::read(&note) {
        Ok(bytes) if serde_json::from_slice::<Packing>(&bytes).is_ok_and(|begun| begun == packing) => Ok(()),
        Ok(_) => {
            let expected = "the settings and samples that the packing in this folder was begun with (or an empty folder)";
            Err(Error::content(note, "packing", expected, "others"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => write_json(&note, &packing),
        Err(source) => Err(Error::io(note, source)),
    }
}

/// A shard that an earlier run wrote: its note is written after it.
fn finished(folder: &Path, url: &str) -> Result<Option<Shard>> {
    let note = folder.join(note_name(url));
    let whole = |shard: &Shard| {
        std::fs::metadata(folder.join(url)).is_ok_and(|meta| shard.filesize == Some(meta.len()))
    };
    match std::fs::read(&note) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok().filter(whole)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io(note, source)),
    }
}

fn note_name(url: &str) -> String {
    format!("{url}.json")
}

/// A sample ready to be written.
struct Ready {
    ending: &'static str,
    image: Vec<u8>,
    annotation: Vec<u8>,
}

type Skipped = Vec<(usize, Error)>;

/// One shard to be written.
struct Job<'a> {
    dataset: &'a dyn Dataset,
    folder: &'a Path,
    config: &'a PackConfig,
    url: &'a str,
    samples: &'a [usize],
    /// Samples in the shards before.
    first: usize,
}

/// What a shard turned out to hold.
#[derive(Default)]
struct Contents {
    members: Vec<Member>,
    skipped: Skipped,
    length: u64,
    sha256: String,
    stopped: bool,
}

impl Job<'_> {
    /// Writes the shard, its list and its note; `None` where it was stopped.
    fn write(&self, stop: &AtomicBool, progress: &dyn Fn(usize)) -> Result<Option<(Shard, Skipped)>> {
        let mut contents = Contents::default();
        let written = atomic::write_with(&self.folder.join(self.url), Durability::Synced, |file| {
            self.fill(file, &mut contents, stop, progress)
        });
        if contents.stopped {
            return Ok(None);
        }
        written?;
        let Contents { members, skipped, length, sha256, .. } = contents;
        let list = self.folder.join(index::list_name(self.url));
        atomic::write(&list, index::format(&members).as_bytes())?;
        let (url, nsamples) = (self.url.to_string(), members.len());
        let shard = Shard { url, nsamples, filesize: Some(length), sha256: Some(sha256) };
        write_json(&self.folder.join(note_name(self.url)), &shard)?;
        Ok(Some((shard, skipped)))
    }

    fn fill(
        &self,
        file: impl Write,
        contents: &mut Contents,
        stop: &AtomicBool,
        progress: &dyn Fn(usize),
    ) -> Result<()> {
        let path = self.folder.join(self.url);
        let io = |source| Error::io(&path, source);
        let mut archive = tar::Builder::new(Hashing { inner: file, hash: Sha256::new(), length: 0 });
        let mut done = self.first;
        for indices in self.samples.chunks(CHUNK) {
            if stop.load(Ordering::Relaxed) {
                contents.stopped = true;
                // Any error leaves no file behind; this one goes no further.
                return Err(io(io::ErrorKind::Interrupted.into()));
            }
            let ready: Vec<Result<Ready>> =
                indices.par_iter().map(|&index| ready(self.dataset, self.config, index)).collect();
            for (key, (ready, &index)) in (done..).zip(ready.into_iter().zip(indices)) {
                let Ready { ending, image, annotation } = match ready {
                    Ok(ready) => ready,
                    Err(error) if self.config.unreadable == Unreadable::Skip => {
                        contents.skipped.push((index, error));
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let key = format!("{key:09}");
                let mut append = |ending: &str, bytes: &[u8]| {
                    append(&mut archive, &format!("{key}.{ending}"), bytes).map_err(io)
                };
                let (image, annotation) = (append(ending, &image)?, append("json", &annotation)?);
                contents.members.push(Member { key, ending: ending.to_string(), image, annotation });
            }
            done += indices.len();
            progress(done);
        }
        let end = archive.into_inner().map_err(io)?;
        (contents.length, contents.sha256) = (end.length, hex(end.hash));
        Ok(())
    }
}

/// Reads and encodes one sample.
fn ready(dataset: &dyn Dataset, config: &PackConfig, index: usize) -> Result<Ready> {
    let file = dataset.image_path(index).filter(|_| config.region.is_none());
    let (sample, image) = match file {
        Some(file) => {
            let bytes = std::fs::read(&file).map_err(|source| Error::io(&file, source))?;
            let image = decode_bytes(&bytes, &file)?;
            (dataset.annotation(index)?.with_image(image), Some(bytes))
        }
        None => (dataset.get(index)?, None),
    };
    let (sample, place) = match config.region {
        Some(region) => {
            let (sample, place) = region.cut(sample);
            (sample, Some(place))
        }
        None => (sample, None),
    };
    let annotation = json(&Record::new(&sample, place))?;
    let (ending, image) = match image {
        Some(bytes) => (ending(&bytes), bytes),
        None => encode(&sample.image, config.encoding)
            .map_err(|error| Error::Decode { path: sample.source.clone(), reason: error.to_string() })?,
    };
    Ok(Ready { ending, image, annotation })
}

/// What an image's bytes are, whatever its file was called.
fn ending(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(image::ImageFormat::Jpeg) => "jpg",
        Ok(image::ImageFormat::Png) => "png",
        _ => "ppm",
    }
}

fn encode(image: &RgbImage, encoding: Encoding) -> image::ImageResult<(&'static str, Vec<u8>)> {
    let (width, height) = image.dimensions();
    let mut bytes = Vec::new();
    let ending = match encoding {
        Encoding::Png => {
            let encoder =
                PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
            encoder.write_image(image, width, height, ExtendedColorType::Rgb8)?;
            "png"
        }
        Encoding::Jpeg(quality) => {
            JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image)?;
            "jpg"
        }
        Encoding::Ppm => {
            bytes.extend_from_slice(format!("P6\n{width} {height}\n255\n").as_bytes());
            bytes.extend_from_slice(image);
            "ppm"
        }
    };
    Ok((ending, bytes))
}

/// Appends a file that is the same whoever packs it and whenever; returns where its bytes lie.
fn append<W: Write>(
    archive: &mut tar::Builder<Hashing<W>>,
    name: &str,
    bytes: &[u8],
) -> io::Result<std::ops::Range<u64>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_path(name)?;
    header.set_cksum();
    archive.append(&header, bytes)?;
    // The bytes are followed by zeros up to a whole block.
    let end = archive.get_ref().length;
    let start = end - (bytes.len() as u64).next_multiple_of(512);
    Ok(start..start + bytes.len() as u64)
}

/// A writer that counts and hashes what goes through it.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    length: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::content("record", "json", "plain values", error.to_string()))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    atomic::write(path, &json(value)?)
}
