//! Anisotropic direction loss (Huang et al., ADNet, ICCV 2021), which STAR replaces.

use candle_core::{D, Result, Tensor, bail};

use super::heatmap_loss::{HeatmapLoss, LossParts};
use super::targets::FiniteTargets;
use crate::maps::map_dims;
use crate::moments::Moments;
use crate::reading::with_grid;
use crate::{Activation, Distance, Grid};

/// Variance across the edge below which the ratio of variances is not taken. Reference value.
const VARIANCE_FLOOR: f64 = 1e-6;
/// Range of the ratio of variances. Reference value.
const RATIO: (f64, f64) = (1.0, 9.0);
/// The sum of the unit vectors to both neighbours is this short where an edge runs straight; its direction is then noise.
const STRAIGHT: f64 = 1e-3;

/// A curve through keypoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Keypoints in the order of the curve.
    pub keypoints: Vec<usize>,
    /// Whether the last is joined to the first.
    pub closed: bool,
}

/// A residual across the edge weighs more than one along it: with normal `n`, tangent `t` and the ratio `l` of the map's variances
/// along `t` and `n`, within 1 to 9, `delta^2 = 2 l / (l + 1) (e . n)^2 + 2 / (l + 1) (e . t)^2`, and the loss is the distance of `delta`, smooth-L1 in the reference.
///
/// The normal is the sum of the unit vectors to the neighbours of the true keypoint on its edge, or perpendicular to the edge at
/// its ends and where it runs straight. A keypoint on no edge has `delta = |e|`; one on several edges belongs to the first. The
/// variances are those of the unbiased covariance, whose ratio is that of the plain one.
#[derive(Debug, Clone, PartialEq)]
pub struct AnisotropicDirectionLoss {
    edges: Vec<Edge>,
    distance: Distance,
    grid: Grid,
}

with_grid!(AnisotropicDirectionLoss);

impl AnisotropicDirectionLoss {
    /// With these curves and the distance of `delta`, on the reference's grid.
    ///
    /// # Errors
    /// As [`Distance::validate`].
    pub fn new(edges: Vec<Edge>, distance: Distance) -> Result<Self> {
        distance.validate()?;
        Ok(Self { edges, distance, grid: Grid::default() })
    }

    /// Per keypoint, with the ratio of the variances of `guide`.
    fn guided(&self, heatmaps: &Tensor, guide: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (_, k, _, _) = map_dims(heatmaps)?;
        if guide.dims() != heatmaps.dims() {
            bail!("guide: expected {:?}, got {:?}", heatmaps.dims(), guide.dims())
        }
        let targets = FiniteTargets::new(heatmaps, targets)?;
        let on_edge = Tensor::new(self.on_edge(k)?, heatmaps.device())?.to_dtype(targets.points.dtype())?;
        let [nx, ny] = self.normals(&targets, k)?;
        let means = Moments::new(heatmaps, self.grid, Activation::NonNegative)?.means;
        let residual = (&targets.points - means)?;
        let [ex, ey] = components(&residual)?;
        let across = ((&ex * &nx)? + (&ey * &ny)?)?.sqr()?;
        let along = ((&ey * &nx)? - (&ex * &ny)?)?.sqr()?;

        let covariances = Moments::new(&guide.detach(), self.grid, Activation::NonNegative)?.covariances;
        let entry = |i: usize, j: usize| covariances.narrow(2, i, 1)?.narrow(3, j, 1)?.squeeze(3)?.squeeze(2);
        let (a, b, c) = (entry(0, 0)?, entry(0, 1)?, entry(1, 1)?);
        let cross = ((&b * &nx)? * &ny)?.affine(2.0, 0.0)?;
        let var_across = (((&a * nx.sqr()?)? + &cross)? + (&c * ny.sqr()?)?)?;
        let var_along = (((&a * ny.sqr()?)? - &cross)? + (&c * nx.sqr()?)?)?;
        let ratio = (var_along / var_across.maximum(VARIANCE_FLOOR)?)?.clamp(RATIO.0, RATIO.1)?;

        let weight_along = ratio.affine(1.0, 1.0)?.recip()?.affine(2.0, 0.0)?;
        let weight_across = (&ratio * &weight_along)?;
        let blend = |weight: &Tensor| weight.affine(1.0, -1.0)?.broadcast_mul(&on_edge)?.affine(1.0, 1.0);
        let squared = ((blend(&weight_across)? * across)? + (blend(&weight_along)? * along)?)?;
        targets.with_nan(&self.distance.of_norm(&squared)?)
    }

