//! The file around a graph: inputs, outputs, versions, and what a caller must know about pixels and landmarks.
//!
//! rten-onnx's types carry no graph name, which the standard asks for, so the two outermost messages are written here.

use rten_onnx::onnx::{
    DataType, Dimension, GraphProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TypeProto,
    TypeProtoTensor, ValueInfoProto,
};
use rten_onnx::protobuf::{EncodeMessage, MessageWriter, ProtobufError, ValueWriter, WriteValue};

use super::writer::Writer;
use super::{ExportOptions, HEATMAPS, INPUT, LANDMARKS};
use crate::ChannelOrder;
use crate::checkpoint::Folder;

/// Version of the file format that ONNX came out with beside an opset.
fn ir_version(opset: i64) -> i64 {
    match opset {
        ..12 => 6,
        12..15 => 7,
        15..19 => 8,
        19..21 => 9,
        21..23 => 10,
        23 => 11,
        _ => 12,
    }
}

struct File {
    opset: i64,
    graph: Named,
    metadata: Vec<StringStringEntryProto>,
}

struct Named {
    name: String,
    graph: GraphProto,
}

impl EncodeMessage for Named {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        // GraphProto.name
        fields.write_string(2, &self.name)?;
        self.graph.encode_fields(fields)
    }
}

impl EncodeMessage for File {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        // ModelProto: ir_version, producer_name, producer_version, graph, opset_import, metadata_props
        fields.write_int64(1, ir_version(self.opset))?;
        fields.write_string(2, "star")?;
        fields.write_string(3, env!("CARGO_PKG_VERSION"))?;
        fields.write_message(7, &self.graph)?;
        let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(self.opset) };
        fields.write_repeated_message(8, &[opset])?;
        fields.write_repeated_message(14, &self.metadata)
    }
}

/// A tensor of `f32` with `batch` images in front, any number where it is `None`.
fn value(name: &str, shape: &[usize], batch: Option<usize>) -> ValueInfoProto {
    let any = batch.is_none().then(|| "batch".to_string());
    let batch = Dimension { dim_param: any, dim_value: batch.map(|n| n as i64) };
    let rest = shape.iter().map(|&n| Dimension { dim_value: Some(n as i64), dim_param: None });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(rest).collect() };
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(shape) });
    ValueInfoProto { name: Some(name.to_string()), r#type: Some(TypeProto { tensor_type, sequence: None }) }
}

/// What a caller must know: how images are prepared, and what the numbers mean.
fn metadata(folder: &Folder, options: &ExportOptions) -> Vec<StringStringEntryProto> {
    let (input, own) = (&folder.config.input, &folder.config);
    let (scheme, keypoint_scheme) = match &options.made {
        Some(made) => (&made.scheme, &made.keypoint_scheme),
        None => (&own.scheme, &own.keypoint_scheme),
    };
    let order = match input.order {
        ChannelOrder::Bgr => "bgr",
        ChannelOrder::Rgb => "rgb",
    };
    let entries = [
        ("scheme", scheme.clone()),
        ("keypoint_scheme", keypoint_scheme.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("heatmap_scheme", own.scheme.clone()),
        ("architecture", folder.config.architecture.to_string()),
        ("source", folder.config.provenance.source.clone()),
        ("channel_order", order.to_string()),
        ("mean", format!("{:?}", input.mean)),
        ("std", format!("{:?}", input.std)),
        ("face_scale", input.face_scale.to_string()),
        (
            "landmark_grid",
            "x, y in [-1, 1]; -1 and 1 are the centres of the outer pixels of a heatmap".to_string(),
        ),
    ];
    entries
        .map(|(key, value)| StringStringEntryProto { key: Some(key.to_string()), value: Some(value) })
        .to_vec()
}

/// The bytes of the file.
pub(super) fn encode(
    graph: Writer,
    folder: &Folder,
    options: &ExportOptions,
) -> Result<Vec<u8>, ProtobufError> {
    let batch = options.images;
    let (input, keypoints) = (&folder.config.input, folder.config.architecture.keypoints());
    let (side, maps) = (input.image_size, input.map_size);
    let landmarks = options.made.as_ref().map_or(keypoints, |made| made.parts.len());
    let file = File {
        opset: options.opset,
        graph: Named {
            name: format!("star-{}", folder.config.scheme),
            graph: GraphProto {
                node: graph.nodes,
                initializer: graph.weights,
                input: vec![value(INPUT, &[3, side, side], batch)],
                output: vec![
                    value(LANDMARKS, &[landmarks, 2], batch),
                    value(HEATMAPS, &[keypoints, maps, maps], batch),
                ],
                value_info: Vec::new(),
            },
        },
        metadata: metadata(folder, options),
    };
    let mut bytes = Vec::new();
    file.encode(ValueWriter::new(&mut bytes))?;
    Ok(bytes)
}
