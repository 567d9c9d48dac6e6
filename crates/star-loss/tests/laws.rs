//! What must hold for every map: proptest over shapes, settings and values.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use candle_core::{D, DType, Device, Tensor, Var};
use proptest::prelude::*;
use star_loss::{
    Activation, Distance, Form, Grid, Reduction, Restriction, StarLoss, StarLossConfig, eigen2, moments,
};

/// Between two ways to compute the same number in f64, relative to the larger.
const SAME: f64 = 1e-9;
/// Between f32 and f64.
const SINGLE: f64 = 1e-5;
const SINGLE_GRADIENT: f64 = 1e-4;
/// A gradient against central differences, of its largest entry.
const CENTRAL_DIFFERENCE: f64 = 2e-5;
const STEP: f64 = 1e-6;

fn distances() -> impl Strategy<Value = Distance> {
    prop_oneof![
        Just(Distance::L1),
        Just(Distance::L2),
        (0.002..0.5f64).prop_map(|scale| Distance::SmoothL1 { scale }),
        (0.005..0.5f64, 0.1..3.0f64).prop_map(|(omega, epsilon)| Distance::Wing { omega, epsilon }),
    ]
}

fn restrictions() -> impl Strategy<Value = Restriction> {
    prop_oneof![
        (0.0..2.0f64).prop_map(|weight| Restriction::Value { weight }),
        Just(Restriction::Detach),
        Just(Restriction::None),
    ]
}

prop_compose! {
    fn configs()(
        form in prop_oneof![Just(Form::PerAxis), Just(Form::Whitened)],
        distance in distances(),
        restriction in restrictions(),
        eps in prop_oneof![Just(1e-5), 1e-6..1e-2f64],
    ) -> StarLossConfig {
        StarLossConfig { form, distance, restriction, eps }
    }
}

/// A batch in f64.
#[derive(Debug, Clone)]
struct Batch {
    shape: [usize; 4],
    maps: Vec<f64>,
    targets: Vec<f64>,
}

impl Batch {
    fn maps(&self) -> Tensor {
        let [b, k, h, w] = self.shape;
        Tensor::from_vec(self.maps.clone(), (b, k, h, w), &Device::Cpu).unwrap()
    }

    fn targets(&self) -> Tensor {
        Tensor::from_vec(self.targets.clone(), (self.shape[0], self.shape[1], 2), &Device::Cpu).unwrap()
    }
}

/// Maps with every pixel in `values`.
fn batches(values: impl Strategy<Value = f64> + Clone + 'static) -> impl Strategy<Value = Batch> {
    (1..3usize, 1..4usize, 2..9usize, 2..22usize).prop_flat_map(move |(b, k, h, w)| {
        let maps = prop::collection::vec(values.clone(), b * k * h * w);
        let targets = prop::collection::vec(-1.2..1.2f64, b * k * 2);
        (maps, targets).prop_map(move |(maps, targets)| Batch { shape: [b, k, h, w], maps, targets })
    })
}

fn terms(loss: &StarLoss, maps: &Tensor, targets: &Tensor) -> Vec<f64> {
    let terms = loss.forward(maps, targets).unwrap();
    let all = Tensor::stack(&[terms.distance, terms.restriction], D::Minus1).unwrap();
    all.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn loss_and_gradient(loss: &StarLoss, maps: &Tensor, targets: &Tensor) -> (f64, Vec<f64>) {
    let maps = Var::from_tensor(maps).unwrap();
    let loss = loss.forward(&maps, targets).unwrap().reduce(None, Reduction::Mean).unwrap();
    (double(&loss), doubles(loss.backward().unwrap().get(&maps).unwrap()))
}

fn double(t: &Tensor) -> f64 {
    t.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}

fn doubles(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn assert_near(ours: &[f64], theirs: &[f64], tolerance: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), theirs.len());
    let difference: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
    let size = norm(ours).max(norm(theirs));
    prop_assert!(norm(&difference) <= tolerance * size + 1e-300, "{:e} of {:e}", norm(&difference), size);
    Ok(())
}

