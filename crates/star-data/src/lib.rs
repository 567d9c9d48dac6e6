#![doc = include_str!("../README.md")]

pub mod affine;
pub mod augment;
pub mod crop;
pub mod dataset;
pub mod decode;
pub mod error;
pub mod formats;
pub mod loader;
pub mod sample;
pub mod scheme;
pub mod synthetic;
pub mod target;
pub mod warp;

pub use dataset::Dataset;
pub use error::{Error, Result};
pub use sample::{FaceBox, Sample};
pub use scheme::Scheme;
