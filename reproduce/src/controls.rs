//! The two controls of STAR, smooth-L1 along both axes with the value restriction: losses of the experiments alone.
//!
//! Arithmetic is that of star-loss, in its order, so that trainings come out the same to the last bit wherever a control is computed.

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, bail};
use star_loss::losses::LossParts;
use star_loss::moments::Moments;
use star_loss::{Activation, Grid, HeatmapLoss};

/// Scale of smooth-L1, what is added under the square root, and the floor of squared norms: STAR's, the reference's values.
const SCALE: f64 = 0.01;
const EPS: f64 = 1e-5;
const SQUARED_FLOOR: f64 = 1e-6;
/// As in star-loss: `r / (|m| + eps)` below which a covariance counts as isotropic, and how far rounding takes an eigenvalue below 0.
const ISOTROPIC: f64 = 1e-6;
const ROUNDING: f64 = 1e-6;

/// What multiplies the distances `d(v_i . e)` along both axes; STAR has `1 / s_i` with `s_i = sqrt(l_i + eps)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Factor {
    /// `(1 / s_1 + 1 / s_2) / 2` for both: everything of STAR but its direction.
    Mean,
    /// 1 for both: nothing of STAR but its restriction.
    One,
}

/// `c (d(v_1 . e) + d(v_2 . e)) + weight (|l_1| + |l_2|)` with a common factor `c`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ControlLoss {
    /// The common factor.
    pub(crate) factor: Factor,
    /// Weight of the restriction.
    pub(crate) weight: f64,
}

impl HeatmapLoss for ControlLoss {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let terms = self.terms(heatmaps, targets)?;
        &terms[0] + &terms[1]
    }

    fn parts(&self, heatmaps: &Tensor, _: &Tensor, targets: &Tensor) -> Result<LossParts> {
        let [distance, restriction] = self.terms(heatmaps, targets)?;
        Ok(LossParts { distance, restriction: Some(restriction) })
    }
}

