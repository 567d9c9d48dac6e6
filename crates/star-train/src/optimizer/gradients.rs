//! Gradients of a step: summed over its batches and over all ranks.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

#[cfg(feature = "cuda")]
use super::cuda;
use super::sweep;
use crate::collective::{self, Collective};

/// Gradients by the name of their variable, summed over the batches of one step.
#[derive(Default)]
pub struct Gradients {
    pub(super) by_name: BTreeMap<String, Tensor>,
}

impl Gradients {
    /// Adds those of one backward pass.
    ///
    /// # Errors
    /// When two passes disagree on a shape.
    pub fn add(&mut self, vars: &[(String, Var)], mut store: GradStore) -> Result<()> {
        for (name, var) in vars {
            let Some(gradient) = store.remove(var) else { continue };
            let sum = match self.by_name.get(name) {
                Some(earlier) => (earlier + gradient)?,
                None => gradient.contiguous()?,
            };
            self.by_name.insert(name.clone(), sum);
        }
        Ok(())
    }

    /// Adds those of the other ranks.
    ///
    /// # Errors
    /// When another rank has given up.
    pub fn all_reduce(&mut self, collective: &dyn Collective) -> Result<()> {
        collective::all_reduce_gradients(collective, &mut self.by_name)
    }

    /// Whether no variable has a gradient.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Euclidean norm over all of them. Those on a CUDA card are waited for once.
    ///
    /// # Errors
    /// When a gradient cannot be read.
    pub fn norm(&self) -> Result<f64> {
        let gradients: Vec<&Tensor> = self.by_name.values().collect();
        #[cfg(feature = "cuda")]
        let (mut total, gradients) = cuda::sum_of_squares(gradients)?;
        #[cfg(not(feature = "cuda"))]
        let mut total = 0.0;
        for gradient in gradients {
            total += sweep::sum_of_squares(gradient)?;
        }
        Ok(total.sqrt())
    }
}
