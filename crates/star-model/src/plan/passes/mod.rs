//! Rewriting passes: each leaves a network that computes the same, up to rounding, in fewer or cheaper steps.

mod compose;
mod heads;
mod inputs;
mod sums;
#[cfg(test)]
pub(super) mod tests;

use candle_core::{Result, bail};

use super::fold::Linear;
use super::lowered::{Conv, Kind, Lowered};

/// A pass by its name.
pub(super) type Pass = (&'static str, for<'a> fn(&mut Lowered<'a>));

/// All passes in the order in which they are made.
pub(super) const PASSES: [Pass; 9] = [
    ("a convolution reads the parts of a concatenation", inputs::split_concatenations),
    ("a norm behind a convolution becomes part of its weights", sums::fold_norms),
    ("what constant coordinates contribute becomes a constant", inputs::coordinate_constants),
    ("a norm with its ReLU in front of 1x1 convolutions becomes part of them", inputs::norms_in_front),
    ("a sum becomes part of a convolution or an upsampling", sums::merge_sums),
    ("a ReLU becomes part of what it stands behind", sums::relus_behind),
    ("a stage's heads become one convolution", heads::join_heads),
    ("two 1x1 convolutions, one behind the other, become one", compose::compose),
    ("a 1x1 convolution of upsampled maps goes before the upsampling", compose::convolve_before_upsampling),
];

impl Lowered<'_> {
    /// Makes all passes, then writes what is left over of norms, ReLUs and sums as convolutions.
    pub(super) fn rewrite(&mut self) -> Result<()> {
        for (_, pass) in PASSES {
            pass(self);
        }
        self.leftovers()
    }

    /// A norm, a ReLU or a sum that no pass has found a place for, as a 1x1 convolution by a diagonal.
    fn leftovers(&mut self) -> Result<()> {
        for id in self.order.clone() {
            let channels = self.values[id].channels;
            let one = |x: usize| Conv::of(Linear::diagonal(&vec![1.0; channels]), x, 1, 0);
            let conv = match &self.values[id].kind {
                Kind::Affine(x, norm) => {
                    let same = Linear::diagonal(&vec![1.0; channels]);
                    Conv::of(same.then(&norm.scale, &norm.shift), *x, 1, 0)
                }
                Kind::Relu(x) => Conv { activation: crate::activation::Activation::Relu, ..one(*x) },
                Kind::Add(a, b) => Conv { addend: Some(*b), ..one(*a) },
                Kind::Concat(parts) if self.is_read(id) => {
                    bail!("a concatenation of {} maps that no convolution reads", parts.len())
                }
                Kind::Heatmaps(..) | Kind::Sigmoid(_) | Kind::Gate(_) if self.is_read(id) => {
                    bail!("maps that are no stage's: no step computes them")
                }
                _ => continue,
            };
            self.values[id].kind = Kind::Conv(conv);
        }
        Ok(())
    }

    fn is_read(&self, id: usize) -> bool {
        !self.readers()[id].is_empty()
    }
}