impl ControlLoss {
    /// Distance and restriction, `[B, K]` each, computed in f64 on the CPU: a keypoint is five numbers.
    fn terms(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<[Tensor; 2]> {
        let moments = Moments::in_f64(heatmaps, Grid::default(), Activation::default())?;
        let packed = Tensor::cat(&[&moments.means, &moments.covariances.flatten_from(2)?], 2)?;
        let (b, k, _) = packed.dims3()?;
        if targets.dims() != [b, k, 2] {
            bail!("targets: expected [{b}, {k}, 2], got {:?}", targets.shape())
        }
        let targets = targets.detach().to_dtype(DType::F64)?.to_device(&Device::Cpu)?.contiguous()?;
        let terms = packed.to_device(&Device::Cpu)?.contiguous()?.apply_op2(&targets, TermsOp(*self))?;
        let dtype = if heatmaps.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let term = |i: usize| {
            terms.narrow(2, i, 1)?.squeeze(2)?.to_dtype(dtype)?.contiguous()?.to_device(heatmaps.device())
        };
        Ok([term(0)?, term(1)?])
    }

    /// The common factor and its derivative by each eigenvalue.
    fn factor(&self, values: [f64; 2]) -> (f64, [f64; 2]) {
        match self.factor {
            Factor::Mean => {
                let s = values.map(|l| (l.max(0.0) + EPS).sqrt());
                (0.5 * (s[0].recip() + s[1].recip()), s.map(|s| s.powi(-3)))
            }
            Factor::One => (1.0, [0.0; 2]),
        }
    }

    /// Distance and restriction of one residual; the distance is NaN where the residual is not finite.
    fn values(&self, residual: [f64; 2], covariance: [f64; 3]) -> [f64; 2] {
        let frame = Frame::new(covariance);
        let [l1, l2] = frame.values();
        let restriction = self.weight * (l1.abs() + l2.abs());
        if !residual.iter().all(|e| e.is_finite()) {
            return [f64::NAN, restriction];
        }
        let e = frame.project(residual);
        [(smooth_l1(e[0])[0] + smooth_l1(e[1])[0]) * self.factor([l1, l2]).0, restriction]
    }

    /// Derivative of `by[0] * distance + by[1] * restriction` by the residual and by `a, b, c` of `[[a, b], [b, c]]`.
    fn derivatives(&self, residual: [f64; 2], covariance: [f64; 3], by: [f64; 2]) -> ([f64; 2], [f64; 3]) {
        let frame = Frame::new(covariance);
        let [l1, l2] = frame.values();
        let sign = |l: f64| if l < -ROUNDING { -1.0 } else { 1.0 };
        let mut by_value = [by[1] * self.weight * sign(l1), by[1] * self.weight * sign(l2)];
        let (mut by_rotation, mut by_residual) = (0.0, [0.0; 2]);
        if by[0] != 0.0 && residual.iter().all(|e| e.is_finite()) {
            let e = frame.project(residual);
            let ([d1, u1], [d2, u2]) = (smooth_l1(e[0]), smooth_l1(e[1]));
            let (c, cubes) = self.factor([l1, l2]);
            let values = cubes.map(|cube| -0.25 * (d1 + d2) * cube);
            by_value = [by_value[0] + by[0] * values[0], by_value[1] + by[0] * values[1]];
            by_rotation = by[0] * (0.25 * (e[0] * u2 - e[1] * u1) * (c + c) * frame.bounded_inverse_radius());
            let along = [by[0] * u1 * c, by[0] * u2 * c];
            let [x, y] = frame.major;
            by_residual = [x * along[1] - y * along[0], y * along[1] + x * along[0]];
        }
        let [cosine, sine] = frame.direction;
        let (by_mean, by_radius) = (by_value[0] + by_value[1], by_value[1] - by_value[0]);
        let by_difference = cosine * by_radius - sine * by_rotation;
        let by_off_diagonal = sine * by_radius + cosine * by_rotation;
        (by_residual, [0.5 * (by_mean + by_difference), by_off_diagonal, 0.5 * (by_mean - by_difference)])
    }
}

/// Smooth-L1 and its derivative at one number.
fn smooth_l1(x: f64) -> [f64; 2] {
    let square = x * x;
    let [value, by_square] = if square < SCALE * SCALE {
        [0.5 / SCALE * square, 0.5 / SCALE]
    } else {
        let r = square.max(SQUARED_FLOOR).sqrt();
        [r - 0.5 * SCALE, 0.5 / r]
    };
    [value, 2.0 * x * by_square]
}

/// The closed form of star-loss's `eigen2` for one covariance.
struct Frame {
    mean: f64,
    radius: f64,
    direction: [f64; 2],
    /// The long axis; the short one is `(-y, x)`.
    major: [f64; 2],
}

impl Frame {
    fn new([a, b, c]: [f64; 3]) -> Self {
        let (mean, d) = (0.5 * (a + c), 0.5 * (a - c));
        let radius = d.hypot(b);
        let direction = if radius > 0.0 { [d / radius, b / radius] } else { [1.0, 0.0] };
        let [cosine, sine] = direction;
        let (x, y) = if cosine >= 0.0 { (1.0 + cosine, sine) } else { (sine, 1.0 - cosine) };
        let norm = x.hypot(y);
        Self { mean, radius, direction, major: [x / norm, y / norm] }
    }

    fn values(&self) -> [f64; 2] {
        [self.mean - self.radius, self.mean + self.radius]
    }

    fn project(&self, [ex, ey]: [f64; 2]) -> [f64; 2] {
        let [x, y] = self.major;
        [x * ey - y * ex, x * ex + y * ey]
    }

