//! Everything that can be wrong with data, said so that a person can put it right.

use std::path::PathBuf;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An image cannot be decoded.
    #[error("{}: not a readable image: {reason}", path.display())]
    Decode {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A field of an annotation file is not what it must be.
    #[error("{}: line {line}: {field}: expected {expected}, got {got}", path.display())]
    Row {
        /// The annotation file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A part of an annotation file or folder that has no lines is not what it must be.
    #[error("{}: {field}: expected {expected}, got {got}", path.display())]
    Content {
        /// The annotation file or folder.
        path: PathBuf,
        /// The part, such as `annotations[3] (id 17): keypoints`.
        field: String,
        /// What it must be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// Another program that is needed is missing or failed.
    #[error("{}: the program `{program}` {reason}", path.display())]
    Program {
        /// What it was needed for.
        path: PathBuf,
        /// The program.
        program: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// A data set without a single sample.
    #[error("{}: the data set is empty: expected {expected}", path.display())]
    Empty {
        /// The annotation file or folder.
        path: PathBuf,
        /// What was looked for.
        expected: String,
    },
    /// A keypoint scheme that is not built in.
    #[error("no scheme `{name}`; built in are {known} (or give a .toml file with a scheme of your own)")]
    UnknownScheme {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A built-in keypoint scheme by another name than its own.
    #[error("scheme: `{name}` is called `{scheme}` here")]
    OtherName {
        /// The name asked for.
        name: String,
        /// Its name.
        scheme: String,
    },
    /// A scheme whose parts do not fit each other.
    #[error("scheme `{name}`: {field}: expected {expected}, got {got}")]
    Scheme {
        /// The scheme.
        name: String,
        /// The field.
        field: String,
        /// What it must be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A scheme file that is no TOML of a scheme.
    #[error("{}: {reason}", path.display())]
    SchemeFile {
        /// The file.
        path: PathBuf,
        /// Line and field.
        reason: String,
    },
    /// A setting out of its range.
    #[error("{field}: expected {expected}, got {got}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// Code that reads or prepares a sample panicked in a worker.
    #[error("{}: preparing sample {index} panicked: {reason} (a fault of the program or of the data set's reader)", path.display())]
    Panicked {
        /// Where the sample comes from.
        path: PathBuf,
        /// Its index.
        index: usize,
        /// The panic's message.
        reason: String,
    },
    /// A sample that does not exist.
    #[error("sample {index}: the data set has {len}")]
    Index {
        /// The index asked for.
        index: usize,
        /// Number of samples.
        len: usize,
    },
    /// A box or transform without area, or with numbers that are not finite.
    #[error("{what}: expected finite numbers and a positive size, got {got}")]
    Degenerate {
        /// What has no area.
        what: &'static str,
        /// Its numbers.
        got: String,
    },
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// An [`Error::Content`] about `field` of `path`.
    pub fn content(
        path: impl Into<PathBuf>,
        field: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        let (field, expected, got) = (field.into(), expected.into(), got.into());
        Self::Content { path: path.into(), field, expected, got }
    }
}
