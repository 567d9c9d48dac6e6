//! What a training differs by from the one it is compared with; the same lists for synthetic images and for published data sets.

pub(crate) mod tables;

use serde::{Deserialize, Serialize};
use star_train::config::{Backbone, DistanceName, LossKind, ModelSection, RestrictionName, TrainConfig};
use star_train::{Decay, StepDecay};

use crate::controls::Control;

/// Far more than there are seeds of trainings: the seeds of their starts are apart.
const START: u64 = 1_000_000;

/// The landmark term: one of a training file, or a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum LossName {
    Named(LossKind),
    Control(Control),
}

impl From<LossKind> for LossName {
    fn from(kind: LossKind) -> Self {
        Self::Named(kind)
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Loss(LossName, DistanceName),
    Restriction(RestrictionName, f64),
    Attention(bool),
    /// An HRNet of this width instead of the hourglass.
    HrNet(usize),
    Stacks(usize),
    /// Factor on the number of epochs.
    Epochs(f64),
    /// Other weights at the start, another order and other augmentation of the same data.
    Start(u64),
}

/// A training by what it changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Variant {
    /// Name of its folders.
    pub(crate) slug: String,
    /// What a reader calls it.
    pub(crate) name: String,
    pub(crate) changes: Vec<Change>,
}

impl Variant {
    pub(crate) fn new(slug: impl Into<String>, name: impl Into<String>, changes: Vec<Change>) -> Self {
        Self { slug: slug.into(), name: name.into(), changes }
    }

    /// Soft-argmax regression with smooth-L1: what STAR is compared with.
    pub(crate) fn plain() -> Self {
        Self::new("plain", "smooth-L1", vec![Change::Loss(LossKind::Plain.into(), DistanceName::SmoothL1)])
    }

    /// The paper's loss.
    pub(crate) fn star() -> Self {
        Self::new(
            "star",
            "STAR (smooth-L1)",
            vec![Change::Loss(LossKind::StarPerAxis.into(), DistanceName::SmoothL1)],
        )
    }

    /// STAR's restriction of a weight on smooth-L1 along STAR's axes: nothing of STAR but that.
    pub(crate) fn plain_restricted(weight: f64) -> Self {
        Self::controlled("restricted", "smooth-L1 + restriction", Control::Unscaled, weight)
    }

    /// STAR under one factor for both axes, which passes no gradient: everything of it but its direction.
    pub(crate) fn isotropic(weight: f64) -> Self {
        Self::controlled("isotropic", "isotropic (detached)", Control::IsotropicDetached, weight)
    }

    /// STAR as published, its restriction of a weight.
    pub(crate) fn star_of(weight: f64) -> Self {
        let loss = Change::Loss(LossKind::StarPerAxis.into(), DistanceName::SmoothL1);
        Self::new(
            format!("star-{weight}"),
            "STAR",
            vec![loss, Change::Restriction(RestrictionName::Value, weight)],
        )
    }

    fn controlled(slug: &str, name: &str, control: Control, weight: f64) -> Self {
        let loss = Change::Loss(LossName::Control(control), DistanceName::SmoothL1);
        let restriction = Change::Restriction(RestrictionName::Value, weight);
        Self::new(format!("{slug}-{weight}"), name, vec![loss, restriction])
    }

    /// STAR with the value restriction of a weight.
    pub(crate) fn restricted(weight: f64) -> Self {
        let change = Change::Restriction(RestrictionName::Value, weight);
        Self::star().with(&format!("value-{weight}"), &format!("value, weight {weight}"), change)
    }

    /// STAR with nothing to keep eigenvalues from growing.
    pub(crate) fn no_restriction() -> Self {
        Self::star().with("none", "no restriction", Change::Restriction(RestrictionName::None, 1.0))
    }

    /// STAR with the eigenvalues cut from the graph.
    pub(crate) fn detached() -> Self {
        Self::star().with("detach", "detached", Change::Restriction(RestrictionName::Detach, 1.0))
    }

    /// The name, with the weight of its restriction where that is one of these losses' own.
    pub(crate) fn labelled(&self) -> String {
        let weight = self.changes.iter().find_map(|change| match change {
            Change::Restriction(_, weight) => Some(weight),
            _ => None,
        });
        weight.map_or(self.name.clone(), |weight| format!("{} (weight {weight})", self.name))
    }

    /// This with one more change.
    pub(crate) fn with(&self, slug: &str, name: &str, change: Change) -> Self {
        let mut changes = self.changes.clone();
        changes.push(change);
        Self::new(format!("{}-{slug}", self.slug), format!("{}, {name}", self.name), changes)
    }

    /// Its loss.
    pub(crate) fn loss(&self) -> Option<LossName> {
        self.changes.iter().find_map(|change| match change {
            Change::Loss(name, _) => Some(*name),
            _ => None,
        })
    }

    /// The control that is its loss, if one is.
    pub(crate) fn control(&self) -> Option<Control> {
        match self.loss()? {
            LossName::Control(control) => Some(control),
            LossName::Named(_) => None,
        }
    }

    /// Whether `other` is plain regression by the same distance, with every other change of this but the restriction.
    pub(crate) fn is_plain_of(&self, other: &Self) -> bool {
        let plain = |change: &Change| match change {
            Change::Loss(_, distance) => Some(Change::Loss(LossKind::Plain.into(), *distance)),
            Change::Restriction(..) => None,
            other => Some(other.clone()),
        };
        self != other && self.changes.iter().filter_map(plain).eq(other.changes.iter().cloned())
    }

    /// Makes the changes that a training file can say: all but a control.
    pub(crate) fn apply(&self, config: &mut TrainConfig) {
        for change in &self.changes {
            match change {
                Change::Loss(LossName::Named(kind), distance) => {
                    (config.loss.kind, config.loss.distance) = (*kind, *distance);
                }
                // Whoever trains takes the control instead of the file's loss.
                Change::Loss(LossName::Control(_), _) => {}
                Change::Restriction(name, weight) => {
                    (config.loss.restriction, config.loss.restriction_weight) = (*name, *weight);
                }
                Change::Attention(on) => config.model.attention = Some(*on),
                Change::HrNet(width) => {
                    config.model = ModelSection {
                        backbone: Backbone::HrNet,
                        width: Some(*width),
                        image_size: config.model.image_size,
                        ..ModelSection::default()
                    };
                }
                Change::Stacks(count) => config.model.stacks = *count,
                Change::Epochs(factor) => {
                    config.epochs = ((config.epochs as f64 * factor).round() as usize).max(1);
                    if let Decay::Step(StepDecay { milestones, .. }) = &mut config.schedule.decay {
                        for epoch in milestones {
                            *epoch = (*epoch as f64 * factor).round() as usize;
                        }
                    }
                }
                Change::Start(number) => config.seed += START * number,
            }
        }
    }
}
