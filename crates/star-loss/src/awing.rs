//! Adaptive Wing loss for maps whose target is a map (Wang et al., ICCV 2019).

use candle_core::{Result, Tensor, bail};

use crate::AwingConfig;
use crate::maps::{map_dims_of, working_dtype};
use crate::surrogate::with_derivative;

/// Adaptive Wing between maps `[B, C, H, W]`, mean over all pixels: a scalar.
///
/// With `d = |target - output|` and `n = alpha - target` the loss of a pixel is `omega ln(1 + (d / epsilon)^n)` below `theta` and
/// `A d - C` above, both joined smoothly. No gradient passes to `target`, which lies in `[0, 1]`.
///
/// # Errors
/// When the shapes differ, have not four axes, or a setting is out of range.
pub fn awing(output: &Tensor, target: &Tensor, config: &AwingConfig) -> Result<Tensor> {
    awing_means(output, target, config)?.mean_all()
}

/// As [`awing`], the mean of each map: `[B, C]`.
pub(crate) fn awing_means(output: &Tensor, target: &Tensor, config: &AwingConfig) -> Result<Tensor> {
    config.validate()?;
    let (_, _, h, w) = map_dims_of("output", output)?;
    if output.dims() != target.dims() {
        bail!("target: expected {:?}, got {:?}", output.dims(), target.dims())
    }
    let output = output.to_dtype(working_dtype(output.dtype())?)?;
    let target = target.detach().to_dtype(output.dtype())?;
    let device = output.device();
    if device.is_cpu() || cfg!(feature = "cuda") && device.is_cuda() {
        return crate::fused::awing_means(&output, &target, config)?.to_dtype(output.dtype());
    }
    composed(&output, &target, config)?
        .reshape(((), h * w))?
        .mean(1)?
        .reshape((output.dim(0)?, output.dim(1)?))
}

/// The loss of each pixel by candle ops.
fn composed(output: &Tensor, target: &Tensor, config: &AwingConfig) -> Result<Tensor> {
    let weight =
        dilate3x3(target)?.ge(config.threshold)?.to_dtype(output.dtype())?.affine(config.weight, 1.0)?;
    let [loss, derivative] = pixel_loss(&(output.detach() - target)?, target, config)?;
    with_derivative(&(loss * &weight)?, output, &(derivative * weight)?)
}

/// The loss of each pixel and its derivative by the residual.
fn pixel_loss(residual: &Tensor, target: &Tensor, config: &AwingConfig) -> Result<[Tensor; 2]> {
    let AwingConfig { omega, theta, epsilon, alpha, .. } = *config;
    let distance = residual.abs()?;
    let sign = residual.sign()?;
    let exponent = target.affine(-1.0, alpha)?;
    // (d / epsilon)^(n - 1), with a logarithm that is finite at 0.
    let ratio = distance.affine(1.0 / epsilon, 0.0)?.maximum(1e-30)?;
    let lower = (ratio.log()? * exponent.affine(1.0, -1.0)?)?.exp()?;
    let power = (&lower * &ratio)?;
    let curve = power.affine(1.0, 1.0)?.log()?.affine(omega, 0.0)?;
    let curve_derivative = ((&lower * &exponent)? / power.affine(1.0, 1.0)?)?.affine(omega / epsilon, 0.0)?;

    let lower = (exponent.affine(1.0, -1.0)? * (theta / epsilon).ln())?.exp()?;
    let power = lower.affine(theta / epsilon, 0.0)?;
    let line_derivative = ((&lower * &exponent)? / power.affine(1.0, 1.0)?)?.affine(omega / epsilon, 0.0)?;
    let offset =
        (line_derivative.affine(theta, 0.0)? - power.affine(1.0, 1.0)?.log()?.affine(omega, 0.0)?)?;
    let line = ((&line_derivative * &distance)? - offset)?;

    let near = distance.lt(theta)?;
    let loss = near.where_cond(&curve, &line)?;
    let derivative = (near.where_cond(&curve_derivative, &line_derivative)? * sign)?;
    Ok([loss, derivative])
}

/// Largest value of each 3x3 neighbourhood, borders repeated.
fn dilate3x3(maps: &Tensor) -> Result<Tensor> {
    let mut maps = maps.clone();
    for axis in [2, 3] {
        let n = maps.dim(axis)?;
        let padded = maps.pad_with_same(axis, 1, 1)?;
        maps = maps.maximum(&padded.narrow(axis, 0, n)?)?.maximum(&padded.narrow(axis, 2, n)?)?;
    }
    Ok(maps)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use super::{awing, composed};
    use crate::AwingConfig;

    #[test]
    fn sweeps_and_candle_ops_give_one_loss() -> candle_core::Result<()> {
        let config = AwingConfig { epsilon: 0.7, theta: 0.3, ..Default::default() };
        for shape in [(2, 3, 9, 7), (1, 2, 1, 5), (1, 1, 6, 1)] {
            let output = Var::from_tensor(&Tensor::rand(-0.2f64, 1.0, shape, &Device::Cpu)?)?;
            let target = Tensor::rand(-1f64, 1.0, shape, &Device::Cpu)?.relu()?;
            let (ours, theirs) =
                (awing(&output, &target, &config)?, composed(&output, &target, &config)?.mean_all()?);
            let (a, b) = (ours.to_scalar::<f64>()?, theirs.to_scalar::<f64>()?);
            assert!((a - b).abs() < 1e-12 * b, "{a} against {b}");
            let (ours, theirs) = (ours.backward()?, theirs.backward()?);
            let (Some(a), Some(b)) = (ours.get(&output), theirs.get(&output)) else {
                candle_core::bail!("no gradient")
            };
            let error = (a - b)?.abs()?.max_all()?.to_scalar::<f64>()?;
            assert!(error < 1e-12 * b.abs()?.max_all()?.to_scalar::<f64>()?, "{error:e}");
        }
        Ok(())
    }
}
