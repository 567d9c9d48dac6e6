//! The hourglass's residual blocks as steps of a program.

use candle_core::Result;

use super::builder::{Builder, Sum, Value};
use super::fold::{Linear, scale_relu};
use super::program::Addend;
use crate::activation::Activation;
use crate::hourglass::residual::Residual;

/// What a block may do to its input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InputUse {
    /// Put its output there.
    Overwrite,
    /// Read it only: something else needs it later.
    Keep,
}

impl Builder {
    /// A residual block up to its third convolution, which the caller adds.
    pub(super) fn residual_body(&mut self, name: &str, block: &Residual, x: &Value) -> Result<Value> {
        let first = Linear::of(&block.conv1)?.then(&block.bn2)?;
        let mid = self.padded(x.height, x.width, first.outputs());
        let weights = (Some(scale_relu(&block.bn1, x.stride)?), first.pack(first.inputs, self.lanes));
        self.pointwise(
            format!("{name}.conv1"),
            vec![x.input(first.inputs)],
            weights,
            Addend::None,
            Activation::Relu,
            &mid,
        );
        let second = Linear::of(&block.conv2)?.then(&block.bn3)?;
        let out = self.conv3x3(format!("{name}.conv2"), &second, &mid, 1, Sum::Nothing, Activation::Relu);
        self.free(mid);
        Ok(out)
    }

    /// A residual block. Where the input may be overwritten and the widths agree, the output takes its place.
    pub(super) fn residual_of(
        &mut self,
        name: &str,
        block: &Residual,
        x: &Value,
        input: InputUse,
    ) -> Result<Option<Value>> {
        let mid = self.residual_body(name, block, x)?;
        let third = Linear::of(&block.conv3)?;
        let name = format!("{name}.conv3");
        let mut sources = vec![mid.input(third.inputs)];
        let out = if let Some(skip) = &block.skip {
            let skip = Linear::of(skip)?;
            let out = self.padded(x.height, x.width, third.outputs());
            sources.push(x.input(skip.inputs));
            let both = Linear::sum(&[&third, &skip]);
            self.pointwise(
                name,
                sources,
                (None, both.pack(both.inputs, self.lanes)),
                Addend::None,
                Activation::None,
                &out,
            );
            Some(out)
        } else if input == InputUse::Keep {
            let out = self.padded(x.height, x.width, third.outputs());
            let weights = (None, third.pack(third.inputs, self.lanes));
            self.pointwise(name, sources, weights, Addend::Slot(x.slot), Activation::None, &out);
            Some(out)
        } else {
            let weights = (None, third.pack(third.inputs, self.lanes));
            self.pointwise(name, sources, weights, Addend::InPlace, Activation::None, x);
            None
        };
        self.free(mid);
        Ok(out)
    }

    /// A residual block that takes `x`.
    pub(super) fn residual(
        &mut self,
        name: &str,
        block: &Residual,
        x: Value,
        input: InputUse,
    ) -> Result<Value> {
        match self.residual_of(name, block, &x, input)? {
            Some(out) => {
                self.free(x);
                Ok(out)
            }
            None => Ok(x),
        }
    }
}
