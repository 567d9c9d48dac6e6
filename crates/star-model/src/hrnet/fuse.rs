//! Exchange between resolutions: every branch receives the sum of all, brought to its own size.

use candle_core::{Result, Tensor};

use crate::activation::{Activation, relu};
use crate::builder::Builder;
use crate::interpolate::upsample_bilinear;
use crate::layers::ConvNorm;

/// What one branch contributes to another.
pub(crate) enum FusePath {
    /// A branch to itself: as it is.
    Same,
    /// From a lower resolution: 1x1 to the target's channels, then bilinear by `factor`.
    Up { conv: ConvNorm, factor: usize },
    /// From a higher resolution: 3x3 of stride 2 until the size fits, a ReLU between but not behind them.
    Down(Vec<ConvNorm>),
}

impl FusePath {
    fn new(channels: &[usize], from: usize, to: usize, vb: &Builder) -> Result<Self> {
        let vb = vb.pp(to).pp(from);
        if from == to {
            return Ok(Self::Same);
        }
        if from > to {
            let conv = ConvNorm::new(channels[from], channels[to], 1, 1, vb.pp(0), vb.pp(1))?;
            return Ok(Self::Up { conv, factor: 1 << (from - to) });
        }
        let steps = to - from;
        let step = |k: usize| {
            let output = if k + 1 == steps { channels[to] } else { channels[from] };
            let vb = vb.pp(k);
            ConvNorm::new(channels[from], output, 3, 2, vb.pp(0), vb.pp(1))
        };
        Ok(Self::Down((0..steps).map(step).collect::<Result<_>>()?))
    }

    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match self {
            Self::Same => Ok(x.clone()),
            Self::Up { conv, factor } => {
                upsample_bilinear(&conv.forward_t(x, train, Activation::None)?, *factor)
            }
            Self::Down(convs) => {
                let last = convs.len().saturating_sub(1);
                let step = |x: Tensor, (k, conv): (usize, &ConvNorm)| {
                    conv.forward_t(&x, train, Activation::relu_if(k < last))
                };
                convs.iter().enumerate().try_fold(x.clone(), step)
            }
        }
    }
}

/// All contributions: `paths[to][from]`.
pub(crate) struct Fuse {
    pub(crate) paths: Vec<Vec<FusePath>>,
}

impl Fuse {
    /// Between branches of `channels`, highest resolution first.
    pub(super) fn new(channels: &[usize], vb: &Builder) -> Result<Self> {
        let all = 0..channels.len();
        let towards = |to: usize| all.clone().map(|from| FusePath::new(channels, from, to, vb)).collect();
        Ok(Self { paths: all.clone().map(towards).collect::<Result<_>>()? })
    }

    /// One map a branch in, one out: `[B, C_i, M / 2^i, M / 2^i]`.
    pub(super) fn forward_t(&self, branches: &[Tensor], train: bool) -> Result<Vec<Tensor>> {
        let towards = |paths: &Vec<FusePath>| {
            let mut parts = paths.iter().zip(branches).map(|(path, x)| path.forward_t(x, train));
            let first = parts.next().unwrap_or_else(|| candle_core::bail!("a module without branches"))?;
            relu(&parts.try_fold(first, |sum, part| sum + part?)?)
        };
        self.paths.iter().map(towards).collect()
    }
}
