//! Trains a heatmap of logits by gradient descent on the STAR loss, as a crate outside the workspace would.

use candle_core::{Device, Result, Tensor, Var, bail};

/// Steps and their size: enough for the loss to halve.
const STEPS: usize = 60;
const RATE: f64 = 20.0;

fn main() -> Result<()> {
    let device = Device::Cpu;
    // Two images, three keypoints, maps of 16x16 that begin flat: every keypoint is predicted in the middle.
    let logits = Var::zeros((2, 3, 16, 16), candle_core::DType::F32, &device)?;
    let targets = Tensor::new(
        &[[[0.5f32, 0.25], [-0.5, 0.0], [0.0, 0.75]], [[-0.25, -0.25], [0.6, -0.6], [0.1, 0.0]]],
        &device,
    )?;
    let mut losses = Vec::with_capacity(STEPS);
    for _ in 0..STEPS {
        let loss = star_loss::star(&logits.exp()?, &targets)?;
        losses.push(loss.to_scalar::<f32>()?);
        let gradients = loss.backward()?;
        let Some(gradient) = gradients.get(&logits) else { bail!("no gradient reached the logits") };
        logits.set(&(logits.as_tensor() - (gradient * RATE)?)?)?;
    }
    let (first, last) = (losses[0], losses[STEPS - 1]);
    println!("star loss {first:.4} -> {last:.4} in {STEPS} steps");
    if !(last < 0.5 * first) {
        bail!("the loss did not halve in {STEPS} steps: {losses:?}")
    }
    Ok(())
}
