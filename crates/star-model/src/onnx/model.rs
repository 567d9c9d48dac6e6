//! The file around a graph: inputs, outputs, versions, and what a caller must know about pixels and landmarks.
//!
//! rten-onnx's types carry no graph name, which the standard asks for, so the two outermost messages are written here.

use rten_onnx::onnx::{
    DataType, Dimension, GraphProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TypeProto,
    TypeProtoTensor, ValueInfoProto,
};
use rten_onnx::protobuf::{EncodeMessage, MessageWriter, ProtobufError, ValueWriter, WriteValue};

use super::writer::Writer;
use super::{HEATMAPS, INPUT, LANDMARKS, OPSET};
use crate::ChannelOrder;
use crate::checkpoint::Folder;

/// Version of the file format that goes with the opset.
const IR_VERSION: i64 = 8;

struct File {
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
        fields.write_int64(1, IR_VERSION)?;
        fields.write_string(2, "star")?;
        fields.write_string(3, env!("CARGO_PKG_VERSION"))?;
        fields.write_message(7, &self.graph)?;
        let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) };
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
fn metadata(folder: &Folder) -> Vec<StringStringEntryProto> {
    let input = &folder.config.input;
    let order = match input.order {
        ChannelOrder::Bgr => "bgr",
        ChannelOrder::Rgb => "rgb",
    };
    let entries = [
        ("scheme", folder.config.scheme.clone()),
        (
            "keypoint_scheme",
            folder.config.keypoint_scheme.as_ref().map(ToString::to_string).unwrap_or_default(),
        ),
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
pub(super) fn encode(graph: Writer, folder: &Folder, batch: Option<usize>) -> Result<Vec<u8>, ProtobufError> {
    let (input, keypoints) = (&folder.config.input, folder.config.architecture.keypoints());
    let (side, maps) = (input.image_size, input.map_size);
    let file = File {
        graph: Named {
            name: format!("star-{}", folder.config.scheme),
            graph: GraphProto {
                node: graph.nodes,
                initializer: graph.weights,
                input: vec![value(INPUT, &[3, side, side], batch)],
                output: vec![
                    value(LANDMARKS, &[keypoints, 2], batch),
                    value(HEATMAPS, &[keypoints, maps, maps], batch),
                ],
                value_info: Vec::new(),
            },
        },
        metadata: metadata(folder),
    };
    let mut bytes = Vec::new();
    file.encode(ValueWriter::new(&mut bytes))?;
    Ok(bytes)
}
