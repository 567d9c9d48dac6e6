//! Annotations as they lie on disk, one file a form.

pub mod pts;
pub mod tsv;
