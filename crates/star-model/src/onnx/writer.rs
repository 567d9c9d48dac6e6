//! The graph of a file under construction: nodes in order, and the weights they name.

use std::cell::RefCell;
use std::collections::BTreeSet;

use candle_core::{DType, Result, Tensor, bail};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, NodeProto, TensorProto};

use crate::checkpoint::Tensors;

/// Added to a variance before its root, as in `norm`.
const EPS: f32 = 1e-5;

/// Nodes and weights so far. Every method that adds a node returns the name of its output.
pub(super) struct Writer<'a> {
    tensors: &'a Tensors,
    opset: i64,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) weights: Vec<TensorProto>,
    added: BTreeSet<String>,
}

/// What a larger map takes its values from.
#[derive(Clone, Copy)]
pub(super) enum Upsampling {
    /// The nearest pixel.
    Nearest,
    /// The four pixels around, weighted by the distance of their centres.
    Bilinear,
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        i: Some(value),
        r#type: Some(AttributeType::INT),
        ..Default::default()
    }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        ints: values.to_vec(),
        r#type: Some(AttributeType::INTS),
        ..Default::default()
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        f: Some(value),
        r#type: Some(AttributeType::FLOAT),
        ..Default::default()
    }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        s: Some(value.to_string()),
        r#type: Some(AttributeType::STRING),
        ..Default::default()
    }
}

impl<'a> Writer<'a> {
    /// An empty graph in `opset`'s version of the operators.
    pub(super) fn new(tensors: &'a Tensors, opset: i64) -> Self {
        Self { tensors, opset, nodes: Vec::new(), weights: Vec::new(), added: BTreeSet::new() }
    }

