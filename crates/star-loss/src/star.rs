//! The STAR loss.

use candle_core::{DType, Result, Tensor, Var, bail};

use crate::eigen2::Entries;
use crate::fused::Kernel;
use crate::maps::{map_dims, working_dtype};
use crate::moments::{Path, packed};
use crate::reading::{with_activation, with_grid};
use crate::{Activation, Grid, Reduction, StarLossConfig, composed, fused};

/// The STAR loss with the reference's settings: a scalar from heatmaps `[B, K, H, W] >= 0` and targets `[B, K, 2]` in `[-1, 1]`.
///
/// # Errors
/// When a shape or dtype is not as stated.
pub fn star(heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
    StarLoss::new(StarLossConfig::default())?.forward(heatmaps, targets)?.reduce(None, Reduction::Mean)
}

/// The loss of Zhou et al., CVPR 2023 (arXiv 2306.02763), per keypoint.
#[derive(Debug, Clone)]
pub struct StarLoss {
    config: StarLossConfig,
    grid: Grid,
    activation: Activation,
    path: Path,
}

/// Losses of each keypoint before reduction, f32 or f64.
#[derive(Debug, Clone)]
pub struct StarTerms {
    /// `[B, K]`: distance of the residual along both axes, scaled. NaN where a target is not finite.
    pub distance: Tensor,
    /// `[B, K]`: restriction of the eigenvalues, weighted.
    pub restriction: Tensor,
    /// `[B, K, 2]`: centres of mass, x then y; the decoded keypoints.
    pub means: Tensor,
}

with_grid!(StarLoss);
with_activation!(StarLoss);

impl StarTerms {
    /// Sums `distance + restriction` into a scalar under optional weights `[B, K]`.
    ///
    /// `reduce(None, Mean)` is the reference's number in both forms. With weights the mean is `sum(w l) / sum(w)`, and 0 if all
    /// weights are 0. A keypoint of weight 0 has no part in value or gradient, even where its target is NaN.
    ///
    /// # Errors
    /// When `weights` is not `[B, K]`.
    pub fn reduce(&self, weights: Option<&Tensor>, how: Reduction) -> Result<Tensor> {
        how.apply(&(&self.distance + &self.restriction)?, weights)
    }
}

