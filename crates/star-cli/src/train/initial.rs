//! Weights that a run starts from instead of random ones.

use std::path::Path;

use anyhow::{Context, Result};
use star_model::checkpoint::{Architecture, Tensors};
use star_predict::weights;

use crate::progress::FetchBar;

/// Tensors for `architecture` from a folder of ours, a weights file, a name of the registry or an address on the Hub; a
/// relative path starts from `base`. The trunk must fit as a whole, heads are taken where they fit, as those of another scheme do
/// not; what is not taken is drawn from the seed. Says how many were taken.
///
/// # Errors
/// When the weights cannot be read, or a tensor of the trunk does not fit.
pub(super) fn tensors(from: &Path, base: &Path, architecture: &Architecture) -> Result<Tensors> {
    let told_as = from.display();
    let tensors = weights::tensors(from, base, &mut FetchBar::default()).context("init_from")?;
    let (taken, drawn) = architecture.start_from(tensors).with_context(|| format!("init_from: {told_as}"))?;
    eprintln!("init_from: {told_as}: {} tensors taken{}", taken.len(), told(&drawn));
    Ok(taken)
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
    fn what_is_drawn_anew_is_told_and_a_long_list_is_cut() {
        let names = |count: usize| (0..count).map(|i| format!("w{i}")).collect::<Vec<_>>();
        assert_eq!(told(&[]), "");
        assert_eq!(told(&names(2)), "; 2 drawn anew: w0, w1");
        assert_eq!(told(&names(9)), "; 9 drawn anew: w0, w1, w2, w3, ...");
    }
}
