//! Faces as rows of a Parquet file: one a face, one for an image without any, one for an image that cannot be used.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use anyhow::Result;
use arrow_array::builder::{
    BooleanBuilder, Float32Builder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use star_data::FaceBox;

use crate::{Ellipse, Face};

/// Rows collected before they are handed on.
const BATCH: usize = 1024;

/// Rows of a row group: some ten megabytes, which are held in memory.
const GROUP: usize = 16 * BATCH;

/// A face, and which of its landmarks are likely hidden where the weights were taught that.
pub(super) struct Found {
    pub(super) face: Face,
    pub(super) occluded: Option<Vec<bool>>,
}

/// The columns: `docs/scaling.md` says what is in them.
static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let numbers = |name: &str| Field::new_list(name, Field::new_list_field(DataType::Float32, true), true);
    let number = |name: &str| Field::new(name, DataType::Float32, true);
    Arc::new(Schema::new(vec![
        Field::new("image", DataType::Utf8, false),
        Field::new("row", DataType::Int64, false),
        Field::new("face", DataType::Int32, true),
        number("box_x"),
        number("box_y"),
        number("box_width"),
        number("box_height"),
        Field::new("score", DataType::Float64, true),
        number("yaw"),
        number("pitch"),
        number("roll"),
        number("yaw_deviation"),
        number("pitch_deviation"),
        number("roll_deviation"),
        numbers("x"),
        numbers("y"),
        numbers("major"),
        numbers("minor"),
        numbers("angle"),
        numbers("confidence"),
        Field::new_list("occluded", Field::new_list_field(DataType::Boolean, true), true),
        Field::new("error", DataType::Utf8, true),
    ]))
});

/// Rows on their way to a file.
pub(super) struct Rows<W: Write + Send> {
    writer: ArrowWriter<W>,
    count: usize,
    image: StringBuilder,
    row: Int64Builder,
    face: Int32Builder,
    sides: [Float32Builder; 4],
    score: Float64Builder,
    pose: [Float32Builder; 6],
    landmarks: [ListBuilder<Float32Builder>; 5],
    confidence: ListBuilder<Float32Builder>,
    occluded: ListBuilder<BooleanBuilder>,
    error: StringBuilder,
}

impl<W: Write + Send> Rows<W> {
    /// Begins a file; `about` is kept in its metadata.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn new(file: W, about: &[(&str, String)]) -> Result<Self> {
        let about = about.iter().map(|(key, value)| KeyValue::new(format!("star.{key}"), value.clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP))
            .set_created_by(crate::weights::WRITTEN_BY.to_string())
            .set_key_value_metadata(Some(about.collect()))
            .build();
        Ok(Self {
            writer: ArrowWriter::try_new(file, SCHEMA.clone(), Some(properties))?,
            count: 0,
            image: StringBuilder::new(),
            row: Int64Builder::new(),
            face: Int32Builder::new(),
            sides: std::array::from_fn(|_| Float32Builder::new()),
            score: Float64Builder::new(),
            pose: std::array::from_fn(|_| Float32Builder::new()),
            landmarks: std::array::from_fn(|_| ListBuilder::new(Float32Builder::new())),
            confidence: ListBuilder::new(Float32Builder::new()),
            occluded: ListBuilder::new(BooleanBuilder::new()),
            error: StringBuilder::new(),
        })
    }

    /// Adds the image at place `row` of its shard, with what became of it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn image(&mut self, name: &str, row: usize, found: &Result<Vec<Found>, String>) -> Result<()> {
        match found {
            Ok(faces) if faces.is_empty() => self.add(name, row, None, None)?,
            Ok(faces) => {
                for face in faces.iter().enumerate() {
                    self.add(name, row, Some(face), None)?;
                }
            }
            Err(error) => self.add(name, row, None, Some(error))?,
        }
        Ok(())
    }

    fn add(
        &mut self,
        name: &str,
        row: usize,
        face: Option<(usize, &Found)>,
        error: Option<&str>,
    ) -> Result<()> {
        self.image.append_value(name);
        self.row.append_value(row as i64);
        self.face.append_option(face.map(|(i, _)| i as i32));
        let occluded = face.and_then(|(_, found)| found.occluded.as_ref());
        let face = face.map(|(_, found)| &found.face);
        let sides = face.map(|face| {
            let FaceBox { x, y, width, height } = face.face_box;
            [x, y, width, height]
        });
        for (i, builder) in self.sides.iter_mut().enumerate() {
            builder.append_option(sides.map(|sides| sides[i]));
        }
        self.score.append_option(face.and_then(|face| face.score).map(f64::from));
        let pose = face.and_then(|face| face.pose).map(|pose| {
            let [yaw, pitch, roll] = pose.deviations;
            [pose.yaw, pose.pitch, pose.roll, yaw, pitch, roll]
        });
        for (i, builder) in self.pose.iter_mut().enumerate() {
            builder.append_option(pose.map(|pose| pose[i]));
        }
        let columns = face.map(|face| {
            let points = face.landmarks.points.iter();
            let ellipses =
                face.landmarks.covariances.iter().map(|c| Ellipse::from_covariance(c.map(f64::from)));
            points.zip(ellipses).map(|(&[x, y], e)| [x, y, e.major, e.minor, e.angle]).collect::<Vec<_>>()
        });
        for (i, builder) in self.landmarks.iter_mut().enumerate() {
            match &columns {
                Some(columns) => builder.append_value(columns.iter().map(|values| Some(values[i]))),
                None => builder.append_null(),
            }
        }
        match face.map(|face| &face.landmarks.confidence).filter(|confidence| !confidence.is_empty()) {
            Some(confidence) => self.confidence.append_value(confidence.iter().map(|value| Some(*value))),
            None => self.confidence.append_null(),
        }
        match occluded {
            Some(occluded) => self.occluded.append_value(occluded.iter().map(|value| Some(*value))),
            None => self.occluded.append_null(),
        }
        self.error.append_option(error);
        self.count += 1;
        if self.count == BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(self.image.finish()), Arc::new(self.row.finish()), Arc::new(self.face.finish())];
        columns.extend(self.sides.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(Arc::new(self.score.finish()));
        columns.extend(self.pose.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.extend(self.landmarks.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(Arc::new(self.confidence.finish()));
        columns.push(Arc::new(self.occluded.finish()));
        columns.push(Arc::new(self.error.finish()));
        self.count = 0;
        Ok(self.writer.write(&RecordBatch::try_new(SCHEMA.clone(), columns)?)?)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(mut self) -> Result<W> {
        self.flush()?;
        Ok(self.writer.into_inner()?)
    }
}
