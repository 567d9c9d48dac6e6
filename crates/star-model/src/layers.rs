//! Convolution: the brick that every network here is built of.

use candle_core::{Result, Tensor, bail};
use candle_nn::Init;

use crate::builder::Builder;

/// A convolution with bias, square kernel and "same" padding of `kernel / 2`.
pub(crate) struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: usize,
    depthwise: bool,
    /// Whether the bias is a parameter; otherwise it is zeros.
    #[cfg_attr(not(feature = "cudnn"), expect(dead_code, reason = "zeros are added on other devices"))]
    has_bias: bool,
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
        Self::with(bias, true, input, kernel, stride, vb)
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
        Self::with(bias, false, input, kernel, stride, vb)
    }

    fn with(
        bias: Tensor,
        has_bias: bool,
        input: usize,
        kernel: usize,
        stride: usize,
        vb: Builder,
    ) -> Result<Self> {
        let shape = (bias.dim(0)?, input, kernel, kernel);
        let weight = vb.get_with_hints(shape, "weight", uniform(input, kernel))?;
        Ok(Self { weight, bias, stride, padding: kernel / 2, depthwise: false, has_bias })
    }

    /// A convolution of each of `channels` by itself, without a bias parameter; sides that `stride` divides.
    pub(crate) fn depthwise(channels: usize, kernel: usize, stride: usize, vb: Builder) -> Result<Self> {
        let bias = Tensor::zeros(channels, vb.dtype(), vb.device())?;
        let weight = vb.get_with_hints((channels, 1, kernel, kernel), "weight", uniform(1, kernel))?;
        Ok(Self { weight, bias, stride, padding: kernel / 2, depthwise: true, has_bias: false })
    }

    /// In the type of `x`, whatever that of the parameters.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.to_dtype(x.dtype())?, self.bias.to_dtype(x.dtype())?);
        #[cfg(feature = "cudnn")]
        if x.device().is_cuda() {
            return crate::cuda::conv::conv2d(x, &weight, &bias, self.on_card()?);
        }
        if self.depthwise {
            return self.by_channels(x, &weight);
        }
        let y = x.conv2d(&weight, self.padding, self.stride, 1, 1)?;
        y.broadcast_add(&bias.reshape((1, bias.dim(0)?, 1, 1))?)
    }

    /// Tap by tap: candle would convolve by as many convolutions as there are channels.
    fn by_channels(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        let kernel = weight.dim(3)?;
        let padded =
            x.pad_with_zeros(2, self.padding, self.padding)?.pad_with_zeros(3, self.padding, self.padding)?;
        let mut sum: Option<Tensor> = None;
        for tap in 0..kernel * kernel {
            let (ky, kx) = (tap / kernel, tap % kernel);
            let shifted = every(&padded.narrow(2, ky, height)?, 2, self.stride)?;
            let shifted = every(&shifted.narrow(3, kx, width)?, 3, self.stride)?;
            let by = weight.narrow(2, ky, 1)?.narrow(3, kx, 1)?.reshape((1, channels, 1, 1))?;
            let product = shifted.broadcast_mul(&by)?;
            sum = Some(match sum {
                Some(sum) => (sum + product)?,
                None => product,
            });
        }
        sum.map_or_else(|| bail!("a convolution without a window"), Ok)
    }

    /// The op on a card.
    #[cfg(feature = "cudnn")]
    pub(crate) fn on_card(&self) -> Result<crate::cuda::conv::Conv> {
        let groups = if self.depthwise { self.weight.dim(0)? } else { 1 };
        Ok(crate::cuda::conv::Conv {
            stride: self.stride,
            padding: self.padding,
            groups,
            biased: self.has_bias,
        })
    }

    /// Weight and bias outside candle's graph, in the type of the activations.
    #[cfg(feature = "cudnn")]
    pub(crate) fn parameters_in(&self, dtype: candle_core::DType) -> Result<[Tensor; 2]> {
        let part = |tensor: &Tensor| tensor.detach().to_dtype(dtype)?.contiguous();
        Ok([part(&self.weight)?, part(&self.bias)?])
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }
}

/// Of the values along `dim`, whose number `stride` divides, the first of each `stride`.
fn every(x: &Tensor, dim: usize, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(x.clone());
    }
    let mut split = x.dims().to_vec();
    split[dim] /= stride;
    split.insert(dim + 1, stride);
    x.contiguous()?.reshape(split)?.narrow(dim + 1, 0, 1)?.squeeze(dim + 1)
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

    #[test]
    fn channels_convolved_by_themselves_are_those_of_convolutions_of_one_channel_each() {
        for (channels, kernel, stride, side) in [(3, 3, 1, 5), (2, 5, 2, 6), (1, 3, 2, 4)] {
            let parameters = Parameters::new(4);
            let vb = parameters.var_builder(DType::F64, &Device::Cpu).into();
            let conv = Conv2d::depthwise(channels, kernel, stride, vb).unwrap();
            let x = Var::from_tensor(&noise(&[2, channels, side, side], 8)).unwrap();
            let weight = parameters.get("weight").unwrap();
            let y = conv.forward(&x).unwrap();
            let wanted = x.conv2d(&weight, kernel / 2, stride, 1, channels).unwrap();
            assert_eq!(y.dims(), wanted.dims());
            let error = (y - wanted).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(error < 1e-12, "{error}");
            check_gradients(&[x.clone(), weight], || conv.forward(&x));
        }
    }
}
