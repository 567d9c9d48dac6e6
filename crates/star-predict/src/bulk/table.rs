//! Images listed in a Parquet file: bytes or paths, with or without boxes.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaData;
use star_data::FaceBox;

use super::cells::{binary, list, number, text};
use super::item::{ImageSource, Item, Items};
use super::pages;
use crate::parallel::unwound;

/// Rows decoded at a time: images of a megabyte, and it is still not much.
const ROWS: usize = 32;

/// Columns that hold images, if no other is named; the first that is there.
const IMAGES: [&str; 11] =
    ["image", "bytes", "picture", "content", "jpg", "jpeg", "png", "path", "file_name", "filename", "file"];

/// Columns that say what a image is called.
const NAMES: [&str; 8] = ["path", "name", "file_name", "filename", "key", "__key__", "id", "image_id"];

/// Columns with one box a row, in pixels.
const BOX: [&str; 4] = ["box_x", "box_y", "box_width", "box_height"];

/// Column with all boxes of a image: a list of `x, y, width, height`.
const BOXES: &str = "boxes";

/// The images of the Parquet file `path`, which messages call `label`, from the column named, or from the first that is usually
/// called so.
///
/// # Errors
/// When it is no Parquet file, or has no such column.
pub(super) fn open(path: &Path, label: &str, column: Option<&str>) -> Result<Items> {
    let file = File::open(path).with_context(|| label.to_string())?;
    let damaged = || format!("{label}: expected a whole Parquet file");
    let builder = whole(|| ParquetRecordBatchReaderBuilder::try_new(file)).with_context(damaged)?;
    let builder = builder.with_context(damaged)?;
    let columns = Columns::of(builder.schema(), column).with_context(|| label.to_string())?;
    readable(builder.metadata()).with_context(|| label.to_string())?;
    let wanted: Vec<usize> = columns.all().filter_map(|name| builder.schema().index_of(name).ok()).collect();
    let file = File::open(path).with_context(|| label.to_string())?;
    let is_wanted = |leaf: usize| wanted.contains(&builder.parquet_schema().get_column_root_idx(leaf));
    whole(|| pages::check(file, builder.metadata(), is_wanted)).flatten().with_context(damaged)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader =
        whole(|| builder.with_projection(mask).with_batch_size(ROWS).build()).with_context(damaged)?;
    let mut reader = Some(reader.with_context(damaged)?);
    let batches = std::iter::from_fn(move || {
        let next = whole(|| reader.as_mut()?.next());
        if next.is_err() {
            reader = None;
        }
        next.map(|batch| batch.map(|batch| batch.map_err(anyhow::Error::from)))
            .unwrap_or_else(|panic| Some(Err(panic)))
    });
    let (mut row, label) = (0, label.to_string());
    let items = batches.flat_map(move |batch| {
        let batch = batch
            .with_context(|| format!("{label}: expected a whole Parquet file: row {row} or one behind it"));
        let items: Vec<Result<Item>> = match batch {
            Ok(batch) => (0..batch.num_rows()).map(|i| Ok(columns.item(&batch, i, row + i))).collect(),
            Err(error) => vec![Err(error)],
        };
        row += items.len();
        items
    });
    Ok(Box::new(items))
}

/// What `read` returns; where the reader of Parquet files panics, as it does on some damaged ones, an error.
fn whole<T>(read: impl FnOnce() -> T) -> Result<T> {
    unwound(read).map_err(|text| anyhow!("its reader panicked: {text}"))
}

/// Refuses a file packed in a way that this build does not know, before its first row.
fn readable(about: &ParquetMetaData) -> Result<()> {
    use Compression::{LZ4, LZ4_RAW, SNAPPY, UNCOMPRESSED, ZSTD};
    let columns = about.row_groups().iter().flat_map(|group| group.columns());
    for column in columns {
        let packed = column.compression();
        if !matches!(packed, UNCOMPRESSED | SNAPPY | LZ4 | LZ4_RAW | ZSTD(_)) {
            let name = column.column_path();
            bail!(
                "column {name}: compressed as {packed}: expected Snappy, LZ4, zstd or none; write the file anew with one of these"
            )
        }
    }
    Ok(())
}

/// Which columns are read.
struct Columns {
    image: String,
    name: Option<&'static str>,
    one_box: bool,
    boxes: bool,
}

