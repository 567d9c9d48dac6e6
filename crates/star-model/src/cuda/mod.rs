//! Networks on CUDA cards: kernels where candle would take several passes over memory, convolutions by cuDNN.

pub mod card;
#[cfg(feature = "cudnn")]
pub(crate) mod conv;
pub(crate) mod norm;
#[cfg(feature = "cudnn")]
mod pass;
pub(crate) mod pointwise;
#[cfg(feature = "cudnn")]
pub(crate) mod step;
#[cfg(test)]
mod tests;

pub use card::open;
