//! The words that options take.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use star_data::formats::Compat;

/// What is reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// The claim on synthetic ambiguity: no data, no network
    Offline,
    /// The same on photographs with the labels of several detectors
    Portraits,
    /// WFLW, 98 points
    Wflw,
    /// 300W, 68 points
    #[value(name = "300w")]
    #[serde(rename = "300w")]
    Face300w,
    /// COFW, 29 points
    Cofw,
    /// 300VW, 68 points in videos
    #[value(name = "300vw")]
    #[serde(rename = "300vw")]
    Face300vw,
    /// All published data sets
    All,
}

impl Profile {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Portraits => "portraits",
            Self::Wflw => "wflw",
            Self::Face300w => "300w",
            Self::Cofw => "cofw",
            Self::Face300vw => "300vw",
            Self::All => "all",
        }
    }
}

/// Where networks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Published weights
    Weights,
    /// Trained here
    Scratch,
}

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StageName {
    /// Look at the data and hash them
    Check,
    /// Fetch published weights
    Fetch,
    /// Train
    Train,
    /// Score
    Eval,
    /// Tables and report
    Table,
}

impl StageName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Fetch => "fetch",
            Self::Train => "train",
            Self::Eval => "eval",
            Self::Table => "table",
        }
    }
}

/// Whether the reference's deviations are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CompatArg {
    /// They are not
    None,
    /// The first row of a TSV file is dropped, COFW's points stay 1-based, labels are clamped, the best epoch is chosen on the test set
    Reference,
}

impl CompatArg {
    pub(crate) fn compat(self) -> Compat {
        match self {
            Self::None => Compat::None,
            Self::Reference => Compat::Reference,
        }
    }
}
