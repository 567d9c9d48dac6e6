//! Convolutions that are made of others: what passes write down, and the numbers that it comes to, worked out once for each step.

use std::rc::Rc;

use candle_core::{DType, Device, Result, Tensor};

use super::kernels::pixels::Bytes;
use super::memory::{Buffer, aligned};
use super::ops::panels::Panels;
use crate::layers::Conv2d;
use crate::norm::{BatchNorm, EPS};

/// A convolution, `[outputs, inputs, kernel, kernel]` and one bias an output, not yet worked out: passes look at sizes alone, and the
/// weights of a whole network as numbers would be three times its memory.
#[derive(Clone)]
pub(super) struct Linear<'a> {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    how: Rc<How<'a>>,
}

/// What it is made of.
enum How<'a> {
    Conv(&'a Conv2d),
    /// `scale x` a channel.
    Diagonal(Vec<f64>),
    /// `scale y + shift` a channel of a convolution's `y`.
    Then(Linear<'a>, Vec<f64>, Vec<f64>),
    /// A 1x1 convolution of another's output.
    After(Linear<'a>, Linear<'a>),
    /// 1x1 convolutions of inputs side by side, added up.
    Sum(Vec<Linear<'a>>),
    /// 1x1 convolutions of one input, their outputs side by side, each padded with zeros to a number of them.
    Stack(Vec<(Linear<'a>, usize)>),
    /// Convolutions of one input, added up.
    Plus(Vec<Linear<'a>>),
    /// Some of a convolution's inputs, so many behind as many zeros; no bias.
    Columns {
        of: Linear<'a>,
        first: usize,
        last: usize,
        before: usize,
    },
    /// A convolution with the bias of another besides its own.
    Biased(Linear<'a>, Linear<'a>),
}

/// A convolution as numbers.
pub(super) struct Numbers {
    pub(super) weights: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) inputs: usize,
    pub(super) kernel: usize,
}

impl<'a> Linear<'a> {
    fn new(inputs: usize, outputs: usize, kernel: usize, how: How<'a>) -> Self {
        Self { inputs, outputs, kernel, how: Rc::new(how) }
    }

    pub(super) fn of(conv: &'a Conv2d) -> Result<Self> {
        let (outputs, inputs, kernel, _) = conv.parameters()[0].dims4()?;
        Ok(Self::new(inputs, outputs, kernel, How::Conv(conv)))
    }

    /// `scale x` a channel, as a 1x1 convolution.
    pub(super) fn diagonal(scale: &[f64]) -> Self {
        Self::new(scale.len(), scale.len(), 1, How::Diagonal(scale.to_vec()))
    }

    /// This convolution, then `scale x + shift` a channel.
    pub(super) fn then(self, scale: &[f64], shift: &[f64]) -> Self {
        let Self { inputs, outputs, kernel, .. } = self;
        Self::new(inputs, outputs, kernel, How::Then(self, scale.to_vec(), shift.to_vec()))
    }

    /// This 1x1 convolution on another's output: `self(first(x))` as one convolution of `x`.
    pub(super) fn after(&self, first: &Self) -> Self {
        Self::new(first.inputs, self.outputs, first.kernel, How::After(self.clone(), first.clone()))
    }

    /// 1x1 convolutions of several inputs, added up: one whose inputs are theirs side by side.
    pub(super) fn sum(parts: Vec<Self>) -> Self {
        let inputs = parts.iter().map(|part| part.inputs).sum();
        let outputs = parts.first().map_or(0, |part| part.outputs);
        Self::new(inputs, outputs, 1, How::Sum(parts))
    }

    /// 1x1 convolutions of one input, their outputs side by side, each set padded with zeros to the given number.
    pub(super) fn stack(parts: Vec<(Self, usize)>) -> Self {
        let inputs = parts.first().map_or(0, |(part, _)| part.inputs);
        let outputs = parts.iter().map(|(_, outputs)| outputs).sum();
        Self::new(inputs, outputs, 1, How::Stack(parts))
    }

    /// Convolutions of one input, added up.
    pub(super) fn plus(parts: Vec<Self>) -> Self {
        let (inputs, outputs) = parts.first().map_or((0, 0), |part| (part.inputs, part.outputs));
        Self::new(inputs, outputs, 1, How::Plus(parts))
    }

    /// The inputs `columns` only, without bias.
    pub(super) fn inputs(&self, columns: std::ops::Range<usize>) -> Self {
        self.placed(columns.clone(), 0, columns.len())
    }

    /// The inputs `columns` only, from `before` on among `inputs` of which the others are not read, without bias.
    pub(super) fn placed(&self, columns: std::ops::Range<usize>, before: usize, inputs: usize) -> Self {
        let how = How::Columns { of: self.clone(), first: columns.start, last: columns.end, before };
        Self::new(inputs, self.outputs, self.kernel, how)
    }

    /// With the bias of `other` besides its own.
    pub(super) fn biased(self, other: &Self) -> Self {
        let Self { inputs, outputs, kernel, .. } = self;
        Self::new(inputs, outputs, kernel, How::Biased(self, other.clone()))
    }

    /// Everything worked out.
    pub(super) fn numbers(&self) -> Result<Numbers> {
        let (weights, bias) = (self.weights()?, self.bias()?);
        Ok(Numbers { weights, bias, inputs: self.inputs, kernel: self.kernel })
    }

    /// Weights of one output.
    fn row(&self) -> usize {
        (self.inputs * self.kernel * self.kernel).max(1)
    }

    fn weights(&self) -> Result<Vec<f64>> {
        Ok(match &*self.how {
            How::Conv(conv) => values(conv.parameters()[0])?,
            How::Diagonal(scale) => {
                let n = scale.len();
                let mut weights = vec![0.0; n * n];
                scale.iter().enumerate().for_each(|(i, &scale)| weights[i * n + i] = scale);
                weights
            }
            How::Then(conv, scale, _) => {
                let mut weights = conv.weights()?;
                for (row, scale) in weights.chunks_exact_mut(self.row()).zip(scale) {
                    row.iter_mut().for_each(|weight| *weight *= scale);
                }
                weights
            }
            How::After(second, first) => {
                let (outer, inner) = (second.weights()?, first.weights()?);
                let mut weights = vec![0.0; self.outputs * self.row()];
                for (out, line) in
                    weights.chunks_exact_mut(self.row()).zip(outer.chunks_exact(second.inputs.max(1)))
                {
                    for (factor, from) in line.iter().zip(inner.chunks_exact(self.row())) {
                        out.iter_mut().zip(from).for_each(|(out, from)| *out += factor * from);
                    }
                }
                weights
            }
            How::Sum(parts) => {
                let all = parts.iter().map(Self::weights).collect::<Result<Vec<_>>>()?;
                let mut weights = Vec::with_capacity(self.outputs * self.inputs);
                for out in 0..self.outputs {
                    for (part, values) in parts.iter().zip(&all) {
                        weights.extend_from_slice(&values[out * part.inputs..(out + 1) * part.inputs]);
                    }
                }
                weights
            }
            How::Stack(parts) => {
                let mut weights = Vec::with_capacity(self.outputs * self.inputs);
                for (part, outputs) in parts {
                    weights.extend(part.weights()?);
                    weights.resize(weights.len() + (outputs - part.outputs) * self.inputs, 0.0);
                }
                weights
            }
            How::Plus(parts) => added(parts.iter().map(Self::weights))?,
            How::Columns { of, first, last, before } => {
                let area = self.kernel * self.kernel;
                let mut weights = vec![0.0; self.outputs * self.inputs * area];
                let rows = of.weights()?;
                for (to, row) in weights.chunks_exact_mut(self.row()).zip(rows.chunks_exact(of.row())) {
                    let columns = &row[first * area..last * area];
                    to[before * area..][..columns.len()].copy_from_slice(columns);
                }
                weights
            }
            How::Biased(conv, _) => conv.weights()?,
        })
    }

    fn bias(&self) -> Result<Vec<f64>> {
        Ok(match &*self.how {
            How::Conv(conv) => values(conv.parameters()[1])?,
            How::Diagonal(_) | How::Columns { .. } => vec![0.0; self.outputs],
            How::Then(conv, scale, shift) => {
                let bias = conv.bias()?.into_iter().zip(scale).zip(shift);
                bias.map(|((bias, scale), shift)| bias * scale + shift).collect()
            }
            How::After(second, first) => {
                let (outer, offsets) = (second.weights()?, first.bias()?);
                let mut bias = second.bias()?;
                for (bias, line) in bias.iter_mut().zip(outer.chunks_exact(second.inputs.max(1))) {
                    *bias += line.iter().zip(&offsets).map(|(factor, offset)| factor * offset).sum::<f64>();
                }
                bias
            }
            How::Sum(parts) | How::Plus(parts) => added(parts.iter().map(Self::bias))?,
            How::Stack(parts) => {
                let mut all = Vec::with_capacity(self.outputs);
                for (part, outputs) in parts {
                    all.extend(part.bias()?);
                    all.resize(all.len() + outputs - part.outputs, 0.0);
                }
                all
            }
            How::Biased(conv, other) => added([conv.bias(), other.bias()].into_iter())?,
        })
    }
}

/// The sum of lists of one length.
fn added(lists: impl Iterator<Item = Result<Vec<f64>>>) -> Result<Vec<f64>> {
    let mut all: Vec<f64> = Vec::new();
    for list in lists {
        let list = list?;
        all.resize(list.len(), 0.0);
        all.iter_mut().zip(list).for_each(|(sum, value)| *sum += value);
    }
    Ok(all)
}

impl Numbers {
    fn rows(&self) -> std::slice::ChunksExact<'_, f64> {
        self.weights.chunks_exact((self.inputs * self.kernel * self.kernel).max(1))
    }

    /// Packed with the inputs of each tap side by side: `[ky, kx, inputs]`, `inputs` padded with zeros to `padded`.
    pub(super) fn pack(&self, padded: usize, lanes: usize) -> Panels {
        let area = self.kernel * self.kernel;
        let mut weights = vec![0.0; self.bias.len() * area * padded];
        for (to, row) in weights.chunks_exact_mut((area * padded).max(1)).zip(self.rows()) {
            for (input, taps) in row.chunks_exact(area).enumerate() {
                for (tap, &weight) in taps.iter().enumerate() {
                    to[tap * padded + input] = weight as f32;
                }
            }
        }
        Panels::pack(&weights, &self.bias(), area * padded, lanes)
    }

    /// A 1x1 convolution packed in pairs of numbers in bf16: the inputs of each source, so many in so many pairs, by themselves.
    pub(super) fn pack_bf16(&self, sources: &[[usize; 2]], lanes: usize) -> Panels {
        let weight = |output: usize, input: usize| self.weights[output * self.inputs + input] as f32;
        Panels::pairs(&self.bias(), sources, lanes, weight)
    }

    /// Packed in pairs of numbers in bf16, the inputs of each tap side by side: `[ky, kx, inputs]`, `inputs` padded with zeros to `padded`.
    pub(super) fn pack_direct(&self, padded: usize, lanes: usize) -> Panels {
        let area = self.kernel * self.kernel;
        Panels::pairs(&self.bias(), &vec![[padded, padded.div_ceil(2)]; area], lanes, |output, k| {
            let (tap, input) = (k / padded, k % padded);
            self.tap(output, input, tap)
        })
    }

    /// Packed in pairs of numbers in bf16, a window's rows `[ky, line]` of `[kx, inputs]` values each, filled up with zeros.
    pub(super) fn pack_rows(&self, line: usize, lanes: usize) -> Panels {
        Panels::pairs(&self.bias(), &vec![[line, line / 2]; self.kernel], lanes, |output, k| {
            let (ky, at) = (k / line, k % line);
            let (kx, input) = (at / self.inputs, at % self.inputs);
            if kx < self.kernel { self.tap(output, input, ky * self.kernel + kx) } else { 0.0 }
        })
    }

    /// The weight of an input at a tap; 0 for an input beyond the last.
    fn tap(&self, output: usize, input: usize, tap: usize) -> f32 {
        let area = self.kernel * self.kernel;
        if input < self.inputs {
            self.weights[(output * self.inputs + input) * area + tap] as f32
        } else {
            0.0
        }
    }

    /// A 1x1 convolution packed in fours of bytes: the inputs of each source, so many and made bytes in this way, by themselves. An output's
    /// largest weight, times the step of the source that it reads, is 127.
    pub(super) fn pack_int8(&self, sources: &[(usize, Bytes)], lanes: usize) -> Panels {
        let inputs: Vec<Bytes> =
            sources.iter().flat_map(|&(len, bytes)| std::iter::repeat_n(bytes, len)).collect();
        let mut places = Vec::new();
        let mut first = 0;
        for &(len, _) in sources {
            places.extend((0..len.div_ceil(4)).map(|i| (first + 4 * i)..(first + len.min(4 * i + 4))));
            first += len;
        }
        let mut scales = Vec::with_capacity(self.bias.len());
        let mut biases = Vec::with_capacity(self.bias.len());
        let mut rows = Vec::with_capacity(self.bias.len());
        for (row, &bias) in self.rows().zip(&self.bias) {
            let steps: Vec<f64> =
                row.iter().zip(&inputs).map(|(weight, bytes)| weight / f64::from(bytes.inverse)).collect();
            let most = steps.iter().fold(0.0f64, |most, step| most.max(step.abs()));
            let scale = if most > 0.0 { most / 127.0 } else { 1.0 };
            let whole: Vec<i8> = steps.iter().map(|step| (step / scale).round() as i8).collect();
            // What zeros of the sources add.
            let zeros: f64 =
                whole.iter().zip(&inputs).map(|(&w, bytes)| f64::from(w) * f64::from(bytes.zero)).sum();
            scales.push(scale as f32);
            biases.push((bias - scale * zeros) as f32);
            rows.push(whole);
        }
        let panels = Panels::gathered(&biases, places.len(), lanes, |output, k| {
            let mut four = [0u8; 4];
            for (to, input) in four.iter_mut().zip(places[k].clone()) {
                *to = rows[output][input].cast_unsigned();
            }
            f32::from_bits(u32::from_le_bytes(four))
        });
        panels.scaled(&scales)
    }

    /// A convolution of each channel by itself: `[kernel, kernel, channels]`, then the biases, `channels` padded with zeros to `padded`.
    pub(super) fn pack_depthwise(&self, padded: usize) -> Buffer {
        let area = self.kernel * self.kernel;
        let mut taps = vec![0.0; (area + 1) * padded];
        for (c, (row, &bias)) in self.rows().zip(&self.bias).enumerate() {
            row.iter()
                .chain([&bias])
                .enumerate()
                .for_each(|(tap, &value)| taps[tap * padded + c] = value as f32);
        }
        aligned(&taps)
    }

    /// Packed for Winograd's F(4x4, 3x3).
    pub(super) fn pack_winograd(&self, padded: usize, lanes: usize, bf16: bool) -> Panels {
        let weights: Vec<f32> = self.weights.iter().map(|&weight| weight as f32).collect();
        Panels::winograd(&weights, &self.bias(), self.inputs, padded, lanes, bf16)
    }

    fn bias(&self) -> Vec<f32> {
        self.bias.iter().map(|&bias| bias as f32).collect()
    }
}

/// What a batch norm on its running statistics multiplies by and adds.
pub(super) fn scale_shift(norm: &BatchNorm) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mean, variance) = (values(norm.running_mean.as_tensor())?, values(norm.running_var.as_tensor())?);
    let scale: Vec<f64> = values(&norm.weight)?
        .iter()
        .zip(&variance)
        .map(|(weight, variance)| weight / (variance + EPS).sqrt())
        .collect();
    let shift = values(&norm.bias)?
        .into_iter()
        .zip(&mean)
        .zip(&scale)
        .map(|((bias, mean), scale)| bias - mean * scale);
    let shift = shift.collect();
    Ok((scale, shift))
}

/// All values of a tensor, wherever it lives.
fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}
