//! Gradients of all ranks added up, many small tensors in one message.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Tensor;

use super::Collective;

/// Bytes after which a message is full: PyTorch's default for DistributedDataParallel. Larger tensors go whole.
const BUCKET: usize = 25 << 20;

/// Replaces every gradient by its sum over all ranks, which hold the same names and shapes.
///
/// # Errors
/// When another rank has given up.
pub(crate) fn all_reduce(
    collective: &dyn Collective,
    gradients: &mut BTreeMap<String, Tensor>,
) -> Result<()> {
    if collective.ranks() == 1 {
        return Ok(());
    }
    let mut bucket: Vec<&mut Tensor> = Vec::new();
    let mut bytes = 0;
    for gradient in gradients.values_mut() {
        bytes += gradient.elem_count() * gradient.dtype().size_in_bytes();
        bucket.push(gradient);
        if bytes >= BUCKET {
            send(collective, &mut bucket)?;
            bytes = 0;
        }
    }
    send(collective, &mut bucket)
}

/// Sums what is in the bucket and empties it.
fn send(collective: &dyn Collective, bucket: &mut Vec<&mut Tensor>) -> Result<()> {
    if bucket.is_empty() {
        return Ok(());
    }
    let flat: Vec<Tensor> = bucket.iter().map(|gradient| gradient.flatten_all()).collect::<Result<_, _>>()?;
    let sums = collective.all_reduce_tensor(&Tensor::cat(&flat, 0)?)?;
    let mut start = 0;
    for gradient in bucket.drain(..) {
        let count = gradient.elem_count();
        // On its own: the optimiser reads it as a slice, and the bucket's memory is let go. (`copy` would copy the whole bucket.)
        *gradient = sums.narrow(0, start, count)?.force_contiguous()?.reshape(gradient.shape())?;
        start += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::threads;
    use super::*;

    #[test]
    fn gradients_of_three_ranks_add_up_whatever_bucket_they_fall_into() {
        // The second alone fills a bucket.
        let shapes = [("a", vec![2, 3]), ("b", vec![BUCKET / 8 + 1]), ("c", vec![4]), ("d", vec![1, 1, 2])];
        std::thread::scope(|scope| {
            for collective in threads(3) {
                let shapes = &shapes;
                scope.spawn(move || {
                    let value = (collective.rank() + 1) as f64;
                    let gradient = |(i, (name, shape)): (usize, &(&str, Vec<usize>))| {
                        let ones =
                            Tensor::ones(shape.as_slice(), candle_core::DType::F64, &Device::Cpu).unwrap();
                        (name.to_string(), (ones * (value * 10f64.powi(i as i32))).unwrap())
                    };
                    let mut gradients = shapes.iter().enumerate().map(gradient).collect();
                    all_reduce(collective.as_ref(), &mut gradients).unwrap();
                    for (i, (name, shape)) in shapes.iter().enumerate() {
                        // 1 + 2 + 3
                        let (tensor, expected) = (&gradients[*name], 6.0 * 10f64.powi(i as i32));
                        assert_eq!(tensor.dims(), shape.as_slice());
                        let values = tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
                        assert!(values.iter().all(|&v| v == expected), "{name}");
                    }
                });
            }
        });
    }
}
