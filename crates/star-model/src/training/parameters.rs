//! The parameters of a network as a list, where each layer finds its own, and the list of their gradients.

use candle_core::{Result, Storage, Tensor, bail};

use super::Passes;
use super::memory::Floats;
use super::norm::{InputGradient, Norm, Sums};
use crate::layers::Conv2d;
use crate::norm::BatchNorm;

/// A convolution's place in the list, and its sizes.
#[derive(Clone, Copy)]
pub(super) struct ConvAt {
    pub(super) weight: usize,
    pub(super) bias: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

/// A batch norm's place in the list, and among the norms.
#[derive(Clone, Copy)]
pub(super) struct NormAt {
    pub(super) weight: usize,
    pub(super) bias: usize,
    pub(super) statistics: usize,
}

/// Writes down the parameters that it is shown.
#[derive(Default)]
pub(super) struct Collector<'a> {
    pub(super) tensors: Vec<Tensor>,
    pub(super) norms: Vec<&'a BatchNorm>,
}

impl<'a> Collector<'a> {
    fn pair(&mut self, [weight, bias]: [&Tensor; 2]) -> Result<[usize; 2]> {
        self.tensors.push(weight.contiguous()?);
        self.tensors.push(bias.contiguous()?);
        Ok([self.tensors.len() - 2, self.tensors.len() - 1])
    }

    pub(super) fn conv(&mut self, conv: &Conv2d) -> Result<ConvAt> {
        let (outputs, inputs, ..) = conv.parameters()[0].dims4()?;
        let [weight, bias] = self.pair(conv.parameters())?;
        Ok(ConvAt { weight, bias, inputs, outputs })
    }

    pub(super) fn norm(&mut self, norm: &'a BatchNorm) -> Result<NormAt> {
        let [weight, bias] = self.pair(norm.parameters())?;
        self.norms.push(norm);
        Ok(NormAt { weight, bias, statistics: self.norms.len() - 1 })
    }
}

/// Calls `f` with the values of `tensors`, all contiguous `f32` on the CPU.
pub(super) fn with_values<R>(tensors: &[Tensor], f: impl FnOnce(&[&[f32]]) -> Result<R>) -> Result<R> {
    let storages: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut values = Vec::with_capacity(storages.len());
    for (storage, layout) in &storages {
        match (&**storage, layout.contiguous_offsets()) {
            (Storage::Cpu(storage), Some((start, end))) => {
                values.push(&storage.as_slice::<f32>()?[start..end])
            }
            _ => bail!("training on the cpu: a parameter that is not a contiguous tensor on the cpu"),
        }
    }
    f(&values)
}

/// One gradient a parameter, in the order of the list.
pub(super) struct Gradients(pub(super) Vec<Option<Vec<f32>>>);

impl Gradients {
    pub(super) fn new(parameters: usize) -> Self {
        Self((0..parameters).map(|_| None).collect())
    }

    pub(super) fn conv(&mut self, at: ConvAt, (weight, bias): (Vec<f32>, Vec<f32>)) {
        self.0[at.weight] = Some(weight);
        self.0[at.bias] = Some(bias);
    }

    /// Of a convolution in front of a norm, which takes its bias away again.
    pub(super) fn unbiased(&mut self, at: ConvAt, weight: Vec<f32>) {
        self.conv(at, (weight, vec![0.0; at.outputs]));
    }

    /// The gradients of a norm, and what is left to do about its input.
    pub(super) fn norm(&mut self, passes: &Passes, at: NormAt, norm: &Norm, sums: &Sums) -> InputGradient {
        let (weight, bias, input) = norm.gradients(passes, sums);
        self.0[at.weight] = Some(weight);
        self.0[at.bias] = Some(bias);
        input
    }
}

/// A matrix `[rows, columns]` cut out of floats with rows of `stride`.
pub(super) fn cut(
    values: &Floats,
    stride: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) -> Vec<f32> {
    let lines = values.chunks_exact(stride).skip(rows.start).take(rows.len());
    let mut out = Vec::with_capacity(rows.len() * columns.len());
    lines.for_each(|line| out.extend_from_slice(&line[columns.clone()]));
    out
}
