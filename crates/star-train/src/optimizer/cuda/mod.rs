//! All variables at once on a CUDA card: one launch where tensor operations would be a dozen a variable.

mod table;
#[cfg(test)]
mod tests;

use candle_core::{DType, Result, Tensor, bail};
use star_model::cuda::card;
use star_model::launch;

use self::table::{OnCard, Tables};
use super::Slot;
use super::step::Step;

/// The launches of one place in the program, with what the card keeps for them.
#[derive(Default)]
pub(crate) struct Launches(OnCard);

impl Launches {
    /// Takes a step with all of `moved` that lie on cards, each with its gradient; returns the others.
    ///
    /// # Errors
    /// When a gradient does not fit its variable.
    pub(super) fn step<'a>(
        &mut self,
        step: &Step,
        moved: Vec<(&'a Slot, &'a Tensor)>,
    ) -> Result<Vec<(&'a Slot, &'a Tensor)>> {
        let (mut tables, mut rest, mut held) = (Tables::default(), Vec::new(), Vec::new());
        for (slot, gradient) in moved {
            let (var, count) = (slot.var.as_tensor(), slot.var.elem_count());
            if gradient.elem_count() != count {
                bail!("{}: expected a gradient {:?}, got {:?}", slot.name, var.dims(), gradient.dims())
            }
            let values = gradient.contiguous()?;
            if tables.add([Some(var), Some(&slot.kept), Some(&values)], count)? {
                held.push(values);
            } else {
                rest.push((slot, gradient));
            }
        }
        for (index, table) in tables.0.iter().enumerate() {
            let (grid, count) = (table.grid()?, table.count()?);
            let words = self.0.table(index, table)?;
            match step {
                Step::Adam(adam) => launch!(
                    table.kernel("adam")?,
                    grid,
                    words,
                    &count,
                    &adam.beta1,
                    &adam.beta2,
                    &adam.eps,
                    &adam.keep,
                    &adam.rate,
                    &adam.root,
                    &adam.scale,
                ),
                Step::Momentum(step) => launch!(
                    table.kernel("momentum")?,
                    grid,
                    words,
                    &count,
                    &step.sgd.momentum,
                    &step.sgd.weight_decay,
                    &step.rate,
                    &step.scale,
                    &i32::from(step.sgd.nesterov),
                    &i32::from(step.first),
                ),
            }
        }
        drop(held);
        Ok(rest)
    }

    /// `average = keep * average + (1 - keep) * value` for all pairs of an average and a value that lie on cards; returns the others.
    ///
    /// # Errors
    /// When a value has not its average's number of elements.
    pub(crate) fn blend<'a>(
        &mut self,
        keep: f64,
        pairs: Vec<(&'a Tensor, Tensor)>,
    ) -> Result<Vec<(&'a Tensor, Tensor)>> {
        let (mut tables, mut rest, mut held) = (Tables::default(), Vec::new(), Vec::new());
        for (average, value) in pairs {
            if average.dims() != value.dims() {
                bail!("average: expected a value {:?}, got {:?}", average.dims(), value.dims())
            }
            if tables.add([Some(average), None, Some(&value)], average.elem_count())? {
                held.push(value);
            } else {
                rest.push((average, value));
            }
        }
        for (index, table) in tables.0.iter().enumerate() {
            let (grid, count) = (table.grid()?, table.count()?);
            launch!(table.kernel("blend")?, grid, self.0.table(index, table)?, &count, &keep);
        }
        drop(held);
        Ok(rest)
    }
}

/// The sum of the squares of all elements of those tensors that lie on cards, which are waited for once, and the other tensors.
pub(super) fn sum_of_squares(tensors: Vec<&Tensor>) -> Result<(f64, Vec<&Tensor>)> {
    let (mut tables, mut rest, mut held) = (Tables::default(), Vec::new(), Vec::new());
    for tensor in tensors {
        let values = tensor.contiguous()?;
        if tables.add([None, None, Some(&values)], tensor.elem_count())? {
            held.push(values);
        } else {
            rest.push(tensor);
        }
    }
    let mut sums = Vec::new();
    for table in &tables.0 {
        let on_card = table.device.clone_htod(&table.words())?;
        let mut own = card::unwritten(&table.device, DType::F64, table.pieces())?;
        launch!(
            table.kernel("squares")?,
            table.grid()?,
            &on_card,
            &table.count()?,
            own.as_cuda_slice_mut::<f64>()?,
        );
        sums.push(own);
    }
    drop(held);
    // Added in the order of pieces, so that the sum is the same every time.
    let mut total = 0.0;
    for (own, table) in sums.iter().zip(&tables.0) {
        total += table.device.clone_dtoh(own.as_cuda_slice::<f64>()?)?.iter().sum::<f64>();
    }
    Ok((total, rest))
}
