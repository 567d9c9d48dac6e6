//! Changes of resolution with correct gradients: max-pooling, nearest upsampling by two, bilinear upsampling.
//!
//! candle 0.11's own `max_pool2d` returns a quarter of the gradient of a 2x2 pool, its `upsample_nearest2d`
//! overwrites what other branches have accumulated and its `upsample_bilinear2d` has no gradient, so none is used here.

use candle_core::{DType, Device, Result, Tensor, bail};

/// The largest of each 2x2 block: `[B, C, 2h, 2w] -> [B, C, h, w]`. The gradient goes to the first largest value: by selections,
/// ties keep the earlier one.
///
/// # Errors
/// When `x` does not have four dimensions, or an odd height or width.
pub fn max_pool_2x2(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    if h % 2 != 0 || w % 2 != 0 {
        bail!("max_pool_2x2: expected even height and width, got {:?}", x.shape())
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::pointwise::max_pool_2x2(x);
    }
    let x = x.reshape((b, c, h / 2, 2, w / 2, 2))?;
    let corner = |dy: usize, dx: usize| x.narrow(3, dy, 1)?.narrow(5, dx, 1)?.reshape((b, c, h / 2, w / 2));
    let mut best = corner(0, 0)?;
    for (dy, dx) in [(0, 1), (1, 0), (1, 1)] {
        let next = corner(dy, dx)?;
        best = next.gt(&best)?.where_cond(&next, &best)?;
    }
    Ok(best)
}

/// `base + nearest(low)`, nearest doubling each pixel: `[B, C, 2h, 2w]`, `[B, C, h, w] -> [B, C, 2h, 2w]`.
///
/// # Errors
/// When the sizes do not fit.
pub fn upsample_add(base: &Tensor, low: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if base.device().is_cuda() {
        return crate::cuda::pointwise::upsample_add(base, low);
    }
    let (b, c, h, w) = low.dims4()?;
    let low =
        low.reshape((b, c, h, 1, w, 1))?.broadcast_as((b, c, h, 2, w, 2))?.reshape((b, c, 2 * h, 2 * w))?;
    base + low
}

/// Bilinear upsampling by a whole `factor` with pixel centres as PyTorch's `align_corners = false` has them:
/// `[B, C, h, w] -> [B, C, factor h, factor w]`.
///
/// Two products with fixed matrices, one an axis, so that the gradient is that of a product.
///
/// # Errors
/// When `x` does not have four dimensions or `factor` is 0.
pub fn upsample_bilinear(x: &Tensor, factor: usize) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    if factor == 0 {
        bail!("upsample_bilinear: expected a factor of at least 1, got 0")
    }
    if factor == 1 {
        return Ok(x.clone());
    }
    let columns = bilinear_matrix(w, factor, x.dtype(), x.device())?.t()?.contiguous()?;
    let rows = bilinear_matrix(h, factor, x.dtype(), x.device())?;
    let x = x.reshape((b * c * h, w))?.matmul(&columns)?.reshape((b * c, h, factor * w))?;
    rows.broadcast_matmul(&x)?.reshape((b, c, factor * h, factor * w))
}

/// `[factor n, n]`: the weights of the `n` pixels of an axis in each pixel of the finer one.
fn bilinear_matrix(n: usize, factor: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let mut values = vec![0f64; factor * n * n];
    for (i, row) in values.chunks_exact_mut(n).enumerate() {
        // Position of the finer pixel's centre among the coarser ones; beyond the outer centres the border is kept.
        let at = ((i as f64 + 0.5) / factor as f64 - 0.5).max(0.0);
        let low = (at as usize).min(n - 1);
        let share = at - low as f64;
        row[low] += 1.0 - share;
        row[(low + 1).min(n - 1)] += share;
    }
    Tensor::from_vec(values, (factor * n, n), device)?.to_dtype(dtype)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::gradient_check::{check_gradients, noise};

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
        let pooled = max_pool_2x2(&x).unwrap();
        assert_eq!(pooled.flatten_all().unwrap().to_vec1::<f64>().unwrap(), [5.0, 7.0]);
        assert_eq!(gradient_of(&x, &pooled, &weights), [0.0, 10.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn upsampling_sums_the_gradient_of_each_block() {
        let (base, low) = (var(&[0.5; 8], &[1, 1, 2, 4]), var(&[1.0, 2.0], &[1, 1, 1, 2]));
        let weights = Tensor::arange(0.0, 8.0, &Device::Cpu).unwrap().reshape((1, 1, 2, 4)).unwrap();
        let y = upsample_add(&base, &low).unwrap();
        let values = y.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(values, [1.5, 1.5, 2.5, 2.5, 1.5, 1.5, 2.5, 2.5]);
        // 0 + 1 + 4 + 5 and 2 + 3 + 6 + 7
        assert_eq!(gradient_of(&low, &y, &weights), [10.0, 18.0]);
        assert_eq!(gradient_of(&base, &y, &weights), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
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
    fn bilinear_pixels_lie_between_centres_and_keep_the_border() {
        // centres of the finer pixels of 0, 8 at -0.25, 0.25, 0.75, 1.25: 0, 2, 6, 8
        let x = var(&[0.0, 8.0], &[1, 1, 1, 2]);
        let y = upsample_bilinear(&x, 2).unwrap();
        assert_eq!(y.dims(), [1, 1, 2, 4]);
        let values = y.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(values, [0.0, 2.0, 6.0, 8.0, 0.0, 2.0, 6.0, 8.0]);
        // a constant stays one, whatever the factor
        let ones = Tensor::ones((2, 3, 5, 2), DType::F64, &Device::Cpu).unwrap();
        for factor in [1, 2, 4, 8] {
            let y = upsample_bilinear(&ones, factor).unwrap();
            assert_eq!(y.dims(), [2, 3, 5 * factor, 2 * factor]);
            assert!(
                y.flatten_all().unwrap().to_vec1::<f64>().unwrap().iter().all(|v| (v - 1.0).abs() < 1e-15)
            );
        }
    }

    #[test]
    fn bilinear_gradients_agree_with_central_differences() {
        for factor in [2, 4] {
            let x = Var::from_tensor(&noise(&[2, 2, 3, 2], 5)).unwrap();
            check_gradients(std::slice::from_ref(&x), || upsample_bilinear(&x, factor));
        }
    }

    #[test]
    fn odd_sizes_are_refused() {
        let x = Tensor::zeros((1, 1, 3, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(max_pool_2x2(&x).unwrap_err().to_string().contains("even"));
    }
}
