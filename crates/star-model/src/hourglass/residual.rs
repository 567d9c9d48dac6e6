//! The pre-activation bottleneck block that the whole network is made of.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::cpu::residual::{Sizes, residual};
use crate::cpu::slices_supported;
use crate::layers::Conv2d;
use crate::norm::{BatchNorm, EPS};

/// `x + conv3(relu(bn3(conv2(relu(bn2(conv1(relu(bn1(x)))))))))`, `[B, I, H, W] -> [B, O, H, W]`.
///
/// The identity goes through a 1x1 `skip_layer` where input and output widths differ. Published checkpoints hold
/// one everywhere; where the widths agree it is never used and not built here.
pub(crate) struct Residual {
    pub(crate) bn1: BatchNorm,
    pub(crate) conv1: Conv2d,
    pub(crate) bn2: BatchNorm,
    pub(crate) conv2: Conv2d,
    pub(crate) bn3: BatchNorm,
    pub(crate) conv3: Conv2d,
    pub(crate) skip: Option<Conv2d>,
}

impl Residual {
    pub(super) fn new(input: usize, output: usize, vb: VarBuilder) -> Result<Self> {
        let half = output / 2;
        let skip = if input == output {
            None
        } else {
            Some(Conv2d::new(input, output, 1, 1, vb.pp("skip_layer").pp("conv"))?)
        };
        Ok(Self {
            bn1: BatchNorm::new(input, vb.pp("bn1"))?,
            conv1: Conv2d::new(input, half, 1, 1, vb.pp("conv1").pp("conv"))?,
            bn2: BatchNorm::new(half, vb.pp("bn2"))?,
            conv2: Conv2d::new(half, half, 3, 1, vb.pp("conv2").pp("conv"))?,
            bn3: BatchNorm::new(half, vb.pp("bn3"))?,
            conv3: Conv2d::new(half, output, 1, 1, vb.pp("conv3").pp("conv"))?,
            skip,
        })
    }

    pub(super) fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if train && slices_supported(x) { self.forward_fused(x) } else { self.forward_composed(x, train) }
    }

    /// In training on the CPU: the whole block as one op of the graph.
    fn forward_fused(&self, x: &Tensor) -> Result<Tensor> {
        let (n, input, h, w) = x.dims4()?;
        let [weight, _] = self.conv3.parameters();
        let (output, half, ..) = weight.dims4()?;
        let sizes = Sizes { n, input, half, output, h, w, skip: self.skip.is_some() };
        let mut parameters = Vec::new();
        for (norm, conv) in [(&self.bn1, &self.conv1), (&self.bn2, &self.conv2), (&self.bn3, &self.conv3)] {
            parameters.extend(norm.parameters());
            parameters.extend(conv.parameters());
        }
        parameters.extend(self.skip.iter().flat_map(Conv2d::parameters));
        let parameters: Vec<Tensor> =
            parameters.into_iter().map(Tensor::flatten_all).collect::<Result<_>>()?;
        let (y, statistics) = residual(x, &Tensor::cat(&parameters, 0)?, sizes, EPS)?;
        for (norm, statistics) in [&self.bn1, &self.bn2, &self.bn3].into_iter().zip(&statistics) {
            norm.take_in(statistics)?;
        }
        Ok(y)
    }

    fn forward_composed(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.conv1.forward(&self.bn1.forward_t(x, train, true)?)?;
        let y = self.conv2.forward(&self.bn2.forward_t(&y, train, true)?)?;
        let y = self.conv3.forward(&self.bn3.forward_t(&y, train, true)?)?;
        match &self.skip {
            Some(skip) => y + skip.forward(x)?,
            None => y + x,
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::Parameters;
    use crate::gradient_check::{assert_close, check_gradients, noise};

    /// `(input, output, height, width, batch)`: with and without a skip, one image (threads inside) and several.
    const SHAPES: [(usize, usize, usize, usize, usize); 3] =
        [(4, 4, 4, 5, 3), (2, 6, 3, 4, 2), (4, 4, 3, 3, 1)];

    fn block(input: usize, output: usize, seed: u64) -> (Residual, Parameters) {
        let parameters = Parameters::new(seed);
        let block = Residual::new(input, output, parameters.var_builder(DType::F64, &Device::Cpu)).unwrap();
        for (i, (name, var)) in parameters.all().into_iter().enumerate() {
            if name.contains("bn") && !name.contains("running") {
                var.set(&noise(var.dims(), i as u64)).unwrap();
            }
        }
        (block, parameters)
    }

    #[test]
    fn the_fused_block_is_the_block_of_its_layers() {
        for (input, output, h, w, batch) in SHAPES {
            let ((fused, a), (layers, b)) = (block(input, output, 1), block(input, output, 1));
            let x = noise(&[batch, input, h, w], 3);
            assert_close(
                &fused.forward_fused(&x).unwrap(),
                &layers.forward_composed(&x, true).unwrap(),
                1e-12,
            );
            for (name, var) in a.all() {
                assert_close(&var, &b.get(&name).unwrap(), 1e-12);
            }
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        for (input, output, h, w, batch) in SHAPES {
            let (block, parameters) = block(input, output, 2);
            let x = Var::from_tensor(&noise(&[batch, input, h, w], 8)).unwrap();
            let mut vars = vec![x.clone()];
            vars.extend(parameters.trainable().into_iter().map(|(_, var)| var));
            check_gradients(&vars, || block.forward_fused(&x));
        }
    }

    #[test]
    fn a_second_backward_pass_gives_the_same_gradient() {
        let (block, _) = block(4, 4, 5);
        let x = Var::from_tensor(&noise(&[2, 4, 3, 3], 6)).unwrap();
        let loss = block.forward_fused(&x).unwrap().sqr().unwrap().sum_all().unwrap();
        let gradient = || loss.backward().unwrap().remove(&x).unwrap();
        assert_close(&gradient(), &gradient(), 0.0);
    }
}
