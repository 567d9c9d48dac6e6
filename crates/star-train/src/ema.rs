//! The moving average of parameters and buffers.

use std::collections::BTreeMap;
#[cfg(feature = "cuda")]
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor};
use star_model::Parameters;

#[cfg(feature = "cuda")]
use crate::optimizer::cuda::Launches;

/// `average = d * average + (1 - d) * value` after every step, over parameters *and* buffers such as running statistics.
pub struct Ema {
    decay: f64,
    tensors: BTreeMap<String, Tensor>,
    #[cfg(feature = "cuda")]
    launches: Mutex<Launches>,
}

impl Ema {
    /// Starts at the current values. The decay for batches of `batch` is `0.5^(batch / half_life)`, so that a value's
    /// weight halves every `half_life` images (reference: 10 000).
    ///
    /// # Errors
    /// When memory for the copies cannot be had.
    pub fn new(parameters: &Parameters, batch: usize, half_life: f64) -> Result<Self> {
        let copy = |(name, tensor): (String, Tensor)| -> Result<_> { Ok((name, tensor.copy()?)) };
        let tensors = parameters.tensors().into_iter().map(copy).collect::<Result<_>>()?;
        Ok(Self {
            decay: 0.5f64.powf(batch as f64 / half_life),
            tensors,
            #[cfg(feature = "cuda")]
            launches: Mutex::default(),
        })
    }

    /// Moves the averages towards the current values.
    ///
    /// # Errors
    /// When a variable has changed its shape.
    pub fn update(&self, parameters: &Parameters) -> Result<()> {
        let pair = |(name, value): (String, Tensor)| Some((self.tensors.get(&name)?, value));
        let pairs: Vec<(&Tensor, Tensor)> = parameters.tensors().into_iter().filter_map(pair).collect();
        #[cfg(feature = "cuda")]
        let pairs = self.launches.lock().unwrap_or_else(PoisonError::into_inner).blend(self.decay, pairs)?;
        for (average, value) in pairs {
            if average.device().is_cpu() {
                average.inplace_op2(&value, &Blend { decay: self.decay })?;
            } else {
                average.slice_set(&((average * self.decay)? + (value * (1.0 - self.decay))?)?, 0, 0)?;
            }
        }
        Ok(())
    }

    /// The averages by name, sharing storage with this object.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Takes averages from an earlier run.
    ///
    /// # Errors
    /// When a tensor is missing or misshapen.
    pub fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, average) in &mut self.tensors {
            let tensor = saved.get(name).filter(|tensor| tensor.dims() == average.dims());
            ensure!(
                tensor.is_some(),
                "average: {name}: expected a tensor {:?} in the saved state",
                average.dims()
            );
            if let Some(tensor) = tensor {
                *average = tensor.to_dtype(average.dtype())?.to_device(average.device())?.copy()?;
            }
        }
        Ok(())
    }
}

struct Blend {
    decay: f64,
}

impl InplaceOp2 for Blend {
    fn name(&self) -> &'static str {
        "ema-blend"
    }

    fn cpu_fwd(
        &self,
        a: &mut CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> candle_core::Result<()> {
        let (Some((a0, a1)), Some((b0, b1))) = (la.contiguous_offsets(), lb.contiguous_offsets()) else {
            candle_core::bail!("ema-blend: expected contiguous tensors")
        };
        let (keep, take) = (self.decay, 1.0 - self.decay);
        match (a, b) {
            (CpuStorage::F32(a), CpuStorage::F32(b)) => {
                for (a, &b) in a[a0..a1].iter_mut().zip(&b[b0..b1]) {
                    *a = (f64::from(*a) * keep + f64::from(b) * take) as f32;
                }
            }
            (CpuStorage::F64(a), CpuStorage::F64(b)) => {
                for (a, &b) in a[a0..a1].iter_mut().zip(&b[b0..b1]) {
                    *a = *a * keep + b * take;
                }
            }
            _ => candle_core::bail!("ema-blend: expected f32 or f64, both alike"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn a_values_weight_halves_every_half_life() {
        let parameters = Parameters::new(0);
        let vb = parameters.var_builder(DType::F64, &Device::Cpu);
        vb.get_with_hints(2, "w", candle_nn::Init::Const(1.0)).unwrap();
        let ema = Ema::new(&parameters, 50, 100.0).unwrap();
        parameters.get("w").unwrap().set(&Tensor::zeros(2, DType::F64, &Device::Cpu).unwrap()).unwrap();
        ema.update(&parameters).unwrap();
        ema.update(&parameters).unwrap();
        // two batches of 50 are one half-life of 100: 1 -> 0.5
        let average = ema.tensors()["w"].to_vec1::<f64>().unwrap();
        assert!((average[0] - 0.5).abs() < 1e-12, "{average:?}");
    }
}
