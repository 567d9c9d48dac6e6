//! scratch
use candle_core::*;
use star_loss::*;
use std::time::Instant;
fn main() {
    for (b, n) in [(1usize, 400), (32, 12)] {
        let (k, h, w) = (98, 64, 64);
        let v: Vec<f32> = (0..b * k * h * w).map(|i| ((i as f32 * 0.001).sin()).abs()).collect();
        let t = Tensor::from_vec(v, (b, k, h, w), &Device::Cpu).unwrap();
        let y = Tensor::zeros((b, k, 2), DType::F32, &Device::Cpu).unwrap();
        let g = t.zeros_like().unwrap();
        let l = StarLoss::new(Default::default()).unwrap();
        let mut best = [f64::MAX; 3];
        for _ in 0..n {
            let s = Instant::now();
            l.loss_and_gradient_into(&t, &y, None, Reduction::Mean, &g).unwrap();
            best[0] = best[0].min(s.elapsed().as_secs_f64());
            let s = Instant::now();
            l.forward(&t, &y).unwrap();
            best[1] = best[1].min(s.elapsed().as_secs_f64());
            let s = Instant::now();
            moments::soft_argmax(&t).unwrap();
            best[2] = best[2].min(s.elapsed().as_secs_f64());
        }
        println!(
            "{b}: best per map ns: into {:.0} forward {:.0} softargmax {:.0}; ms {:.2} {:.2}",
            best[0] * 1e9 / (b * k) as f64,
            best[1] * 1e9 / (b * k) as f64,
            best[2] * 1e9 / (b * k) as f64,
            best[0] * 1e3,
            best[1] * 1e3
        );
    }
}
