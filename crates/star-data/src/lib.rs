#![doc = include_str!("../README.md")]

pub mod affine;
pub mod atomic;
pub mod augment;
pub mod cache;
pub mod check;
pub mod crop;
pub mod dataset;
pub mod decode;
pub mod error;
pub mod formats;
pub mod images;
pub mod loader;
pub mod recrop;
pub mod region;
pub mod sample;
pub mod sampling;
pub mod scheme;
pub mod scheme_map;
pub mod shards;
pub mod synthetic;
pub mod target;
pub mod warp;

pub use dataset::Dataset;
pub use error::{Error, Result};
pub use sample::{Annotation, FaceBox, Sample};
pub use scheme::Scheme;