/// The smallest `(l2 - l1) / (l1 + l2)` over the batch: axes of more isotropic maps rotate at a touch.
fn elongation(maps: &Tensor) -> f64 {
    let values = eigen2::sym_eigen2(&moments::covariance(maps).unwrap()).unwrap().values;
    let values = doubles(&values);
    values.chunks_exact(2).map(|l| (l[1] - l[0]) / (l[0] + l[1])).fold(1.0, f64::min)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cpu_path_is_the_path_of_candle_ops(batch in batches(0.01..1.0), config in configs()) {
        let loss = StarLoss::new(config).unwrap();
        let (a, ga) = loss_and_gradient(&loss, &batch.maps(), &batch.targets());
        let (b, gb) = loss_and_gradient(&loss.clone().composed(), &batch.maps(), &batch.targets());
        assert_near(&[a], &[b], SAME)?;
        // The axes of a nearly isotropic map carry the rounding of its moments, divided by its elongation.
        assert_near(&ga, &gb, SAME / elongation(&batch.maps()).clamp(1e-6, 1.0))?;
        let at_once = loss.loss_and_gradient(&batch.maps(), &batch.targets(), None, Reduction::Mean).unwrap();
        assert_near(&[double(&at_once.0)], &[a], SAME)?;
        assert_near(&doubles(&at_once.1), &ga, SAME)?;
        let into = batch.maps().zeros_like().unwrap();
        let again = loss.loss_and_gradient_into(&batch.maps(), &batch.targets(), None, Reduction::Mean, &into).unwrap();
        prop_assert_eq!(double(&again), double(&at_once.0));
        prop_assert_eq!(doubles(&into), doubles(&at_once.1));
    }

    #[test]
    fn single_precision_agrees_with_double(batch in batches(0.01..1.0), config in configs()) {
        let single = batch.maps().to_dtype(DType::F32).unwrap();
        let targets = batch.targets().to_dtype(DType::F32).unwrap();
        let (single64, targets64) = (single.to_dtype(DType::F64).unwrap(), targets.to_dtype(DType::F64).unwrap());
        let loss = StarLoss::new(config).unwrap();
        let (a, ga) = loss_and_gradient(&loss, &single, &targets);
        let (b, gb) = loss_and_gradient(&loss, &single64, &targets64);
        assert_near(&[a], &[b], SINGLE)?;
        assert_near(&ga, &gb, SINGLE_GRADIENT)?;
    }

    #[test]
    fn the_gradient_is_that_of_central_differences(
        batch in batches(0.05..1.0), config in configs(), pick in any::<prop::sample::Index>(), relu in any::<bool>()
    ) {
        // Detach leaves out a part of the derivative on purpose; kinks and nearly isotropic maps have no difference quotient.
        prop_assume!(config.restriction != Restriction::Detach && elongation(&batch.maps()) > 1e-2);
        let activation = if relu { Activation::Relu } else { Activation::NonNegative };
        let loss = StarLoss::new(config.clone()).unwrap().with_activation(activation).unwrap();
        let (_, gradient) = loss_and_gradient(&loss, &batch.maps(), &batch.targets());
        let i = pick.index(gradient.len());
        let value = |by: f64| {
            let mut batch = batch.clone();
            batch.maps[i] += by;
            let terms = loss.forward(&batch.maps(), &batch.targets()).unwrap();
            double(&terms.reduce(None, Reduction::Mean).unwrap())
        };
        let (wide, narrow) = ((value(STEP) - value(-STEP)) / (2.0 * STEP), (value(0.5 * STEP) - value(-0.5 * STEP)) / STEP);
        let size = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        // Steps that disagree straddle a kink of the distance.
        prop_assume!((wide - narrow).abs() <= CENTRAL_DIFFERENCE * size);
        let error = (gradient[i] - narrow).abs();
        prop_assert!(error <= CENTRAL_DIFFERENCE * size, "{} against {narrow}", gradient[i]);
    }

    #[test]
    fn moving_map_and_target_together_changes_nothing(
        batch in batches(0.01..1.0), config in configs(), right in 0..4usize, down in 0..4usize
    ) {
        let maps = batch.maps();
        let pad = |right: usize, down: usize| {
            let maps = maps.pad_with_zeros(3, right, 4 - right).unwrap();
            maps.pad_with_zeros(2, down, 4 - down).unwrap()
        };
        let loss = StarLoss::new(config).unwrap().with_grid(Grid::Pixels);
        let shift = Tensor::new(&[right as f64, down as f64], &Device::Cpu).unwrap();
        let targets = batch.targets().affine(5.0, 3.0).unwrap();
        let moved = targets.broadcast_add(&shift).unwrap();
        assert_near(&terms(&loss, &pad(right, down), &moved), &terms(&loss, &pad(0, 0), &targets), SAME)?;
    }

    #[test]
    fn rotating_map_and_target_by_90_degrees_changes_nothing(batch in batches(0.01..1.0), config in configs()) {
        // (x, y) -> (y, -x): transpose, then flip the rows.
        let maps = batch.maps().transpose(2, 3).unwrap().contiguous().unwrap().flip(&[2]).unwrap();
        let (x, y) = (batch.targets().narrow(2, 0, 1).unwrap(), batch.targets().narrow(2, 1, 1).unwrap());
        let targets = Tensor::cat(&[y, x.neg().unwrap()], 2).unwrap();
        let loss = StarLoss::new(config).unwrap();
        let rotated = terms(&loss, &maps.contiguous().unwrap(), &targets);
        assert_near(&rotated, &terms(&loss, &batch.maps(), &batch.targets()), SAME / elongation(&batch.maps()).clamp(1e-6, 1.0))?;
    }

    #[test]
    fn rotating_a_covariance_by_any_angle_changes_nothing(
        l in (0.001..0.1f64, 0.001..0.1f64), t in -4.0..4.0f64, by in -4.0..4.0f64, e in (-1.0..1.0f64, -1.0..1.0f64), config in configs()
    ) {
        prop_assume!((l.0 - l.1).abs() > 1e-3 * (l.0 + l.1));
        let loss = |angle: f64| {
            let (c, s) = ((t + angle).cos(), (t + angle).sin());
            let entries = [l.0 * c * c + l.1 * s * s, (l.0 - l.1) * c * s, (l.0 - l.1) * c * s, l.0 * s * s + l.1 * c * c];
            let e = [angle.cos() * e.0 - angle.sin() * e.1, angle.sin() * e.0 + angle.cos() * e.1];
            let covariance = Tensor::new(&entries, &Device::Cpu).unwrap().reshape((1, 1, 2, 2)).unwrap();
            let (mean, target) = (Tensor::new(&[[[0.0, 0.0]]], &Device::Cpu).unwrap(), Tensor::new(&[[e]], &Device::Cpu).unwrap());
            let terms = StarLoss::new(config.clone()).unwrap().forward_moments(&mean, &covariance, &target).unwrap();
            [doubles(&terms.distance)[0], doubles(&terms.restriction)[0]]
        };
        assert_near(&loss(by), &loss(0.0), 1e-7)?;
    }

    #[test]
    fn scaling_a_map_changes_nothing(batch in batches(0.01..1.0), config in configs(), power in -3..20i32) {
        let loss = StarLoss::new(config).unwrap();
        let scaled = batch.maps().affine(10f64.powi(power), 0.0).unwrap();
        let tolerance = SAME / elongation(&batch.maps()).clamp(1e-6, 1.0);
        assert_near(&terms(&loss, &scaled, &batch.targets()), &terms(&loss, &batch.maps(), &batch.targets()), tolerance)?;
    }

    #[test]
    fn permuting_keypoints_permutes_their_losses(batch in batches(0.0..1.0), config in configs()) {
        let k = batch.shape[1];
        let order: Vec<u32> = (0..k as u32).map(|i| (i + 1) % k as u32).collect();
        let order = Tensor::new(order, &Device::Cpu).unwrap();
        let loss = StarLoss::new(config).unwrap();
        let there = loss.forward(&batch.maps(), &batch.targets()).unwrap();
        let permute = |t: &Tensor| t.index_select(&order, 1).unwrap();
        let here = loss.forward(&permute(&batch.maps()), &permute(&batch.targets())).unwrap();
        prop_assert_eq!(doubles(&here.distance), doubles(&permute(&there.distance)));
        prop_assert_eq!(doubles(&here.restriction), doubles(&permute(&there.restriction)));
        prop_assert_eq!(doubles(&here.means), doubles(&permute(&there.means)));
    }

    #[test]
    fn mirroring_map_and_target_changes_nothing_but_the_sign_of_x(batch in batches(0.01..1.0), config in configs()) {
        let loss = StarLoss::new(config).unwrap();
        let sign = Tensor::new(&[-1f64, 1.0], &Device::Cpu).unwrap();
        let maps = batch.maps().flip(&[3]).unwrap().contiguous().unwrap();
        let targets = batch.targets().broadcast_mul(&sign).unwrap();
        let tolerance = SAME / elongation(&maps).clamp(1e-6, 1.0);
        assert_near(&terms(&loss, &maps, &targets), &terms(&loss, &batch.maps(), &batch.targets()), tolerance)?;
    }

    #[test]
    fn the_gradient_of_a_map_with_mass_is_orthogonal_to_it(batch in batches(0.01..1.0), config in configs()) {
        // The loss does not change along h, so its derivative along h is 0.
        let loss = StarLoss::new(config).unwrap();
        let (_, gradient) = loss_and_gradient(&loss, &batch.maps(), &batch.targets());
        let product: f64 = gradient.iter().zip(&batch.maps).map(|(g, h)| g * h).sum();
        prop_assert!(product.abs() <= SAME * norm(&gradient) * norm(&batch.maps));
    }

    #[test]
    fn eigenvectors_multiply_back_and_their_sign_changes_no_loss(
        a in 0.0..2.0f64, c in 0.0..2.0f64, share in -1.0..1.0f64
    ) {
        let b = share * (a * c).sqrt();
        let m = Tensor::new(&[[a, b], [b, c]], &Device::Cpu).unwrap();
        let e = eigen2::sym_eigen2(&m).unwrap();
        let back = |v: &Tensor| doubles(&v.broadcast_mul(&e.values.unsqueeze(0).unwrap()).unwrap().matmul(&v.t().unwrap()).unwrap());
        assert_near(&back(&e.vectors), &[a, b, b, c], 1e-13)?;
        assert_near(&back(&e.vectors.neg().unwrap()), &[a, b, b, c], 1e-13)?;
    }

    #[test]
    fn softmax_is_the_loss_of_its_probabilities(batch in batches(-4.0..4.0), config in configs(), temperature in 0.2..3.0f64) {
        let raw = StarLoss::new(config.clone()).unwrap().with_activation(Activation::Softmax { temperature }).unwrap();
        let masses = Tensor::exp(&batch.maps().affine(1.0 / temperature, 0.0).unwrap()).unwrap();
        let plain = StarLoss::new(config).unwrap();
        // The covariance is divided by 1e-5 + 1 - sum p^2, and with it the rounding of a nearly one-hot map.
        let divisor = |map: &[f64]| {
            let mass: f64 = map.iter().sum();
            1e-5 + 1.0 - map.iter().map(|h| (h / mass).powi(2)).sum::<f64>()
        };
        let area = batch.shape[2] * batch.shape[3];
        let divisor = doubles(&masses).chunks_exact(area).map(divisor).fold(1.0, f64::min);
        let tolerance = SAME / elongation(&masses).clamp(1e-6, 1.0) / divisor;
        assert_near(&terms(&raw, &batch.maps(), &batch.targets()), &terms(&plain, &masses, &batch.targets()), tolerance)?;
    }

    #[test]
    fn relu_is_the_loss_of_the_positive_part_with_no_gradient_elsewhere(batch in batches(-1.0..1.0), config in configs()) {
        let relu = StarLoss::new(config.clone()).unwrap().with_activation(Activation::Relu).unwrap();
        let positive = Tensor::relu(&batch.maps()).unwrap();
        let (a, ga) = loss_and_gradient(&relu, &batch.maps(), &batch.targets());
        let (b, gb) = loss_and_gradient(&StarLoss::new(config).unwrap(), &positive, &batch.targets());
        prop_assert_eq!(a, b);
        for ((h, a), b) in batch.maps.iter().zip(&ga).zip(&gb) {
            prop_assert_eq!(*a, if *h > 0.0 { *b } else { 0.0 });
        }
        let (c, gc) = loss_and_gradient(&relu.composed(), &batch.maps(), &batch.targets());
        // The covariance of a one-hot map is rounding divided by 1e-5.
        let spread = doubles(&moments::covariance(&positive).unwrap());
        prop_assume!(elongation(&positive) > 1e-4 && spread.chunks_exact(4).all(|c| c[0] + c[3] > 1e-3));
        assert_near(&[c], &[a], SAME)?;
        // Where all masses lie on one line, the derivative by pixels beside it is a hundred million times that along it; what the ReLU cuts
        // off there is still in the sums that the rest is a difference of.
        let difference: Vec<f64> = gc.iter().zip(&ga).map(|(c, a)| c - a).collect();
        prop_assert!(norm(&difference) <= 1e-5 * norm(&ga) + 1e-12 * norm(&gb), "{:e} of {:e}", norm(&difference), norm(&ga));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit(batch in batches(0.0..1.0), config in configs()) {
        let loss = StarLoss::new(config).unwrap();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let maps = batch.maps().repeat((1, 20, 1, 1)).unwrap();
            let targets = batch.targets().repeat((1, 20, 1)).unwrap();
            let both = pool.install(|| loss.loss_and_gradient(&maps, &targets, None, Reduction::Mean).unwrap());
            (double(&both.0), doubles(&both.1))
        };
        prop_assert_eq!(run(1), run(3));
    }
}
