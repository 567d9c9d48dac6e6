//! Weights of the restriction: chosen before a run, then left alone.

use star_data::synthetic::Subject;

use crate::variant::Variant;

/// The weight of each side's restriction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weights {
    pub(crate) restricted: f64,
    pub(crate) isotropic: f64,
    pub(crate) star: f64,
}

/// What pilots try for each side.
const TRIED: [[f64; 3]; 3] = [[0.1, 0.3, 1.0], [1.0, 3.0, 10.0], [1.0, 3.0, 10.0]];

impl Weights {
    /// Of those tried the ones with the least error across the contour on the images that pilots were scored on, which no other run has:
    /// each loss at its best in what is asked.
    pub(crate) fn of(subject: Subject) -> Self {
        match subject {
            Subject::Face | Subject::Hand => Self { restricted: 0.1, isotropic: 3.0, star: 3.0 },
            Subject::Leaf => Self { restricted: 1.0, isotropic: 3.0, star: 3.0 },
        }
    }

    /// Smooth-L1, smooth-L1 + restriction, isotropic, STAR.
    pub(crate) fn losses(self) -> [Variant; 4] {
        [
            Variant::plain(),
            Variant::plain_restricted(self.restricted),
            Variant::isotropic(self.isotropic),
            Variant::star_of(self.star),
        ]
    }
}

/// Every side under every weight that is tried.
pub(super) fn candidates() -> Vec<Variant> {
    let [restricted, isotropic, star] = TRIED;
    let mut all: Vec<Variant> = restricted.map(Variant::plain_restricted).to_vec();
    all.extend(isotropic.map(Variant::isotropic));
    all.extend(star.map(Variant::star_of));
    all
}
