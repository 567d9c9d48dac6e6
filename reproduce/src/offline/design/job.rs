//! One training of the design.

use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;

use crate::variant::Variant;

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    pub(crate) variant: Variant,
    pub(crate) seed: u64,
}

impl Job {
    /// Name of its folder.
    pub(crate) fn id(&self) -> String {
        format!("{}-s{}-{}-{}", subject_name(self.subject), self.strength, self.variant.slug, self.seed)
    }

    /// What is printed of it.
    pub(crate) fn title(&self) -> String {
        format!(
            "{}, strength {}, {}, seed {}",
            subject_name(self.subject),
            self.strength,
            self.variant.name,
            self.seed
        )
    }
}

/// `face` or `hand`.
pub(crate) fn subject_name(subject: Subject) -> &'static str {
    match subject {
        Subject::Face => "face",
        Subject::Hand => "hand",
    }
}