    /// A tensor of the checkpoint.
    pub(super) fn tensor(&self, name: &str) -> Result<&'a Tensor> {
        match self.tensors.get(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("{name}: no such tensor"),
        }
    }

    /// The weight called `name`, added on first use.
    fn weight(&mut self, name: &str) -> Result<String> {
        let tensor = self.tensor(name)?;
        self.add(name, tensor)
    }

    /// Adds a tensor of our own making as a weight.
    pub(super) fn add(&mut self, name: &str, tensor: &Tensor) -> Result<String> {
        if !self.added.contains(name) {
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            return Ok(self.constant(name, tensor.dims(), values));
        }
        Ok(name.to_string())
    }

    /// Adds numbers as a weight.
    pub(super) fn constant(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(name, shape, DataType::FLOAT, bytes)
    }

    /// Adds whole numbers, as shapes and axes are given.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(name, &[values.len()], DataType::INT64, bytes)
    }

    fn raw(&mut self, name: &str, shape: &[usize], kind: DataType, bytes: Vec<u8>) -> String {
        if self.added.insert(name.to_string()) {
            self.weights.push(TensorProto {
                name: Some(name.to_string()),
                dims: shape.iter().map(|&n| n as i64).collect(),
                data_type: Some(kind),
                raw_data: Some(RefCell::new(bytes)),
                ..Default::default()
            });
        }
        name.to_string()
    }

    pub(super) fn node(&mut self, op: &str, inputs: &[&str]) -> String {
        self.node_with(op, inputs, Vec::new())
    }

    pub(super) fn node_with(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let name = format!("{}.{}", op.to_lowercase(), self.nodes.len());
        self.push(op, inputs, attribute, &name)
    }

    /// A node whose output has a name of its own.
    pub(super) fn named(&mut self, op: &str, inputs: &[&str], output: &str) -> String {
        self.push(op, inputs, Vec::new(), output)
    }

    fn push(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>, output: &str) -> String {
        self.nodes.push(NodeProto {
            name: Some(format!("{op}_{}", self.nodes.len())),
            op_type: Some(op.to_string()),
            input: inputs.iter().map(|name| name.to_string()).collect(),
            output: vec![output.to_string()],
            attribute,
            domain: None,
        });
        output.to_string()
    }

    /// The convolution whose parameters lie under `name`, bias where there is one, "same" padding.
    pub(super) fn conv(&mut self, x: &str, name: &str, stride: usize, groups: usize) -> Result<String> {
        let weight = self.weight(&format!("{name}.weight"))?;
        let kernel = self.tensor(&weight)?.dim(2)?;
        let bias = self.bias(name)?;
        Ok(self.conv_by(x, &weight, bias.as_deref(), (kernel, stride), groups))
    }

    /// The bias under `name`, where there is one.
    pub(super) fn bias(&mut self, name: &str) -> Result<Option<String>> {
        let bias = format!("{name}.bias");
        self.tensors.contains_key(&bias).then(|| self.weight(&bias)).transpose()
    }

    /// A convolution by weights that have been added.
    pub(super) fn conv_by(
        &mut self,
        x: &str,
        weight: &str,
        bias: Option<&str>,
        (kernel, stride): (usize, usize),
        groups: usize,
    ) -> String {
        let pad = (kernel / 2) as i64;
        let mut attributes = vec![
            ints("kernel_shape", &[kernel as i64; 2]),
            ints("strides", &[stride as i64; 2]),
            ints("pads", &[pad; 4]),
        ];
        if groups > 1 {
            attributes.push(int("group", groups as i64));
        }
        let inputs: Vec<&str> = [x, weight].into_iter().chain(bias).collect();
        self.node_with("Conv", &inputs, attributes)
    }

    /// The batch norm under `name`, by its running statistics.
    pub(super) fn batch_norm(&mut self, x: &str, name: &str) -> Result<String> {
        let parts = ["weight", "bias", "running_mean", "running_var"];
        let parts = parts.map(|part| self.weight(&format!("{name}.{part}")));
        let [scale, shift, mean, variance] = parts;
        let inputs = [x, &scale?, &shift?, &mean?, &variance?];
        Ok(self.node_with("BatchNormalization", &inputs, vec![float("epsilon", EPS)]))
    }

    pub(super) fn relu(&mut self, x: &str) -> String {
        self.node("Relu", &[x])
    }

    pub(super) fn sum(&mut self, a: &str, b: &str) -> String {
        self.node("Add", &[a, b])
    }

    pub(super) fn max_pool(&mut self, x: &str) -> String {
        self.node_with("MaxPool", &[x], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
    }

    pub(super) fn concat(&mut self, parts: &[&str]) -> String {
        self.node_with("Concat", parts, vec![int("axis", 1)])
    }

    /// Each map of `channels` to zero mean and unit variance.
    pub(super) fn instance_norm(&mut self, x: &str, channels: usize) -> String {
        let ones = self.constant(&format!("ones.{channels}"), &[channels], vec![1.0; channels]);
        let zeros = self.constant(&format!("zeros.{channels}"), &[channels], vec![0.0; channels]);
        self.node_with("InstanceNormalization", &[x, &ones, &zeros], vec![float("epsilon", EPS)])
    }

    /// Larger by a whole factor.
    pub(super) fn upsample(&mut self, x: &str, factor: usize, by: Upsampling) -> String {
        let f = factor as f32;
        let scales = self.constant(&format!("scales.{factor}"), &[4], vec![1.0, 1.0, f, f]);
        let how = match by {
            Upsampling::Bilinear => {
                vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")]
            }
            Upsampling::Nearest => {
                let asymmetric = text("coordinate_transformation_mode", "asymmetric");
                vec![text("mode", "nearest"), asymmetric, text("nearest_mode", "floor")]
            }
        };
        // The region of interest, which these modes do not have: since opset 13 it may be left out.
        let region = match self.opset {
            ..13 => self.constant("region", &[0], Vec::new()),
            _ => String::new(),
        };
        self.node_with("Resize", &[x, &region, &scales], how)
    }

    /// `op`, a reduction, over `axes`, which are kept with a side of 1. They are an input since opset 13 for sums, 18 for the others.
    pub(super) fn reduce(&mut self, op: &str, x: &str, axes: &[i64]) -> String {
        let keep = int("keepdims", 1);
        let as_input = if op == "ReduceSum" { 13 } else { 18 };
        if self.opset < as_input {
            return self.node_with(op, &[x], vec![ints("axes", axes), keep]);
        }
        let name = axes.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
        let axes = self.integers(&format!("axes.{name}"), axes);
        self.node_with(op, &[x, &axes], vec![keep])
    }

    /// Channel `index` alone.
    pub(super) fn channel(&mut self, x: &str, index: usize) -> String {
        let first = self.integers(&format!("index.{index}"), &[index as i64]);
        let last = self.integers(&format!("index.{}", index + 1), &[index as i64 + 1]);
        let axis = self.integers("axis.channel", &[1]);
        self.node("Slice", &[x, &first, &last, &axis])
    }

    /// 1 where `x` is above `threshold`, 0 elsewhere.
    pub(super) fn above(&mut self, x: &str, threshold: f32, name: &str) -> String {
        let threshold = self.constant(name, &[], vec![threshold]);
        let above = self.node("Greater", &[x, &threshold]);
        self.node_with("Cast", &[&above], vec![int("to", DataType::FLOAT.0.into())])
    }
}