    /// 1 for keypoints on an edge.
    fn on_edge(&self, k: usize) -> Result<Vec<f64>> {
        let mut on_edge = vec![0.0; k];
        for edge in &self.edges {
            for &keypoint in &edge.keypoints {
                let Some(place) = on_edge.get_mut(keypoint) else {
                    bail!("edge {:?}: expected keypoints below {k}, got {keypoint}", edge.keypoints)
                };
                *place = if edge.keypoints.len() > 1 { 1.0 } else { *place };
            }
        }
        Ok(on_edge)
    }

    /// The keypoints before and after each keypoint; itself at the end of an open edge and off every edge.
    fn neighbours(&self, k: usize) -> [Vec<u32>; 2] {
        let own: Vec<u32> = (0..k as u32).collect();
        let (mut before, mut after, mut taken) = (own.clone(), own, vec![false; k]);
        for edge in &self.edges {
            let (points, n) = (&edge.keypoints, edge.keypoints.len());
            for (i, &keypoint) in points.iter().enumerate() {
                if std::mem::replace(&mut taken[keypoint], true) {
                    continue;
                }
                if i > 0 || edge.closed {
                    before[keypoint] = points[(i + n - 1) % n] as u32;
                }
                if i + 1 < n || edge.closed {
                    after[keypoint] = points[(i + 1) % n] as u32;
                }
            }
        }
        [before, after]
    }

    /// Unit normals of the true curve, `[B, K]` for x and y; (1, 0) off every edge.
    fn normals(&self, targets: &FiniteTargets, k: usize) -> Result<[Tensor; 2]> {
        let FiniteTargets { points: targets, nan_or_zero } = targets;
        let (own, [before, after]) = (Tensor::arange(0, k as u32, targets.device())?, self.neighbours(k));
        // Each neighbour, and 1 where there is none: at an end, and where it is not finite.
        let neighbour = |order: Vec<u32>| -> Result<(Tensor, Tensor)> {
            let order = Tensor::new(order, targets.device())?;
            let not_finite = nan_or_zero.index_select(&order, 1)?.ne(0.0)?;
            let none = (order.eq(&own)?.broadcast_as(not_finite.shape())? + not_finite)?.gt(0u8)?;
            let points = targets.index_select(&order, 1)?;
            let points = none.unsqueeze(2)?.broadcast_as(points.shape())?.where_cond(targets, &points)?;
            Ok((points, none))
        };
        let ((before, first), (after, last)) = (neighbour(before)?, neighbour(after)?);
        let [bx, by] = unit(&(&before - targets)?)?;
        let [ax, ay] = unit(&(&after - targets)?)?;
        let (sx, sy) = ((ax + bx)?, (ay + by)?);
        let [rx, ry] = unit(&(after - before)?)?;
        let bend = (sx.sqr()? + sy.sqr()?)?;
        let straight = ((bend.le(STRAIGHT * STRAIGHT)? + first)? + last)?.gt(0u8)?;
        let x = straight.where_cond(&ry.neg()?, &sx)?;
        let y = straight.where_cond(&rx, &sy)?;
        let lengths = (x.sqr()? + y.sqr()?)?.sqrt()?;
        let none = lengths.eq(0.0)?;
        let lengths = none.where_cond(&lengths.ones_like()?, &lengths)?;
        Ok([none.where_cond(&lengths.ones_like()?, &(x / &lengths)?)?, (y / &lengths)?])
    }
}

impl HeatmapLoss for AnisotropicDirectionLoss {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.guided(heatmaps, heatmaps, targets)
    }

    /// The ratio of variances is that of `last`, for every stage, as in the reference.
    fn parts(&self, heatmaps: &Tensor, last: &Tensor, targets: &Tensor) -> Result<LossParts> {
        Ok(LossParts { distance: self.guided(heatmaps, last, targets)?, restriction: None })
    }
}

fn components(vectors: &Tensor) -> Result<[Tensor; 2]> {
    Ok([
        vectors.narrow(D::Minus1, 0, 1)?.squeeze(D::Minus1)?,
        vectors.narrow(D::Minus1, 1, 1)?.squeeze(D::Minus1)?,
    ])
}

/// Vectors of length 1, or 0 where they were 0.
fn unit(vectors: &Tensor) -> Result<[Tensor; 2]> {
    let [x, y] = components(vectors)?;
    let lengths = (x.sqr()? + y.sqr()?)?.sqrt()?;
    let lengths = lengths.eq(0.0)?.where_cond(&lengths.ones_like()?, &lengths)?;
    Ok([(x / &lengths)?, (y / &lengths)?])
}