    fn bounded_inverse_radius(&self) -> f64 {
        let unit = ISOTROPIC * (self.mean.abs() + EPS);
        let q = self.radius / unit;
        if q > 1.0 {
            let inverse = 1.0 / q;
            inverse / (1.0 + inverse.powi(4)) / unit
        } else {
            q.powi(3) / (1.0 + q.powi(4)) / unit
        }
    }
}

/// From `[B, K, 6]` (mean, covariance by rows) and `[B, K, 2]` to distance and restriction, `[B, K, 2]`.
struct TermsOp(ControlLoss);

/// Residual and `a, b, c` of one keypoint.
fn keypoint(m: &[f64], t: &[f64]) -> ([f64; 2], [f64; 3]) {
    ([t[0] - m[0], t[1] - m[1]], [m[2], m[3], m[5]])
}

impl CustomOp2 for TermsOp {
    fn name(&self) -> &'static str {
        "control-terms"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, k, _) = l1.shape().dims3()?;
        let (CpuStorage::F64(moments), CpuStorage::F64(targets)) = (s1, s2) else {
            bail!("control-terms: expected two tensors of f64")
        };
        let (Some((m0, m1)), Some((t0, t1))) = (l1.contiguous_offsets(), l2.contiguous_offsets()) else {
            bail!("control-terms: expected contiguous tensors")
        };
        let keypoints = moments[m0..m1].chunks_exact(6).zip(targets[t0..t1].chunks_exact(2));
        let terms = keypoints.flat_map(|(m, t)| {
            let (residual, covariance) = keypoint(m, t);
            self.0.values(residual, covariance)
        });
        Ok((CpuStorage::F64(terms.collect()), Shape::from((b, k, 2))))
    }

    fn bwd(
        &self,
        moments: &Tensor,
        targets: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let flat = |t: &Tensor| t.flatten_all()?.to_vec1::<f64>();
        let (m, t, by) = (flat(moments)?, flat(targets)?, flat(grad)?);
        let mut gradient = Vec::with_capacity(m.len());
        for ((m, t), by) in m.chunks_exact(6).zip(t.chunks_exact(2)).zip(by.chunks_exact(2)) {
            let (residual, covariance) = keypoint(m, t);
            let ([x, y], [a, b, c]) = self.0.derivatives(residual, covariance, [by[0], by[1]]);
            // Both off-diagonal entries are one entry of the map's moments.
            gradient.extend([-x, -y, a, b, 0.0, c]);
        }
        Ok((Some(Tensor::from_vec(gradient, moments.shape(), &Device::Cpu)?), None))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;
    use star_loss::losses::SoftArgmaxLoss;
    use star_loss::{Distance, Form, Reduction, Restriction, StarLoss, StarLossConfig};

    use super::*;

    fn maps(dtype: DType) -> Tensor {
        let values: Vec<f64> = (0..2 * 3 * 42).map(|i| (1.7 * f64::from(i)).sin().powi(2) + 0.05).collect();
        Tensor::from_vec(values, (2, 3, 6, 7), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    }

    fn targets(far: f64) -> Tensor {
        let means = star_loss::moments::soft_argmax(&maps(DType::F64)).unwrap();
        let offsets: Vec<f64> = (0..12).map(|i| far * (2.3 * f64::from(i)).cos()).collect();
        (means + Tensor::from_vec(offsets, (2, 3, 2), &Device::Cpu).unwrap()).unwrap()
    }

    fn doubles(t: &Tensor) -> Vec<f64> {
        t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    const CONTROLS: [Factor; 2] = [Factor::Mean, Factor::One];

    #[test]
    fn the_bits_are_those_of_the_forms() {
        for dtype in [DType::F32, DType::F64] {
            for (factor, form) in [(Factor::Mean, Form::Isotropic), (Factor::One, Form::Unscaled)] {
                let ours = ControlLoss { factor, weight: 0.3 };
                let config = StarLossConfig {
                    form,
                    restriction: Restriction::Value { weight: 0.3 },
                    ..Default::default()
                };
                let theirs = StarLoss::new(config).unwrap();
                for far in [0.003, 0.2] {
                    let run = |loss: &dyn HeatmapLoss| {
                        let maps = Var::from_tensor(&maps(dtype)).unwrap();
                        let parts = loss.parts(&maps, &maps, &targets(far)).unwrap();
                        let mean = |t: &Tensor| Reduction::Mean.apply(t, None).unwrap();
                        let loss = (mean(&parts.distance) + mean(&parts.restriction.unwrap())).unwrap();
                        (doubles(&loss), doubles(loss.backward().unwrap().get(&maps).unwrap()))
                    };
                    assert_eq!(run(&ours), run(&theirs), "{dtype:?} {form:?}");
                }
            }
        }
    }

    #[test]
    fn close_to_the_target_a_control_is_plain_regression_under_one_factor() {
        // Within its scale smooth-L1 is a multiple of the square, which is the same in every frame.
        let (maps, targets) = (maps(DType::F64), targets(0.004));
        let plain =
            SoftArgmaxLoss::new(Distance::smooth_l1()).unwrap().per_keypoint(&maps, &targets).unwrap();
        let covariances = star_loss::moments::covariance(&maps).unwrap();
        let values = star_loss::eigen2::sym_eigen2(&covariances).unwrap().values;
        for factor in CONTROLS {
            let ours = ControlLoss { factor, weight: 0.0 }.per_keypoint(&maps, &targets).unwrap();
            let eigenvalues = doubles(&values);
            for ((ours, plain), l) in
                doubles(&ours).iter().zip(doubles(&plain)).zip(eigenvalues.chunks_exact(2))
            {
                let mean = 0.5 * ((l[0] + EPS).sqrt().recip() + (l[1] + EPS).sqrt().recip());
                let expected = plain * if factor == Factor::Mean { mean } else { 1.0 };
                assert!((ours - expected).abs() < 1e-9 * expected, "{factor:?}: {ours} against {expected}");
            }
        }
    }

    #[test]
    fn a_control_has_its_own_gradient() {
        const STEP: f64 = 1e-6;
        for factor in CONTROLS {
            let (loss, targets) = (ControlLoss { factor, weight: 0.7 }, targets(0.2));
            let value = |maps: &Tensor| loss.loss(maps, &targets, None, Reduction::Mean).unwrap();
            let maps = Var::from_tensor(&maps(DType::F64)).unwrap();
            let ours = doubles(value(&maps).backward().unwrap().get(&maps).unwrap());
            let (flat, size) = (doubles(&maps), ours.iter().fold(0.0f64, |m, g| m.max(g.abs())));
            for i in 0..flat.len() {
                let shifted = |by: f64| {
                    let mut flat = flat.clone();
                    flat[i] += by;
                    doubles(&value(&Tensor::from_vec(flat, (2, 3, 6, 7), &Device::Cpu).unwrap()))[0]
                };
                let difference = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
                assert!((ours[i] - difference).abs() <= 1e-6 * size, "{factor:?} {i}");
            }
        }
    }

    #[test]
    fn empty_maps_and_targets_that_are_not_finite_have_finite_gradients() {
        let maps = Var::from_tensor(&Tensor::zeros((2, 3, 6, 7), DType::F32, &Device::Cpu).unwrap()).unwrap();
        let broken = Tensor::new(f32::NAN, &Device::Cpu).unwrap().broadcast_as((2, 3, 2)).unwrap();
        for factor in CONTROLS {
            let loss = ControlLoss { factor, weight: 1.0 };
            for targets in [&targets(0.2), &broken] {
                let value = loss.loss(&maps, targets, None, Reduction::Sum).unwrap();
                let gradient = doubles(value.backward().unwrap().get(&maps).unwrap());
                assert!(gradient.iter().all(|g| g.is_finite()), "{factor:?}");
            }
        }
    }
}
