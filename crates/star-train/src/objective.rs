//! What a training step minimises: the landmark term and the auxiliary terms, weighted over the stages.

use candle_core::{Result, Tensor};
use star_loss::losses::LossParts;
use star_loss::{AwingConfig, HeatmapLoss, Reduction, awing};
use star_model::Stage;
use star_predict::tensors::BatchTensors;

/// Names of the figures in [`Loss::terms`], in order; all are those of the last stage but the total.
pub const TERMS: [&str; 5] = ["total", "landmark", "restriction", "pointmap", "edgemap"];

/// `sum_i 2^i / 2^(n-1) (landmark_i + aux (AWing(pointmaps_i) + AWing(edgemaps_i)))` over stages `i` of `n`.
pub struct Objective {
    landmark: Box<dyn HeatmapLoss>,
    landmark_weight: f64,
    aux_weight: f64,
    awing: AwingConfig,
}

/// Which share of a step's loss falls to this rank, where several have a part of the batch each: the losses of all ranks then add up
/// to that of the whole batch, as do their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Of the means over visible landmarks: the weights here over those of all ranks.
    pub landmarks: f64,
    /// Of the means over maps: the samples here over those of all ranks.
    pub maps: f64,
}

impl Share {
    /// The whole batch is here.
    pub const WHOLE: Self = Self { landmarks: 1.0, maps: 1.0 };
}

/// A step's loss.
pub struct Loss {
    /// The scalar to differentiate.
    pub total: Tensor,
    /// The figures of [`TERMS`], unweighted; scalars without a graph.
    pub terms: [Tensor; 5],
}

impl Objective {
    /// `landmark` on the heatmaps of every stage, AWing on its auxiliary maps, each times its weight.
    #[must_use]
    pub fn new(landmark: Box<dyn HeatmapLoss>, landmark_weight: f64, aux_weight: f64) -> Self {
        Self { landmark, landmark_weight, aux_weight, awing: AwingConfig::default() }
    }

    /// Loss of all stages against a batch's targets, as much of it as falls to this rank.
    ///
    /// # Errors
    /// When shapes do not fit, or the network predicts auxiliary maps and the batch has no targets for them.
    pub fn loss(&self, stages: &[Stage], batch: &BatchTensors, share: Share) -> Result<Loss> {
        let mut total: Option<Tensor> = None;
        let mut terms: Option<[Tensor; 5]> = None;
        for (i, stage) in stages.iter().enumerate() {
            let last = stages.last().map_or(&stage.heatmaps, |last| &last.heatmaps);
            let (distance, restriction) = self.landmark(&stage.heatmaps, last, batch)?;
            let (distance, restriction) =
                (part(distance, share.landmarks)?, part(restriction, share.landmarks)?);
            let mut sum = ((&distance + &restriction)? * self.landmark_weight)?;
            let (mut pointmap, mut edgemap) = (distance.zeros_like()?, distance.zeros_like()?);
            if let Some(aux) = stage.aux.as_ref().filter(|_| self.aux_weight > 0.0) {
                let Some(maps) = &batch.maps else {
                    candle_core::bail!(
                        "the network predicts pointmaps and edgemaps, the batch has no targets for them"
                    )
                };
                pointmap = part(awing(&aux.pointmaps, &maps.pointmaps, &self.awing)?, share.maps)?;
                edgemap = part(awing(&aux.edgemaps, &maps.edgemaps, &self.awing)?, share.maps)?;
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
    fn landmark(&self, heatmaps: &Tensor, last: &Tensor, batch: &BatchTensors) -> Result<(Tensor, Tensor)> {
        let LossParts { distance, restriction } = self.landmark.parts(heatmaps, last, &batch.points)?;
        let mean = |losses: &Tensor| Reduction::Mean.apply(losses, Some(&batch.weights));
        let distance = mean(&distance)?;
        let restriction = restriction.as_ref().map_or_else(|| distance.zeros_like(), mean)?;
        Ok((distance, restriction))
    }
}

/// `mean * share`. By a tensor: candle takes no gradient through a product with the number 0, and a rank without a share must
/// still go through the same backward pass as the others.
fn part(mean: Tensor, share: f64) -> Result<Tensor> {
    if share == 1.0 { Ok(mean) } else { &mean * (mean.ones_like()? * share)? }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};
    use star_loss::StarLoss;
    use star_model::AuxMaps;
    use star_predict::tensors::MapTargets;

    use super::*;

    /// Relative, in f64.
    const TOLERANCE: f64 = 1e-12;

    fn positive(shape: &[usize], seed: f64) -> Tensor {
        let count = shape.iter().product::<usize>() as i64;
        let values = Tensor::arange(0, count, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        ((values + seed).unwrap().sin().unwrap().abs().unwrap() + 0.01).unwrap().reshape(shape).unwrap()
    }

    fn value(tensor: &Tensor) -> f64 {
        tensor.to_scalar().unwrap()
    }

    #[test]
    fn the_shares_of_two_parts_add_up_to_the_loss_and_the_gradient_of_the_whole_batch() {
        // Three samples of two landmarks; the second lacks one, so the parts have 2 and 3 of 5 weights, 1 and 2 of 3 samples.
        let (maps, aux) = ([3, 2, 6, 6], [3, 2, 6, 6]);
        let weights = Tensor::new(&[[1.0, 1.0], [1.0, 0.0], [1.0, 1.0f64]], &Device::Cpu).unwrap();
        let points = (positive(&[3, 2, 2], 5.0) - 0.5).unwrap();
        let objective = Objective::new(Box::new(StarLoss::new(Default::default()).unwrap()), 1.0, 10.0);
        let outcome = |from: usize, count: usize, share: Share| {
            let part = |t: &Tensor| t.narrow(0, from, count).unwrap().contiguous().unwrap();
            let heatmaps = Var::from_tensor(&part(&positive(&maps, 0.0))).unwrap();
            let stage = Stage {
                heatmaps: heatmaps.as_tensor().clone(),
                aux: Some(AuxMaps {
                    pointmaps: part(&positive(&aux, 1.0)),
                    edgemaps: part(&positive(&aux, 2.0)),
                }),
            };
            let target = |seed: f64| part(&(positive(&aux, seed) / 2.0).unwrap());
            let batch = BatchTensors {
                images: part(&positive(&[3, 1, 1, 1], 0.0)),
                points: part(&points),
                weights: part(&weights),
                maps: Some(MapTargets { pointmaps: target(3.0), edgemaps: target(4.0) }),
            };
            let loss = objective.loss(&[stage], &batch, share).unwrap();
            let gradient = loss.total.backward().unwrap().remove(&heatmaps).unwrap();
            (loss.terms.map(|term| value(&term)), gradient)
        };
        let (whole, gradient) = outcome(0, 3, Share::WHOLE);
        let (first, first_gradient) = outcome(0, 1, Share { landmarks: 2.0 / 5.0, maps: 1.0 / 3.0 });
        let (second, second_gradient) = outcome(1, 2, Share { landmarks: 3.0 / 5.0, maps: 2.0 / 3.0 });
        for (i, whole) in whole.iter().enumerate() {
            let sum = first[i] + second[i];
            assert!((sum - whole).abs() <= TOLERANCE * whole.abs(), "{}: {sum} against {whole}", TERMS[i]);
        }
        let joined = Tensor::cat(&[first_gradient, second_gradient], 0).unwrap();
        let error = value(&(joined - &gradient).unwrap().abs().unwrap().max_all().unwrap());
        assert!(error <= TOLERANCE * value(&gradient.abs().unwrap().max_all().unwrap()), "{error}");
    }
}
