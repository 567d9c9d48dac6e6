//! Sums over planes in f64, taken in short runs of the element type so that the loops vectorise.

use candle_core::FloatDType;

use crate::activation::Activation;

/// `(sum (x - centre), sum (x - centre)^2)` of a plane.
pub(super) fn sums<T: FloatDType>(plane: &[T], centre: T) -> (f64, f64) {
    const LANES: usize = 16;
    let (mut total, mut total_sq) = (0.0, 0.0);
    for run in plane.chunks(LANES * 16) {
        let (mut sum, mut sq) = ([T::zero(); LANES], [T::zero(); LANES]);
        let blocks = run.chunks_exact(LANES);
        for &value in blocks.remainder() {
            let d = value - centre;
            sum[0] += d;
            sq[0] += d * d;
        }
        for block in blocks {
            for (lane, &value) in block.iter().enumerate() {
                let d = value - centre;
                sum[lane] += d;
                sq[lane] += d * d;
            }
        }
        total += sum.iter().map(|&v| v.to_f64()).sum::<f64>();
        total_sq += sq.iter().map(|&v| v.to_f64()).sum::<f64>();
    }
    (total, total_sq)
}

/// `(sum d, sum d (x - mean))` of a plane, `d` zero where a ReLU cut.
pub(super) fn masked_sums<T: FloatDType>(
    dy: &[T],
    x: &[T],
    out: &[T],
    mean: T,
    activation: Activation,
) -> (f64, f64) {
    const RUN: usize = 256;
    const LANES: usize = 16;
    let relu = activation.is_relu();
    let (mut total, mut total_t) = (0.0, 0.0);
    for ((dy, x), out) in dy.chunks(RUN).zip(x.chunks(RUN)).zip(out.chunks(RUN)) {
        let (mut sum, mut sum_t) = ([T::zero(); LANES], [T::zero(); LANES]);
        for ((dy, x), out) in dy.chunks(LANES).zip(x.chunks(LANES)).zip(out.chunks(LANES)) {
            for (lane, ((&d, &x), &y)) in dy.iter().zip(x).zip(out).enumerate() {
                let d = if relu && y <= T::zero() { T::zero() } else { d };
                sum[lane] += d;
                sum_t[lane] += d * (x - mean);
            }
        }
        total += sum.iter().map(|&v| v.to_f64()).sum::<f64>();
        total_t += sum_t.iter().map(|&v| v.to_f64()).sum::<f64>();
    }
    (total, total_t)
}
