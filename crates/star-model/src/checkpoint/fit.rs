//! Comparing tensors with those that a network requires.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::Tensors;

/// Name and shape of every tensor that `build` requests from its builder.
pub(super) fn record<T>(build: impl FnOnce(VarBuilder) -> Result<T>) -> Result<BTreeMap<String, Vec<usize>>> {
    let recorder = Recorder::default();
    build(VarBuilder::from_backend(Box::new(recorder.clone()), DType::F32, Device::Cpu))?;
    let names = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(names.clone())
}

/// One line for each tensor that is missing or misshapen, or surplus and not `spare`.
pub(super) fn misfits(
    tensors: &Tensors,
    expected: &BTreeMap<String, Vec<usize>>,
    spare: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, shape) in expected {
        match tensors.get(name) {
            None => problems.push(format!("missing: {name} {shape:?}")),
            Some(tensor) if tensor.dims() != shape.as_slice() => {
                problems.push(format!("misshapen: {name}: expected {shape:?}, got {:?}", tensor.dims()));
            }
            Some(_) => {}
        }
    }
    let surplus = tensors.iter().filter(|(name, _)| !expected.contains_key(*name) && !spare(name));
    problems.extend(surplus.map(|(name, tensor)| format!("surplus: {name} {:?}", tensor.dims())));
    problems
}

/// An error with all problems, where there are any.
pub(super) fn refuse(problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{} tensors do not fit the network:\n  {}", problems.len(), problems.join("\n  "))
}

/// Records the requests of a network and returns zeros that take no memory.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<BTreeMap<String, Vec<usize>>>>);

impl SimpleBackend for Recorder {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_string(), shape.dims().to_vec());
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        bail!("{name}: a network must say what shape it expects")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