impl StarLoss {
    /// Checks the settings.
    ///
    /// # Errors
    /// As [`StarLossConfig::validate`].
    pub fn new(config: StarLossConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, grid: Grid::default(), activation: Activation::default(), path: Path::Fastest })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &StarLossConfig {
        &self.config
    }

    /// Uses candle ops on every device: slower, for tests of the CPU path and of the kernels on CUDA cards.
    #[must_use]
    pub fn composed(mut self) -> Self {
        self.path = Path::Composed;
        self
    }

    /// The loss of heatmaps `[B, K, H, W] >= 0` against targets `[B, K, 2]`, x then y.
    ///
    /// # Errors
    /// When a shape or dtype is not as stated.
    pub fn forward(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<StarTerms> {
        let moments = packed(heatmaps, self.grid, self.activation, self.path)?;
        self.terms(&moments, targets, working_dtype(heatmaps.dtype())?)
    }

    /// The same loss on means `[B, K, 2]` and covariances `[B, K, 2, 2]` that some other head predicts.
    ///
    /// Covariances count by the mean of their off-diagonal entries and should be positive semi-definite:
    /// [`covariance_from_cholesky`](crate::moments::covariance_from_cholesky) makes them so. A negative eigenvalue counts as 0.
    ///
    /// # Errors
    /// When a shape or dtype is not as stated.
    pub fn forward_moments(
        &self,
        means: &Tensor,
        covariances: &Tensor,
        targets: &Tensor,
    ) -> Result<StarTerms> {
        let &[b, k, 2] = means.dims() else { bail!("means: expected [B, K, 2], got {:?}", means.shape()) };
        if covariances.dims() != [b, k, 2, 2] {
            bail!("covariances: expected [{b}, {k}, 2, 2], got {:?}", covariances.shape())
        }
        let dtype = working_dtype(means.dtype())?;
        let compute = if self.path.sweeps(means) { DType::F64 } else { dtype };
        let Entries { a, b, c } = Entries::split(&covariances.to_dtype(compute)?)?;
        let covariances = Tensor::stack(&[a, b, c], 2)?;
        let moments = Tensor::cat(&[means.to_dtype(compute)?, covariances], 2)?;
        self.terms(&moments, targets, dtype)
    }

    /// Loss and its gradient by the heatmaps without candle's graph: each map is swept twice while it is in the cache, or in the shared
    /// memory of a CUDA card.
    ///
    /// The scalar is what `forward(..)?.reduce(weights, how)` gives. candle's `backward` adds every gradient to a tensor of zeros,
    /// which takes longer than the loss; this does not. On Metal, and with softmax, it runs `backward`.
    ///
    /// # Errors
    /// As [`StarLoss::forward`] and [`StarTerms::reduce`].
    pub fn loss_and_gradient(
        &self,
        heatmaps: &Tensor,
        targets: &Tensor,
        weights: Option<&Tensor>,
        how: Reduction,
    ) -> Result<(Tensor, Tensor)> {
        let heatmaps = heatmaps.detach().contiguous()?;
        #[cfg(feature = "cuda")]
        if self.is_kernel(&heatmaps) && heatmaps.device().is_cuda() {
            #[expect(unsafe_code, reason = "the kernel writes every value")]
            // SAFETY: memory of a card that is not written holds some numbers.
            let gradient = unsafe { heatmaps.empty_like()? };
            let loss = self.on_card(&heatmaps, targets, weights, how, &gradient)?;
            return Ok((loss, gradient));
        }
        if let Some(kernel) = self.kernel(&heatmaps, targets, weights, how)? {
            let (loss, gradient) = kernel.fresh(&heatmaps)?;
            return Ok((self.scalar(loss, &heatmaps)?, gradient));
        }
        let heatmaps = Var::from_tensor(&heatmaps)?;
        let loss = self.forward(&heatmaps, targets)?.reduce(weights, how)?;
        match loss.backward()?.remove(&heatmaps) {
            Some(gradient) => Ok((loss.detach(), gradient)),
            None => bail!("heatmaps: no gradient reached {:?}", heatmaps.shape()),
        }
    }

    /// [`StarLoss::loss_and_gradient`] into a tensor of the caller, of the shape and dtype of `heatmaps`: no allocation of that size.
    ///
    /// # Errors
    /// As there; also when `gradient` does not fit, shares its storage with `heatmaps`, or the loss does not run as a kernel.
    pub fn loss_and_gradient_into(
        &self,
        heatmaps: &Tensor,
        targets: &Tensor,
        weights: Option<&Tensor>,
        how: Reduction,
        gradient: &Tensor,
    ) -> Result<Tensor> {
        let heatmaps = heatmaps.detach().contiguous()?;
        #[cfg(feature = "cuda")]
        if self.is_kernel(&heatmaps) && heatmaps.device().is_cuda() {
            return self.on_card(&heatmaps, targets, weights, how, gradient);
        }
        let Some(kernel) = self.kernel(&heatmaps, targets, weights, how)? else {
            bail!(
                "loss_and_gradient_into: expected a CPU or a CUDA card and no softmax, got {self:?} on {:?}",
                heatmaps.device()
            )
        };
        let loss = kernel.reused(&heatmaps, gradient)?;
        self.scalar(loss, &heatmaps)
    }

    fn kernel(
        &self,
        heatmaps: &Tensor,
        targets: &Tensor,
        weights: Option<&Tensor>,
        how: Reduction,
    ) -> Result<Option<Kernel<'_>>> {
        let (b, k, h, w) = map_dims(heatmaps)?;
        working_dtype(heatmaps.dtype())?;
        if !self.is_kernel(heatmaps) {
            return Ok(None);
        }
        expect_targets(targets, b, k)?;
        let doubles = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let weights = match weights {
            Some(weights) if weights.dims() != [b, k] => {
                bail!("weights: expected [{b}, {k}], got {:?}", weights.shape())
            }
            other => other.map(doubles).transpose()?,
        };
        let grid = ([self.grid.axis(w), self.grid.axis(h)], self.activation == Activation::Relu);
        Kernel::new(&self.config, grid, [b, k, h, w], doubles(targets)?, weights, how).map(Some)
    }

    /// Whether loss and gradient come at once.
    fn is_kernel(&self, heatmaps: &Tensor) -> bool {
        self.path.sweeps(heatmaps) && !matches!(self.activation, Activation::Softmax { .. })
    }

    /// Loss and gradient by one kernel on a card.
    #[cfg(feature = "cuda")]
    fn on_card(
        &self,
        heatmaps: &Tensor,
        targets: &Tensor,
        weights: Option<&Tensor>,
        how: Reduction,
        gradient: &Tensor,
    ) -> Result<Tensor> {
        let (b, k, h, w) = map_dims(heatmaps)?;
        let dtype = working_dtype(heatmaps.dtype())?;
        expect_targets(targets, b, k)?;
        crate::maps::expect_like(heatmaps, gradient)?;
        let factors = match weights {
            Some(weights) if weights.dims() != [b, k] => {
                bail!("weights: expected [{b}, {k}], got {:?}", weights.shape())
            }
            Some(weights) => how.factors(&weights.to_dtype(DType::F64)?)?.contiguous()?,
            None => {
                let factor = if how == Reduction::Mean { 1.0 / (b * k) as f64 } else { 1.0 };
                Tensor::full(factor, (b, k), heatmaps.device())?
            }
        };
        let axes = [self.grid.axis(w), self.grid.axis(h)];
        let geometry = crate::cuda::Geometry::new(axes, self.activation == Activation::Relu, h, w)?;
        let targets = targets.to_dtype(DType::F64)?.contiguous()?;
        crate::cuda::loss_and_gradient(heatmaps, &targets, &factors, gradient, &self.config, geometry)?
            .to_dtype(dtype)
    }

    fn scalar(&self, loss: f64, heatmaps: &Tensor) -> Result<Tensor> {
        Tensor::new(loss, heatmaps.device())?.to_dtype(working_dtype(heatmaps.dtype())?)
    }

    fn terms(&self, moments: &Tensor, targets: &Tensor, dtype: DType) -> Result<StarTerms> {
        let (b, k, _) = moments.dims3()?;
        expect_targets(targets, b, k)?;
        let means = moments.narrow(2, 0, 2)?.to_dtype(dtype)?.contiguous()?;
        let targets = targets.to_dtype(moments.dtype())?;
        let [distance, restriction] = if self.path.sweeps(moments) {
            let terms = fused::terms_of(moments, &targets, &self.config)?;
            let term = |i: usize| terms.narrow(2, i, 1)?.squeeze(2)?.to_dtype(dtype)?.contiguous();
            [term(0)?, term(1)?]
        } else {
            composed::terms(moments, &targets, &self.config)?
        };
        Ok(StarTerms { distance, restriction, means })
    }
}

fn expect_targets(targets: &Tensor, b: usize, k: usize) -> Result<()> {
    if targets.dims() != [b, k, 2] {
        bail!("targets: expected [{b}, {k}, 2], got {:?}", targets.shape())
    }
    Ok(())
}
