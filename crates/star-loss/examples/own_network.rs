//! A network of two convolutions learns where a streak in the image ends up, under the STAR loss.
//!
//! `cargo run --release -p star-loss --example own_network`

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{AdamW, Conv2dConfig, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, conv2d};
use star_loss::moments::Moments;
use star_loss::{Activation, Grid, Reduction, StarLoss, StarLossConfig};

const BATCH: usize = 16;
const SIDE: usize = 16;
const STEPS: usize = 60;

/// Images `[B, 1, S, S]` of a streak along x, and its middle `[B, 1, 2]` in `[-1, 1]`.
fn batch(step: usize) -> Result<(Tensor, Tensor)> {
    let (mut pixels, mut targets) = (Vec::new(), Vec::new());
    for i in 0..BATCH {
        // Middles that fill the inner half of the image evenly.
        let n = (step * BATCH + i) as f64;
        let [x, y] = [0.754_877_67, 0.569_840_29].map(|part| 4.0 + 7.0 * (n * part).fract());
        let streak = |p: usize| {
            let (dx, dy) = ((p % SIDE) as f64 - x, (p / SIDE) as f64 - y);
            (-dx * dx / 8.0 - dy * dy / 1.0).exp() as f32
        };
        pixels.extend((0..SIDE * SIDE).map(streak));
        targets.extend([x, y].map(|pixel| Grid::CornerAligned.coordinate(pixel, SIDE) as f32));
    }
    let images = Tensor::from_vec(pixels, (BATCH, 1, SIDE, SIDE), &Device::Cpu)?;
    Ok((images, Tensor::from_vec(targets, (BATCH, 1, 2), &Device::Cpu)?))
}

/// Values in +-1/sqrt(fan in) without a pattern, as many as there are weights.
fn spread(weights: &Tensor) -> Result<Tensor> {
    let bound = 1.0 / (weights.elem_count() as f64 / weights.dim(0)? as f64).sqrt();
    let value = |i: usize| ((((i * i) as f64 * 0.754_877_67).fract() * 2.0 - 1.0) * bound) as f32;
    Tensor::from_vec((0..weights.elem_count()).map(value).collect(), weights.shape(), weights.device())
}

fn main() -> Result<()> {
    let mut variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let same = Conv2dConfig { padding: 2, ..Default::default() };
    let (first, second) = (conv2d(1, 8, 5, same, vb.pp("first"))?, conv2d(8, 1, 5, same, vb.pp("second"))?);
    // candle draws the start anew each time; this one ends the same way whenever it is run.
    for (name, values) in [("first.weight", first.weight()), ("second.weight", second.weight())] {
        variables.set_one(name, spread(values)?)?;
    }
    for (name, conv) in [("first.bias", &first), ("second.bias", &second)] {
        if let Some(bias) = conv.bias() {
            variables.set_one(name, bias.zeros_like()?)?;
        }
    }
    let network = |images: &Tensor| second.forward(&first.forward(images)?.relu()?);

    // A softmax makes maps of any sign non-negative.
    let softmax = Activation::Softmax { temperature: 1.0 };
    let loss = StarLoss::new(StarLossConfig::default())?.with_activation(softmax)?;
    let mut adam = AdamW::new(variables.all_vars(), ParamsAdamW { lr: 0.01, ..Default::default() })?;
    let mut history = Vec::new();
    for step in 0..STEPS {
        let (images, targets) = batch(step)?;
        let value = loss.forward(&network(&images)?, &targets)?.reduce(None, Reduction::Mean)?;
        adam.backward_step(&value)?;
        history.push(value.to_scalar::<f32>()?);
    }
    let (images, targets) = batch(STEPS)?;
    let found = Moments::new(&network(&images)?, Grid::CornerAligned, softmax)?;
    let miss = (found.means - targets)?.abs()?.mean_all()?.to_scalar::<f32>()? * (SIDE - 1) as f32 / 2.0;
    println!("loss {:.2} -> {:.2}; mean error {miss:.2} pixels per axis", history[0], history[STEPS - 1]);
    assert!(miss < 1.0, "the network should find the streak within a pixel");
    Ok(())
}
