//! Sizes of a block, and its parameters in one vector.

use candle_core::{Result, Shape, bail};

/// Sizes of a block on a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sizes {
    pub(crate) n: usize,
    pub(crate) input: usize,
    pub(crate) half: usize,
    pub(crate) output: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    /// Whether the identity goes through a 1x1 convolution.
    pub(crate) skip: bool,
}

/// Scale and shift of a batch norm.
pub(super) struct Affine<'a, T> {
    pub(super) weight: &'a [T],
    pub(super) bias: &'a [T],
}

/// Weight and bias of a convolution.
pub(super) struct Conv<'a, T> {
    pub(super) weight: &'a [T],
    pub(super) bias: &'a [T],
}

/// The parameters of a block.
pub(super) struct Parts<'a, T> {
    pub(super) norms: [Affine<'a, T>; 3],
    pub(super) convs: [Conv<'a, T>; 3],
    pub(super) skip: Option<Conv<'a, T>>,
}

impl Sizes {
    pub(super) fn pixels(&self) -> usize {
        self.h * self.w
    }

    /// Lengths of the parameters in order: weight and bias of norm and convolution, three times, then those of the skip.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        let (i, m, o) = (self.input, self.half, self.output);
        let mut lengths = vec![i, i, m * i, m, m, m, 9 * m * m, m, m, m, o * m, o];
        if self.skip {
            lengths.extend([o * i, o]);
        }
        lengths
    }

    pub(super) fn output_shape(&self) -> Shape {
        (self.n, self.output, self.h, self.w).into()
    }

    pub(super) fn check(&self, x: &Shape, parameters: &Shape) -> Result<()> {
        if x.dims() != [self.n, self.input, self.h, self.w] {
            bail!("residual: x: expected {:?}, got {x:?}", [self.n, self.input, self.h, self.w])
        }
        let total: usize = self.lengths().iter().sum();
        if parameters.dims() != [total] {
            bail!("residual: parameters: expected [{total}], got {parameters:?}")
        }
        Ok(())
    }

    /// Cuts the vector up; its length has been checked.
    pub(super) fn parts<'a, T>(&self, all: &'a [T]) -> Parts<'a, T> {
        let mut rest = all;
        let mut next = |length: usize| {
            let (part, tail) = rest.split_at(length);
            rest = tail;
            part
        };
        let lengths = self.lengths();
        let pieces: Vec<&'a [T]> = lengths.iter().map(|&length| next(length)).collect();
        let norm = |i: usize| Affine { weight: pieces[4 * i], bias: pieces[4 * i + 1] };
        let conv = |i: usize| Conv { weight: pieces[i], bias: pieces[i + 1] };
        Parts {
            norms: [norm(0), norm(1), norm(2)],
            convs: [conv(2), conv(6), conv(10)],
            skip: self.skip.then(|| conv(12)),
        }
    }
}
