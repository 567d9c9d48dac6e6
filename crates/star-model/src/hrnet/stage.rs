//! A stage of an HRNet: one more resolution than before, then modules of parallel branches that exchange at their ends.

use candle_core::{Result, Tensor};

use super::block::Basic;
use super::fuse::Fuse;
use crate::activation::Activation;
use crate::builder::Builder;
use crate::layers::ConvNorm;

/// Where a branch of a stage begins.
pub(crate) enum Transition {
    /// The branch goes on unchanged.
    Keep,
    /// 3x3 to another width, same size.
    Widen(ConvNorm),
    /// The new branch: 3x3 of stride 2 from the lowest resolution so far.
    Halve(ConvNorm),
}

/// Parallel branches of residual blocks, and the exchange behind them.
pub(crate) struct Module {
    pub(crate) branches: Vec<Vec<Basic>>,
    pub(crate) fuse: Fuse,
}

impl Module {
    fn new(channels: &[usize], blocks: usize, vb: &Builder) -> Result<Self> {
        let branch = |(b, &channels): (usize, &usize)| {
            (0..blocks).map(|k| Basic::new(channels, &vb.pp("branches").pp(b).pp(k))).collect()
        };
        Ok(Self {
            branches: channels.iter().enumerate().map(branch).collect::<Result<_>>()?,
            fuse: Fuse::new(channels, &vb.pp("fuse_layers"))?,
        })
    }

    fn forward_t(&self, inputs: Vec<Tensor>, train: bool) -> Result<Vec<Tensor>> {
        let along = |(blocks, x): (&Vec<Basic>, Tensor)| {
            blocks.iter().try_fold(x, |x, block| block.forward_t(&x, train))
        };
        let outputs = self.branches.iter().zip(inputs).map(along).collect::<Result<Vec<_>>>()?;
        self.fuse.forward_t(&outputs, train)
    }
}

/// A transition and the modules behind it.
pub(crate) struct Stage {
    pub(crate) transitions: Vec<Transition>,
    pub(crate) modules: Vec<Module>,
}

impl Stage {
    /// Stage `number` (2, 3 or 4) from branches of `before` to branches of `channels` channels.
    pub(super) fn new(
        number: usize,
        before: &[usize],
        channels: &[usize],
        (modules, blocks): (usize, usize),
        vb: &Builder,
    ) -> Result<Self> {
        let place = vb.pp(format!("transition{}", number - 1));
        let transition = |(branch, &output): (usize, &usize)| {
            let vb = place.pp(branch);
            match before.get(branch) {
                Some(&input) if input == output => Ok(Transition::Keep),
                Some(&input) => {
                    Ok(Transition::Widen(ConvNorm::new(input, output, 3, 1, vb.pp(0), vb.pp(1))?))
                }
                None => {
                    let (input, vb) = (before[before.len() - 1], vb.pp(0));
                    Ok(Transition::Halve(ConvNorm::new(input, output, 3, 2, vb.pp(0), vb.pp(1))?))
                }
            }
        };
        let stage = vb.pp(format!("stage{number}"));
        Ok(Self {
            transitions: channels.iter().enumerate().map(transition).collect::<Result<_>>()?,
            modules: (0..modules)
                .map(|m| Module::new(channels, blocks, &stage.pp(m)))
                .collect::<Result<_>>()?,
        })
    }

    /// One map a branch, highest resolution first; one branch more out than in.
    pub(super) fn forward_t(&self, inputs: &[Tensor], train: bool) -> Result<Vec<Tensor>> {
        let enter = |(branch, transition): (usize, &Transition)| {
            let last = inputs.len() - 1;
            match transition {
                Transition::Keep => Ok(inputs[branch].clone()),
                Transition::Widen(conv) => conv.forward_t(&inputs[branch], train, Activation::Relu),
                Transition::Halve(conv) => conv.forward_t(&inputs[last], train, Activation::Relu),
            }
        };
        let entered = self.transitions.iter().enumerate().map(enter).collect::<Result<Vec<_>>>()?;
        self.modules.iter().try_fold(entered, |branches, module| module.forward_t(branches, train))
    }
}
