//! A hand whose annotators are unsure along the fingers: the loss learns where they are unsure, and in which direction.
//!
//! `cargo run --release -p star-loss --example hand -- hand.ppm`
//!
//! Twenty-one keypoints of a hand on 32x32 maps. The annotators miss the true points by noise that is long along each finger and
//! short across it. A map per keypoint (softmax of smooth logits, as a heatmap network ends) is trained by STAR on four noisy
//! annotations a step. Under plain regression the maps keep any shape with the right mean; under STAR their covariances align with
//! the noise. The picture shows the sum of the maps with a red line along the true finger and a green one along the learned axis.

use std::io::Write;

use candle_core::{D, Device, Result, Tensor, Var};
use star_loss::losses::SoftArgmaxLoss;
use star_loss::moments::Moments;
use star_loss::{Activation, Distance, Grid, HeatmapLoss, Reduction, SymEigen2};
use star_loss::{Restriction, StarLoss, StarLossConfig};

const KEYPOINTS: usize = 21;
const SIZE: usize = 32;
const STEPS: usize = 1500;
const ANNOTATORS: usize = 4;
/// Bumps a side that the logits of a map are made of, and their standard deviation in pixels.
const BUMPS: usize = 11;
const BUMP: f64 = 2.5;
/// Standard deviations of the annotators along and across a finger.
const ALONG: f64 = 0.10;
const ACROSS: f64 = 0.02;
const SOFTMAX: Activation = Activation::Softmax { temperature: 1.0 };

/// xorshift64*.
struct Draw(u64);

