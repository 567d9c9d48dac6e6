//! Convolution: the brick that every network here is built of.

use candle_core::{Result, Tensor};
use candle_nn::Init;

use crate::builder::Builder;
use crate::cpu::{conv::Conv2dOp, slices_supported};

/// A convolution with bias, square kernel and "same" padding of `kernel / 2`.
pub(crate) struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    op: Conv2dOp,
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
        Ok(Self { weight, bias, op: Conv2dOp { stride, padding: kernel / 2 } })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if slices_supported(x) {
            // Loaded weights may be views into a file's strides; the kernel wants them dense.
            x.contiguous()?.apply_op3(&self.weight.contiguous()?, &self.bias.contiguous()?, self.op)
        } else {
            self.forward_composed(x)
        }
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    /// In the type of `x`, whatever that of the parameters.
    fn forward_composed(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.to_dtype(x.dtype())?, self.bias.to_dtype(x.dtype())?);
        let y = x.conv2d(&weight, self.op.padding, self.op.stride, 1, 1)?;
        y.broadcast_add(&bias.reshape((1, bias.dim(0)?, 1, 1))?)
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
    use crate::gradient_check::{assert_close, check_gradients, noise};

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
    fn the_kernel_agrees_with_candles_convolution() {
        for (input, output, kernel, stride, h, w, batch) in SHAPES {
            let conv = Conv2d::new(
                input,
                output,
                kernel,
                stride,
                Parameters::new(3).var_builder(DType::F64, &Device::Cpu).into(),
            );
            let conv = conv.unwrap();
            let x = noise(&[batch, input, h, w], 7);
            assert_close(&conv.forward(&x).unwrap(), &conv.forward_composed(&x).unwrap(), 1e-12);
        }
    }

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

    #[test]
    fn strips_of_a_large_image_join_without_a_seam() {
        // 40 channels x 9 taps x 64 columns is more than one strip of the unfolded image holds
        let vb = Parameters::new(5).var_builder(DType::F64, &Device::Cpu).into();
        let conv = Conv2d::new(40, 2, 3, 1, vb).unwrap();
        let x = noise(&[1, 40, 48, 64], 6);
        assert_close(&conv.forward(&x).unwrap(), &conv.forward_composed(&x).unwrap(), 1e-12);
    }
}
