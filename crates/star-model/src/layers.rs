//! Convolution: the brick that every network here is built of.

use candle_core::{Result, Tensor};
use candle_nn::Init;

use crate::builder::Builder;

/// A convolution with bias, square kernel and "same" padding of `kernel / 2`.
pub(crate) struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// `[B, input, H, W] -> [B, output, H / stride, W / stride]`, drawn like PyTorch's default where `vb` is fresh.
    pub(crate) fn new(
        input: usize,
        output: usize,
        kernel: usize,
        stride: usize,
        vb: Builder,
    ) -> Result<Self> {
        let bias = vb.get_with_hints(output, "bias", uniform(input, kernel))?;
        Self::with(bias, input, kernel, stride, vb)
    }

    /// [`Conv2d::new`] without a bias parameter: for a convolution with a batch norm behind it.
    pub(crate) fn without_bias(
        input: usize,
        output: usize,
        kernel: usize,
        stride: usize,
        vb: Builder,
    ) -> Result<Self> {
        let bias = Tensor::zeros(output, vb.dtype(), vb.device())?;
        Self::with(bias, input, kernel, stride, vb)
    }

    fn with(bias: Tensor, input: usize, kernel: usize, stride: usize, vb: Builder) -> Result<Self> {
        let shape = (bias.dim(0)?, input, kernel, kernel);
        let weight = vb.get_with_hints(shape, "weight", uniform(input, kernel))?;
        Ok(Self { weight, bias, stride, padding: kernel / 2 })
    }

    /// In the type of `x`, whatever that of the parameters.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.to_dtype(x.dtype())?, self.bias.to_dtype(x.dtype())?);
        let y = x.conv2d(&weight, self.padding, self.stride, 1, 1)?;
        y.broadcast_add(&bias.reshape((1, bias.dim(0)?, 1, 1))?)
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }
}

/// Uniform in +-1/sqrt(fan in), weights and biases alike: PyTorch's default for convolutions.
fn uniform(input: usize, kernel: usize) -> Init {
    let bound = 1.0 / ((input * kernel * kernel) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::Parameters;
    use crate::gradient_check::{check_gradients, noise};

    /// `(input, output, kernel, stride, height, width, batch)`: each kind that the networks use, odd sizes too.
    const SHAPES: [(usize, usize, usize, usize, usize, usize, usize); 6] = [
        (3, 4, 1, 1, 5, 6, 2),
        (2, 3, 3, 1, 5, 4, 3),
        (2, 3, 3, 2, 6, 6, 1),
        (3, 2, 7, 2, 8, 10, 2),
        (2, 2, 3, 1, 1, 2, 11),
        (1, 2, 7, 1, 3, 2, 1),
    ];

    #[test]
    fn gradients_agree_with_central_differences() {
        for (input, output, kernel, stride, h, w, batch) in SHAPES {
            let parameters = Parameters::new(4);
            let vb = parameters.var_builder(DType::F64, &Device::Cpu).into();
            let conv = Conv2d::new(input, output, kernel, stride, vb).unwrap();
            let x = Var::from_tensor(&noise(&[batch, input, h, w], 8)).unwrap();
            let vars = [x.clone(), parameters.get("weight").unwrap(), parameters.get("bias").unwrap()];
            check_gradients(&vars, || conv.forward(&x));
        }
    }
}
