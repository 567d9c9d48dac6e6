//! The `[loss]` part of a training file: what is minimised.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::Scheme;
use star_loss::losses::{AnisotropicDirectionLoss, Edge, SoftArgmaxLoss};
use star_loss::{Distance, Form, HeatmapLoss, Restriction, StarLoss, StarLossConfig};

/// What the landmark term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// STAR, one distance a principal axis (the paper's formula).
    StarPerAxis,
    /// STAR, one distance of the whitened error.
    StarWhitened,
    /// Soft-argmax regression: the distance of the error itself.
    Plain,
    /// ADNet's anisotropic direction loss, which STAR replaces: normals from the scheme's edges.
    Adl,
}

/// Name of a distance, with the reference's constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistanceName {
    /// Smooth-L1, scale 0.01.
    SmoothL1,
    /// Absolute.
    L1,
    /// Squared.
    L2,
    /// Wing, omega 0.01, epsilon 2.
    Wing,
}

/// How the network is kept from inflating its distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestrictionName {
    /// The eigenvalues are added to the loss.
    Value,
    /// No gradient flows through the eigenvalues.
    Detach,
    /// Nothing: for ablations.
    None,
}

/// What is minimised. Defaults: the published models'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossSection {
    /// The landmark term.
    pub kind: LossKind,
    /// Its distance.
    pub distance: DistanceName,
    /// Restriction of the eigenvalues; STAR's alone.
    pub restriction: RestrictionName,
    /// Weight of the value restriction.
    pub restriction_weight: f64,
    /// Weight of the landmark term.
    pub landmark_weight: f64,
    /// Weight of each auxiliary term (point maps, edge maps).
    pub aux_weight: f64,
}

impl Default for LossSection {
    fn default() -> Self {
        Self {
            kind: LossKind::StarPerAxis,
            distance: DistanceName::SmoothL1,
            restriction: RestrictionName::Value,
            restriction_weight: 1.0,
            landmark_weight: 1.0,
            aux_weight: 10.0,
        }
    }
}

impl LossSection {
    /// Checks that the numbers can be used.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        ensure!(
            self.restriction_weight.is_finite() && self.restriction_weight >= 0.0,
            "loss.restriction_weight: expected a number of at least 0, got {}",
            self.restriction_weight
        );
        Ok(())
    }

    /// The landmark term, for keypoints of `scheme`.
    ///
    /// # Errors
    /// When a constant is out of range.
    pub fn loss(&self, scheme: &Scheme) -> Result<Box<dyn HeatmapLoss>> {
        if let Some(config) = self.star() {
            return Ok(Box::new(StarLoss::new(config)?));
        }
        let distance = self.distance();
        if self.kind == LossKind::Adl {
            let edge =
                |edge: &star_data::scheme::Edge| Edge { keypoints: edge.points.clone(), closed: edge.closed };
            let edges = scheme.edges.iter().map(edge).collect();
            return Ok(Box::new(AnisotropicDirectionLoss::new(edges, distance)?));
        }
        Ok(Box::new(SoftArgmaxLoss::new(distance)?))
    }

    /// The distance with the reference's constants.
    pub fn distance(&self) -> Distance {
        match self.distance {
            DistanceName::SmoothL1 => Distance::smooth_l1(),
            DistanceName::L1 => Distance::L1,
            DistanceName::L2 => Distance::L2,
            DistanceName::Wing => Distance::wing(),
        }
    }

    /// The STAR loss that this describes; `None` for the other kinds.
    pub fn star(&self) -> Option<StarLossConfig> {
        let form = match self.kind {
            LossKind::StarPerAxis => Form::PerAxis,
            LossKind::StarWhitened => Form::Whitened,
            LossKind::Plain | LossKind::Adl => return None,
        };
        let restriction = match self.restriction {
            RestrictionName::Value => Restriction::Value { weight: self.restriction_weight },
            RestrictionName::Detach => Restriction::Detach,
            RestrictionName::None => Restriction::None,
        };
        Some(StarLossConfig { form, distance: self.distance(), restriction, ..Default::default() })
    }
}