impl Columns {
    fn of(schema: &Schema, wanted: Option<&str>) -> Result<Self> {
        let has = |name: &str| schema.index_of(name).is_ok();
        let there =
            || schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        let image = match wanted {
            Some(name) if has(name) => name.to_string(),
            Some(name) => bail!("no column `{name}`; there are {}", there()),
            None => match IMAGES.iter().find(|name| has(name)) {
                Some(name) => name.to_string(),
                None => bail!(
                    "no column of images (looked for {}); name one of {} (--image-column)",
                    IMAGES.join(", "),
                    there()
                ),
            },
        };
        let is_text = |name: &&&str| {
            let field = schema.field_with_name(name);
            field.is_ok_and(|field| {
                matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
            })
        };
        let kind = schema.field_with_name(&image)?.data_type();
        let known = match kind {
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
            DataType::Struct(fields) => {
                fields.iter().any(|field| field.name() == "bytes" || field.name() == "path")
            }
            _ => false,
        };
        if !known {
            bail!("column `{image}`: expected bytes, paths, or a struct of `bytes` and `path`, got {kind}")
        }
        Ok(Self {
            name: NAMES.iter().filter(|name| **name != image).find(is_text).copied(),
            one_box: BOX.iter().all(|name| has(name)),
            boxes: has(BOXES),
            image,
        })
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let one = if self.one_box { BOX.as_slice() } else { &[] };
        let boxes = self.boxes.then_some(BOXES);
        std::iter::once(self.image.as_str()).chain(self.name).chain(one.iter().copied()).chain(boxes)
    }

    fn item(&self, batch: &RecordBatch, i: usize, row: usize) -> Item {
        let (mut bytes, mut path) = (None, None);
        if let Some(image) = batch.column_by_name(&self.image) {
            match image.as_any().downcast_ref::<arrow_array::StructArray>() {
                // The way in which Hugging Face's data sets keep images.
                Some(parts) if parts.is_valid(i) => {
                    bytes = parts.column_by_name("bytes").and_then(|column| binary(column.as_ref(), i));
                    path = parts.column_by_name("path").and_then(|column| text(column.as_ref(), i));
                }
                Some(_) => {}
                None => {
                    bytes = binary(image.as_ref(), i);
                    path = text(image.as_ref(), i);
                }
            }
        }
        let named =
            self.name.and_then(|name| batch.column_by_name(name)).and_then(|column| text(column.as_ref(), i));
        let name = named.or_else(|| path.clone()).unwrap_or_else(|| format!("row {row}"));
        let source = match (bytes, path) {
            (Some(bytes), _) => ImageSource::Bytes(bytes),
            (None, Some(path)) => ImageSource::Named(path),
            (None, None) => ImageSource::Missing(format!("no image in column `{}`", self.image)),
        };
        Item { name, source, boxes: self.boxes(batch, i) }
    }

    /// The boxes of a row; `None` where there is nothing to tell them by.
    fn boxes(&self, batch: &RecordBatch, i: usize) -> Option<Vec<FaceBox>> {
        if self.boxes
            && let Some(boxes) = batch.column_by_name(BOXES).and_then(|column| list(column.as_ref(), i))
        {
            return Some((0..boxes.len()).filter_map(|k| box_of(boxes.as_ref(), k)).collect());
        }
        let sides = BOX.map(|name| batch.column_by_name(name).and_then(|column| number(column.as_ref(), i)));
        if let [Some(x), Some(y), Some(width), Some(height)] = sides {
            return Some(vec![FaceBox { x, y, width, height }]);
        }
        None
    }
}

/// A box from a list of four numbers or a struct of them.
fn box_of(boxes: &dyn Array, k: usize) -> Option<FaceBox> {
    if let Some(parts) = boxes.as_any().downcast_ref::<arrow_array::StructArray>() {
        let side = |name: &str| parts.column_by_name(name).and_then(|column| number(column.as_ref(), k));
        return Some(FaceBox {
            x: side("x")?,
            y: side("y")?,
            width: side("width")?,
            height: side("height")?,
        });
    }
    let sides = list(boxes, k)?;
    let side = |i: usize| if i < sides.len() { number(sides.as_ref(), i) } else { None };
    Some(FaceBox { x: side(0)?, y: side(1)?, width: side(2)?, height: side(3)? })
}
