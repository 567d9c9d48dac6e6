//! What every landmark network offers, whatever its backbone.

use std::sync::Arc;

use candle_core::{Result, Tensor, Var};

use crate::InputSpec;

/// A network that turns images into one heatmap a keypoint, possibly at several stages.
pub trait LandmarkModel: Send + Sync {
    /// Runs the network on `images`: `[B, 3, S, S]`, in the channel order and scaling of [`LandmarkModel::input`].
    ///
    /// Activations have the type of the images: `bf16` images on parameters in `f32` are mixed precision, for GPUs. Statistics of
    /// batch norms and the maps returned keep the type of the parameters.
    ///
    /// `train` selects batch statistics in batch norms and updates their running statistics.
    /// Returns the stages in order; the last one is the prediction.
    ///
    /// # Errors
    /// When the shape, dtype or device of `images` does not fit the network.
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<Stage>>;

    /// What the network expects of its input and the size of the maps it returns.
    fn input(&self) -> &InputSpec;

    /// The variables by name, for training: parameters, and buffers in floating point, which are averaged and saved with them.
    ///
    /// Names that end in `running_mean` or `running_var` are those of buffers: no gradient moves them. A network over a
    /// [`candle_nn::VarMap`] returns what the map holds. None by default: a network for inference alone.
    fn variables(&self) -> Vec<(String, Var)> {
        Vec::new()
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<M: LandmarkModel + ?Sized> LandmarkModel for $pointer {
            fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<Stage>> {
                (**self).forward_t(images, train)
            }

            fn input(&self) -> &InputSpec {
                (**self).input()
            }

            fn variables(&self) -> Vec<(String, Var)> {
                (**self).variables()
            }
        }
    )*};
}

// Pointers to networks are networks.
forward!(Box<M>, Arc<M>);

/// The maps of one stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Non-negative heatmaps `[B, K, M, M]`: what the loss and the decoder read.
    pub heatmaps: Tensor,
    /// Auxiliary maps, where the network has the attention branch.
    pub aux: Option<AuxMaps>,
}

/// Auxiliary maps in `[0, 1]` that the attention branch predicts.
#[derive(Clone, Debug)]
pub struct AuxMaps {
    /// One bump a keypoint: `[B, K, M, M]`.
    pub pointmaps: Tensor,
    /// One curve an edge: `[B, E, M, M]`.
    pub edgemaps: Tensor,
}
