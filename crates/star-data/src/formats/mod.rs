//! Annotations on disk, one file or folder a format, each with an `open` of its own, and [`Source`], which opens any of them by name.
//!
//! | format | what | where |
//! |---|---|---|
//! | WFLW | list files, 98 points | [`wflw`] |
//! | 300W | folders of `.pts`, 68 points | [`face300w`] |
//! | COFW | MATLAB v7.3, 29 points | [`cofw`] |
//! | 300VW | videos and `.pts`, 68 points | [`face300vw`] |
//! | COCO | JSON, any points | [`coco`] |
//! | TSV | rows as the method's reference reads them | [`tsv`] |
//! | pts | one folder of `.pts` | [`pts`] |
//! | HRNet | CSV files of HRNet-Facial-Landmark-Detection, any points | [`hrnet`] |
//! | imglab | XML files of dlib's imglab, any points | [`imglab`] |
//! | ljson | menpo's `.ljson` files beside their images, any points | [`ljson`] |
//! | own | TOML and CSV, any points | [`own`] |
//!
//! Every reader makes points 0-based pixels, and hands back every row that it cannot use as an error with path, line, field, expected
//! and got. The module of each format says where the format comes from, its splits and subsets, and the crop that the published models
//! were trained with.

mod annotated;
pub mod coco;
pub mod cofw;
mod definition;
pub mod face300vw;
pub mod face300w;
mod format;
pub mod hrnet;
pub mod imglab;
mod layout;
pub mod ljson;
pub mod own;
mod paths;
mod place;
pub mod pts;
mod sniff;
mod source;
pub mod tsv;
pub mod wflw;

pub use annotated::{AnnotatedImages, Read};
pub use definition::{Compat, Split};
pub use format::Format;
pub use layout::folder_of;
pub(crate) use own::line_of;
pub(crate) use sniff::read_rows;
pub use source::{Opened, Source};