impl Draw {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// True points and the directions of their fingers.
fn hand() -> (Vec<[f64; 2]>, Vec<[f64; 2]>) {
    let (mut points, mut fingers) = (vec![[0.0, 0.75]], vec![[0.0, -1.0]]);
    for finger in 0..5 {
        let angle = (-70.0 + 35.0 * finger as f64).to_radians();
        let direction = [angle.sin(), -angle.cos()];
        for joint in 0..4 {
            let r = 0.55 + 0.22 * joint as f64;
            points.push([0.75 * r * direction[0], 0.75 + r * direction[1] * 1.05]);
            fingers.push(direction);
        }
    }
    (points, fingers)
}

fn annotate(points: &[[f64; 2]], fingers: &[[f64; 2]], draw: &mut Draw) -> Result<Tensor> {
    let mut all = Vec::new();
    for _ in 0..ANNOTATORS {
        for ([x, y], [dx, dy]) in points.iter().zip(fingers) {
            let (along, across) = (ALONG * draw.normal(), ACROSS * draw.normal());
            all.extend([x + along * dx - across * dy, y + along * dy + across * dx]);
        }
    }
    Tensor::from_vec(all, (ANNOTATORS, KEYPOINTS, 2), &Device::Cpu)
}

/// Logits `[1, K, SIZE, SIZE]` as sums of Gaussian bumps with heights `[1, K, BUMPS, BUMPS]`: smooth, as those of a network are.
fn logits(heights: &Tensor) -> Result<Tensor> {
    let spacing = (SIZE - 1) as f64 / (BUMPS - 1) as f64;
    let bump =
        |i: usize| (-((i / BUMPS) as f64 - spacing * (i % BUMPS) as f64).powi(2) / (2.0 * BUMP * BUMP)).exp();
    let basis =
        Tensor::from_vec((0..SIZE * BUMPS).map(bump).collect::<Vec<f64>>(), (SIZE, BUMPS), &Device::Cpu)?;
    basis.broadcast_matmul(heights)?.broadcast_matmul(&basis.t()?)
}

/// Trains the heights of the bumps and returns the logits.
fn train(loss: &dyn HeatmapLoss, points: &[[f64; 2]], fingers: &[[f64; 2]]) -> Result<Tensor> {
    let mut draw = Draw(7);
    let heights = Var::zeros((1, KEYPOINTS, BUMPS, BUMPS), candle_core::DType::F64, &Device::Cpu)?;
    // Adam.
    let (mut mean, mut square) = (heights.zeros_like()?, heights.zeros_like()?);
    for step in 1..=STEPS {
        let targets = annotate(points, fingers, &mut draw)?;
        let maps = logits(&heights)?.broadcast_as((ANNOTATORS, KEYPOINTS, SIZE, SIZE))?;
        let value = loss.loss(&maps, &targets, None, Reduction::Mean)?;
        let grads = value.backward()?;
        let Some(gradient) = grads.get(&heights) else { candle_core::bail!("no gradient") };
        mean = (mean.affine(0.9, 0.0)? + gradient.affine(0.1, 0.0)?)?;
        square = (square.affine(0.99, 0.0)? + gradient.sqr()?.affine(0.01, 0.0)?)?;
        let (c1, c2) = (1.0 - 0.9f64.powi(step as i32), 1.0 - 0.99f64.powi(step as i32));
        let step_size = 0.1 / c1;
        let direction = (&mean / square.affine(1.0 / c2, 0.0)?.sqrt()?.affine(1.0, 1e-12)?)?;
        heights.set(&(heights.as_tensor() - direction.affine(step_size, 0.0)?)?)?;
        if step % 500 == 0 {
            println!("  step {step}: {:.4}", value.to_scalar::<f64>()?);
        }
    }
    logits(&heights.as_detached_tensor())
}

/// Larger axis of each map, and its length over the smaller's.
fn axes(logits: &Tensor) -> Result<Vec<([f64; 2], f64)>> {
    let eigen = SymEigen2::new(&Moments::new(logits, Grid::default(), SOFTMAX)?.covariances)?;
    let vectors = eigen.vectors.narrow(D::Minus1, 1, 1)?.flatten_all()?.to_vec1::<f64>()?;
    let values = eigen.values.flatten_all()?.to_vec1::<f64>()?;
    let axes = vectors.chunks_exact(2).zip(values.chunks_exact(2));
    Ok(axes.map(|(v, l)| ([v[0], v[1]], (l[1] / l[0]).sqrt())).collect())
}

fn report(name: &str, logits: &Tensor, fingers: &[[f64; 2]]) -> Result<(f64, f64)> {
    let axes = axes(logits)?;
    let turned =
        axes.iter().zip(fingers).map(|((v, _), f)| (v[0] * f[0] + v[1] * f[1]).abs().min(1.0).acos());
    let turned = turned.sum::<f64>().to_degrees() / KEYPOINTS as f64;
    let ratio = axes.iter().map(|(_, ratio)| ratio).sum::<f64>() / KEYPOINTS as f64;
    println!("{name}: axes {turned:.1} degrees off the fingers, {ratio:.2} times as long as wide");
    Ok((turned, ratio))
}

/// The maps with both directions of each keypoint, eight pixels for one, written as PPM and renamed when whole.
fn picture(path: &str, logits: &Tensor, points: &[[f64; 2]], fingers: &[[f64; 2]]) -> Result<()> {
    const ZOOM: usize = 8;
    let side = SIZE * ZOOM;
    let maps = SOFTMAX.apply(logits)?;
    let peaks = maps.flatten_from(2)?.max_keepdim(2)?.unsqueeze(3)?;
    let maps = maps.broadcast_div(&peaks)?.max(1)?.flatten_all()?.to_vec1::<f64>()?;
    let mut pixels: Vec<[u8; 3]> = (0..side * side)
        .map(|i| [(255.0 * maps[i / side / ZOOM * SIZE + i % side / ZOOM]) as u8; 3])
        .collect();
    let mut line = |[x, y]: [f64; 2], [dx, dy]: [f64; 2], colour: [u8; 3]| {
        for t in -40..=40 {
            let t = f64::from(t) * 0.002;
            let column = (Grid::default().pixel(x + t * dx, SIZE) + 0.5) * ZOOM as f64;
            let row = (Grid::default().pixel(y + t * dy, SIZE) + 0.5) * ZOOM as f64;
            if (0.0..side as f64).contains(&column) && (0.0..side as f64).contains(&row) {
                pixels[row as usize * side + column as usize] = colour;
            }
        }
    };
    for ((point, finger), (axis, _)) in points.iter().zip(fingers).zip(axes(logits)?) {
        line(*point, *finger, [255, 60, 60]);
        line(*point, axis, [60, 255, 60]);
    }
    let temporary = format!("{path}.part");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&temporary)?);
    write!(file, "P6\n{side} {side}\n255\n")?;
    file.write_all(pixels.as_flattened())?;
    file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
    std::fs::rename(&temporary, path)?;
    Ok(())
}

fn main() -> Result<()> {
    let (points, fingers) = hand();
    // With the weight that balances the two terms at the annotators' own spread: d / dl (E|e| / sqrt l + w l) = 0.
    let restriction = Restriction::Value { weight: 4.0 };
    let config = StarLossConfig { distance: Distance::smooth_l1(), restriction, ..Default::default() };
    println!("STAR");
    let star = train(&StarLoss::new(config)?.with_activation(SOFTMAX)?, &points, &fingers)?;
    println!("plain regression");
    let plain = train(&SoftArgmaxLoss { activation: SOFTMAX, ..Default::default() }, &points, &fingers)?;
    println!("the annotators are {:.2} times as unsure along a finger as across it", ALONG / ACROSS);
    let (turned, ratio) = report("STAR", &star, &fingers)?;
    report("plain regression", &plain, &fingers)?;
    if turned > 10.0 || ratio < 1.5 {
        candle_core::bail!(
            "expected axes within 10 degrees of the fingers and longer than wide, got {turned:.1} and {ratio:.2}"
        )
    }
    if let Some(path) = std::env::args().nth(1) {
        picture(&path, &star, &points, &fingers)?;
        println!("wrote {path}");
    }
    Ok(())
}
