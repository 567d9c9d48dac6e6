//! Comparing tensors with those that a network requires.

use std::collections::BTreeMap;

use candle_core::{Result, bail};

use super::Tensors;

/// One line for each tensor that is missing or misshapen, or surplus and not `spare`.
pub(crate) fn misfits(
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
pub(crate) fn refuse(problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{} tensors do not fit the network:\n  {}", problems.len(), problems.join("\n  "))
}
