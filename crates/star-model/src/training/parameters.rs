//! The parameters of a network as a list, where each layer finds its own, and the list of their gradients.

use candle_core::{Result, Storage, Tensor, bail};

use super::Passes;
use super::memory::Floats;
use super::norm::{InputGradient, Norm, Sums};

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
    pub(super) channels: usize,
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

    pub(super) fn bias(&mut self, at: ConvAt, bias: Vec<f32>) {
        self.0[at.bias] = Some(bias);
    }

    /// Of the weights of a 1x1 convolution for its inputs `from` on: `[outputs, some]`.
    pub(super) fn columns(&mut self, at: ConvAt, from: usize, some: Vec<f32>) {
        let len = some.len() / at.outputs;
        if len == at.inputs {
            self.0[at.weight] = Some(some);
            return;
        }
        let all = self.0[at.weight].get_or_insert_with(|| vec![0.0; at.outputs * at.inputs]);
        for (row, some) in all.chunks_exact_mut(at.inputs).zip(some.chunks_exact(len)) {
            row[from..from + len].copy_from_slice(some);
        }
    }

    /// The gradients of a norm, and what is left to do about its input.
    pub(super) fn norm(&mut self, passes: &Passes, at: NormAt, norm: &Norm, sums: &Sums) -> InputGradient {
        let (mut weight, mut bias, input) = norm.gradients(passes, sums);
        // Behind the channels lie those that fill the last register.
        weight.truncate(at.channels);
        bias.truncate(at.channels);
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
