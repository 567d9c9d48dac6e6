//! Convolutions and batch norms as plain numbers, joined wherever one linear map follows another.

use candle_core::{DType, Device, Result, Tensor};

use super::kernels::pixels::pair;
use super::ops::panels::Panels;
use crate::layers::Conv2d;
use crate::norm::{BatchNorm, EPS};

/// A convolution: weights `[outputs, inputs, kernel, kernel]` and one bias an output.
#[derive(Clone)]
pub(super) struct Linear {
    pub(super) weights: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) inputs: usize,
    pub(super) kernel: usize,
}

impl Linear {
    pub(super) fn of(conv: &Conv2d) -> Result<Self> {
        let [weight, bias] = conv.parameters();
        let (_, inputs, kernel, _) = weight.dims4()?;
        Ok(Self { weights: values(weight)?, bias: values(bias)?, inputs, kernel })
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Weights of one output.
    fn row(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// `scale x` a channel, as a 1x1 convolution.
    pub(super) fn diagonal(scale: &[f64]) -> Self {
        let n = scale.len();
        let mut weights = vec![0.0; n * n];
        scale.iter().enumerate().for_each(|(i, &scale)| weights[i * n + i] = scale);
        Self { weights, bias: vec![0.0; n], inputs: n, kernel: 1 }
    }

    /// This convolution, then `scale x + shift` a channel.
    pub(super) fn then(&self, scale: &[f64], shift: &[f64]) -> Self {
        let (mut out, row) = (self.clone(), self.row().max(1));
        for ((weights, bias), (scale, shift)) in
            out.weights.chunks_exact_mut(row).zip(&mut out.bias).zip(scale.iter().zip(shift))
        {
            weights.iter_mut().for_each(|weight| *weight *= scale);
            *bias = *bias * scale + shift;
        }
        out
    }

    /// This 1x1 convolution on another's output: `self(first(x))` as one convolution of `x`.
    pub(super) fn after(&self, first: &Self) -> Self {
        let row = first.row().max(1);
        let mut weights = vec![0.0; self.outputs() * row];
        let mut bias = self.bias.clone();
        for ((out, bias), line) in
            weights.chunks_exact_mut(row).zip(&mut bias).zip(self.weights.chunks_exact(self.inputs.max(1)))
        {
            for ((factor, from), offset) in line.iter().zip(first.weights.chunks_exact(row)).zip(&first.bias)
            {
                out.iter_mut().zip(from).for_each(|(out, from)| *out += factor * from);
                *bias += factor * offset;
            }
        }
        Self { weights, bias, inputs: first.inputs, kernel: first.kernel }
    }

    /// 1x1 convolutions of several inputs, added up: one whose inputs are theirs side by side.
    pub(super) fn sum(parts: &[&Self]) -> Self {
        let inputs = parts.iter().map(|part| part.inputs).sum();
        let outputs = parts.first().map_or(0, |part| part.outputs());
        let mut weights = Vec::with_capacity(inputs * outputs);
        for out in 0..outputs {
            for part in parts {
                weights.extend_from_slice(&part.weights[out * part.inputs..(out + 1) * part.inputs]);
            }
        }
        let bias = (0..outputs).map(|out| parts.iter().map(|part| part.bias[out]).sum()).collect();
        Self { weights, bias, inputs, kernel: 1 }
    }

    /// 1x1 convolutions of one input, their outputs side by side, each set padded with zeros to the given number.
    pub(super) fn stack(parts: &[(&Self, usize)]) -> Self {
        let inputs = parts.first().map_or(0, |(part, _)| part.inputs);
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for (part, outputs) in parts {
            weights.extend_from_slice(&part.weights);
            weights.resize(weights.len() + (outputs - part.outputs()) * inputs, 0.0);
            bias.extend_from_slice(&part.bias);
            bias.resize(bias.len() + outputs - part.outputs(), 0.0);
        }
        Self { weights, bias, inputs, kernel: 1 }
    }

    /// The inputs from `first` to `last` only, without bias, and zero inputs behind them up to `padded`.
    pub(super) fn inputs(&self, first: usize, last: usize, padded: usize) -> Self {
        let area = self.kernel * self.kernel;
        let mut weights = Vec::with_capacity(self.outputs() * padded * area);
        for row in self.weights.chunks_exact(self.row().max(1)) {
            weights.extend_from_slice(&row[first * area..last * area]);
            weights.resize(weights.len() + (padded - (last - first)) * area, 0.0);
        }
        Self { weights, bias: vec![0.0; self.outputs()], inputs: padded, kernel: self.kernel }
    }

    /// Packed with the inputs of each tap side by side: `[ky, kx, inputs]`, `inputs` padded with zeros to `padded`.
    pub(super) fn pack(&self, padded: usize, lanes: usize) -> Panels {
        let area = self.kernel * self.kernel;
        let mut weights = vec![0.0; self.outputs() * area * padded];
        for (to, row) in
            weights.chunks_exact_mut((area * padded).max(1)).zip(self.weights.chunks_exact(self.row().max(1)))
        {
            for (input, taps) in row.chunks_exact(area).enumerate() {
                for (tap, &weight) in taps.iter().enumerate() {
                    to[tap * padded + input] = weight as f32;
                }
            }
        }
        Panels::pack(&weights, &self.bias(), area * padded, lanes)
    }

    /// A 1x1 convolution packed in pairs of numbers in bf16: the inputs of each source, so many, by themselves.
    pub(super) fn pack_bf16(&self, sources: &[usize], lanes: usize) -> Panels {
        let mut places = Vec::new();
        let mut first = 0;
        for &len in sources {
            places.extend((0..len.div_ceil(2)).map(|i| (first + 2 * i, 2 * i + 1 < len)));
            first += len;
        }
        Panels::gathered(&self.bias(), places.len(), lanes, |output, k| {
            let (input, both) = places[k];
            let weight = |input: usize| self.weights[output * self.inputs + input] as f32;
            pair(weight(input), if both { weight(input + 1) } else { 0.0 })
        })
    }

    /// Packed for Winograd's F(4x4, 3x3).
    pub(super) fn pack_winograd(&self, padded: usize, lanes: usize) -> Panels {
        let weights: Vec<f32> = self.weights.iter().map(|&weight| weight as f32).collect();
        Panels::winograd(&weights, &self.bias(), self.inputs, padded, lanes)
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
