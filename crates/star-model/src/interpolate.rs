//! Changes of resolution with correct gradients: max-pooling and nearest upsampling by two.
//!
//! candle 0.11's own `max_pool2d` returns a quarter of the gradient of a 2x2 pool and its `upsample_nearest2d`
//! overwrites what other branches have accumulated, so neither is used here.

use candle_core::{Result, Tensor, bail};

use crate::cpu::{pool::MaxPool2x2, slices_supported, upsample::UpsampleAdd};

/// The largest of each 2x2 block: `[B, C, 2h, 2w] -> [B, C, h, w]`. The gradient goes to the first largest value.
///
/// # Errors
/// When `x` does not have four dimensions, or an odd height or width.
pub fn max_pool_2x2(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    if h % 2 != 0 || w % 2 != 0 {
        bail!("max_pool_2x2: expected even height and width, got {:?}", x.shape())
    }
    if slices_supported(x) { x.contiguous()?.apply_op1(MaxPool2x2) } else { max_pool_composed(x) }
}

/// `base + nearest(low)`, nearest doubling each pixel: `[B, C, 2h, 2w]`, `[B, C, h, w] -> [B, C, 2h, 2w]`.
///
/// # Errors
/// When the sizes do not fit.
pub fn upsample_add(base: &Tensor, low: &Tensor) -> Result<Tensor> {
    if slices_supported(base) && slices_supported(low) {
        base.contiguous()?.apply_op2(&low.contiguous()?, UpsampleAdd)
    } else {
        upsample_add_composed(base, low)
    }
}

/// [`max_pool_2x2`] by selections, on any device: ties keep the earlier value, as the CPU kernel does.
fn max_pool_composed(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let x = x.reshape((b, c, h / 2, 2, w / 2, 2))?;
    let corner = |dy: usize, dx: usize| x.narrow(3, dy, 1)?.narrow(5, dx, 1)?.reshape((b, c, h / 2, w / 2));
    let mut best = corner(0, 0)?;
    for (dy, dx) in [(0, 1), (1, 0), (1, 1)] {
        let next = corner(dy, dx)?;
        best = next.gt(&best)?.where_cond(&next, &best)?;
    }
    Ok(best)
}

/// [`upsample_add`] by a broadcast, on any device.
fn upsample_add_composed(base: &Tensor, low: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = low.dims4()?;
    let low =
        low.reshape((b, c, h, 1, w, 1))?.broadcast_as((b, c, h, 2, w, 2))?.reshape((b, c, 2 * h, 2 * w))?;
    base + low
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    fn var(values: &[f64], shape: &[usize]) -> Var {
        Var::from_tensor(&Tensor::from_slice(values, shape, &Device::Cpu).unwrap()).unwrap()
    }

    fn gradient_of(x: &Var, y: &Tensor, weights: &Tensor) -> Vec<f64> {
        let loss = (y * weights).unwrap().sum_all().unwrap();
        loss.backward().unwrap().get(x).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn pooling_hands_the_whole_gradient_to_the_first_largest_value() {
        // blocks: (1, 5 / 2, 3) -> 5 at (0, 1); (7, 7 / 0, 7) -> the first 7
        let x = var(&[1.0, 5.0, 7.0, 7.0, 2.0, 3.0, 0.0, 7.0], &[1, 1, 2, 4]);
        let weights = Tensor::new(&[[[[10.0f64, 100.0]]]], &Device::Cpu).unwrap();
        for pooled in [max_pool_2x2(&x).unwrap(), max_pool_composed(&x).unwrap()] {
            assert_eq!(pooled.flatten_all().unwrap().to_vec1::<f64>().unwrap(), [5.0, 7.0]);
            assert_eq!(gradient_of(&x, &pooled, &weights), [0.0, 10.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn upsampling_sums_the_gradient_of_each_block() {
        let (base, low) = (var(&[0.5; 8], &[1, 1, 2, 4]), var(&[1.0, 2.0], &[1, 1, 1, 2]));
        let weights = Tensor::arange(0.0, 8.0, &Device::Cpu).unwrap().reshape((1, 1, 2, 4)).unwrap();
        for y in [upsample_add(&base, &low).unwrap(), upsample_add_composed(&base, &low).unwrap()] {
            let values = y.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert_eq!(values, [1.5, 1.5, 2.5, 2.5, 1.5, 1.5, 2.5, 2.5]);
            // 0 + 1 + 4 + 5 and 2 + 3 + 6 + 7
            assert_eq!(gradient_of(&low, &y, &weights), [10.0, 18.0]);
            assert_eq!(gradient_of(&base, &y, &weights), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        }
    }

    #[test]
    fn two_branches_accumulate_their_gradients_through_an_upsampling() {
        let low = var(&[1.0], &[1, 1, 1, 1]);
        let base = Tensor::zeros((1, 1, 2, 2), DType::F64, &Device::Cpu).unwrap();
        let y = (upsample_add(&base, &low).unwrap().sum_all().unwrap()
            + low.sqr().unwrap().sum_all().unwrap())
        .unwrap();
        // d/dx (4 x + x^2) at 1
        assert_eq!(
            y.backward().unwrap().get(&low).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap(),
            [6.0]
        );
    }

    #[test]
    fn odd_sizes_are_refused() {
        let x = Tensor::zeros((1, 1, 3, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(max_pool_2x2(&x).unwrap_err().to_string().contains("even"));
    }
}
