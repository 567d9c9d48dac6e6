//! What a training step minimises: the landmark term and the auxiliary terms, weighted over the stacks.

use candle_core::{Result, Tensor};
use star_loss::losses::SoftArgmaxLoss;
use star_loss::{AwingConfig, HeatmapLoss, Reduction, StarLoss, awing};
use star_model::Stage;

use crate::batch::Tensors;
use crate::config::LossSection;

/// Names of the figures in [`Loss::terms`], in order; all are those of the last stack but the total.
pub const TERMS: [&str; 5] = ["total", "landmark", "restriction", "pointmap", "edgemap"];

/// `sum_i 2^i / 2^(n-1) (landmark_i + aux (AWing(point maps_i) + AWing(edge maps_i)))` over stacks `i` of `n`.
pub struct Objective {
    landmark: Landmark,
    landmark_weight: f64,
    aux_weight: f64,
    awing: AwingConfig,
}

enum Landmark {
    Star(StarLoss),
    Plain(SoftArgmaxLoss),
}

/// A step's loss.
pub struct Loss {
    /// The scalar to differentiate.
    pub total: Tensor,
    /// The figures of [`TERMS`], unweighted; scalars without a graph.
    pub terms: [Tensor; 5],
}

impl Objective {
    /// The objective that `section` describes.
    ///
    /// # Errors
    /// When a constant is out of range.
    pub fn new(section: &LossSection) -> Result<Self> {
        let landmark = match section.star() {
            Some(config) => Landmark::Star(StarLoss::new(config)?),
            None => Landmark::Plain(SoftArgmaxLoss { distance: section.distance(), ..Default::default() }),
        };
        Ok(Self {
            landmark,
            landmark_weight: section.landmark_weight,
            aux_weight: section.aux_weight,
            awing: AwingConfig::default(),
        })
    }

    /// Loss of all stages against a batch's targets.
    ///
    /// # Errors
    /// When shapes do not fit, or the network has the attention branch and the batch no target maps.
    pub fn loss(&self, stages: &[Stage], batch: &Tensors) -> Result<Loss> {
        let mut total: Option<Tensor> = None;
        let mut terms: Option<[Tensor; 5]> = None;
        for (i, stage) in stages.iter().enumerate() {
            let (distance, restriction) = self.landmark(&stage.heatmaps, batch)?;
            let mut sum = ((&distance + &restriction)? * self.landmark_weight)?;
            let (mut pointmap, mut edgemap) = (distance.zeros_like()?, distance.zeros_like()?);
            if let Some(aux) = &stage.aux {
                let Some(maps) = &batch.maps else {
                    candle_core::bail!(
                        "the network predicts point and edge maps, the batch has no targets for them"
                    )
                };
                pointmap = awing(&aux.pointmaps, &maps.pointmaps, &self.awing)?;
                edgemap = awing(&aux.edgemaps, &maps.edgemaps, &self.awing)?;
                sum = (sum + ((&pointmap + &edgemap)? * self.aux_weight)?)?;
            }
            let weighted = (sum * 2f64.powi(i as i32 + 1 - stages.len() as i32))?;
            total = Some(match total {
                Some(total) => (total + weighted)?,
                None => weighted,
            });
            terms =
                Some([distance.zeros_like()?, distance, restriction, pointmap, edgemap].map(|t| t.detach()));
        }
        let (Some(total), Some(mut terms)) = (total, terms) else {
            candle_core::bail!("the network has no stage")
        };
        terms[0] = total.detach();
        Ok(Loss { total, terms })
    }

    /// Distance and weighted restriction, each a mean over visible landmarks.
    fn landmark(&self, heatmaps: &Tensor, batch: &Tensors) -> Result<(Tensor, Tensor)> {
        match &self.landmark {
            Landmark::Star(star) => {
                let terms = star.forward(heatmaps, &batch.points)?;
                let mean = |prices: &Tensor| Reduction::Mean.apply(prices, Some(&batch.weights));
                Ok((mean(&terms.distance)?, mean(&terms.restriction)?))
            }
            Landmark::Plain(plain) => {
                let value = plain.loss(heatmaps, &batch.points, Some(&batch.weights), Reduction::Mean)?;
                let none = value.zeros_like()?;
                Ok((value, none))
            }
        }
    }
}
