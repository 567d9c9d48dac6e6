//! Weights that a run starts from instead of random ones.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use star_model::Parameters;
use star_model::checkpoint::{self, Architecture, Folder, Which};

/// Parameters for `architecture` from a folder of ours or a weights file: every tensor whose name and shape fit is taken, the others
/// are drawn from `seed`. Says how many were taken.
///
/// # Errors
/// When the weights cannot be read, or none of their tensors fit.
pub(super) fn parameters(
    from: &Path,
    architecture: &Architecture,
    dtype: DType,
    device: &Device,
    seed: u64,
) -> Result<Parameters> {
    let tensors = if from.is_dir() {
        Folder::load(from).context("init_from")?.tensors
    } else {
        checkpoint::read(from, Which::Net).context("init_from")?
    };
    let Architecture::StackedHourglass(network) = architecture;
    let (taken, drawn) = split(tensors, &checkpoint::expected(network)?);
    ensure!(
        !taken.is_empty(),
        "init_from: {}: no tensor has a name and shape of this network",
        from.display()
    );
    eprintln!("init_from: {}: {} tensors taken{}", from.display(), taken.len(), told(&drawn));
    Ok(Parameters::from_tensors(&taken, dtype, device, seed)?)
}

/// The tensors that fit, and the names of those that must be drawn.
fn split(
    tensors: BTreeMap<String, Tensor>,
    expected: &BTreeMap<String, Vec<usize>>,
) -> (BTreeMap<String, Tensor>, Vec<String>) {
    let fits = |name: &String, tensor: &Tensor| {
        expected.get(name).is_some_and(|shape| tensor.dims() == shape.as_slice())
    };
    let taken: BTreeMap<String, Tensor> =
        tensors.into_iter().filter(|(name, tensor)| fits(name, tensor)).collect();
    let drawn = expected.keys().filter(|name| !taken.contains_key(*name)).cloned().collect();
    (taken, drawn)
}

fn told(drawn: &[String]) -> String {
    const SHOWN: usize = 4;
    if drawn.is_empty() {
        return String::new();
    }
    let more = if drawn.len() > SHOWN { ", ..." } else { "" };
    format!("; {} drawn anew: {}{more}", drawn.len(), drawn[..drawn.len().min(SHOWN)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_that_fit_are_taken_and_the_head_of_another_scheme_is_not() {
        let tensor = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let given = BTreeMap::from([
            ("head".to_string(), tensor(&[98, 4])),
            ("trunk".to_string(), tensor(&[4, 4])),
            ("unknown".to_string(), tensor(&[1])),
        ]);
        let expected = BTreeMap::from([("head".to_string(), vec![68, 4]), ("trunk".to_string(), vec![4, 4])]);
        let (taken, drawn) = split(given, &expected);
        assert_eq!(taken.into_keys().collect::<Vec<_>>(), ["trunk"]);
        assert_eq!(drawn, ["head"]);
        assert_eq!(told(&drawn), "; 1 drawn anew: head");
    }
}
