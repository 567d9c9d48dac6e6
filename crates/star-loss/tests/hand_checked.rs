//! The worked table of four Gaussian maps, to the six or seven digits it is given in.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use candle_core::{Device, Tensor};
use star_loss::{Distance, Form, Reduction, Restriction, StarLoss, StarLossConfig, eigen2, moments};

/// One unit of the last printed digit.
const LOSS_ABSOLUTE: f64 = 1e-6;
const EIGENVALUE_RELATIVE: f64 = 1e-6;

struct Row {
    /// Centre, standard deviations (pixels) and angle of the bump.
    bump: [f64; 5],
    miss: [f64; 2],
    eigenvalues: [f64; 2],
    /// Smooth-L1, L1, L2.
    per_axis: [f64; 3],
    whitened: [f64; 3],
}

const PI: f64 = std::f64::consts::PI;

const TABLE: [Row; 4] = [
    Row {
        bump: [31.3, 32.7, 1.5, 1.5001, 0.0],
        miss: [0.02, 0.0],
        eigenvalues: [2.350708e-3, 2.351021e-3],
        per_axis: [0.308724, 0.411632, 0.008233],
        whitened: [0.406632, 0.205816, 0.084720],
    },
    Row {
        bump: [31.3, 32.7, 3.0, 1.0, PI / 6.0],
        miss: [0.03, -0.01],
        eigenvalues: [1.035272e-3, 9.317450e-3],
        per_axis: [0.742638, 0.949061, 0.021873],
        whitened: [0.758384, 0.474530, 0.291377],
    },
    Row {
        bump: [20.0, 40.0, 4.0, 1.0, -PI / 3.0],
        miss: [0.005, 0.004],
        eigenvalues: [1.028267e-3, 1.645227e-2],
        per_axis: [0.062541, 0.203967, 0.001251],
        whitened: [0.191596, 0.101983, 0.019325],
    },
    Row {
        bump: [50.5, 12.25, 2.0, 1.2, PI / 2.0],
        miss: [-0.08, 0.05],
        eigenvalues: [1.501016e-3, 4.169489e-3],
        per_axis: [2.625486, 2.831455, 0.203314],
        whitened: [2.193572, 1.415728, 2.416859],
    },
];

fn map([mx, my, sx, sy, t]: [f64; 5]) -> Tensor {
    let value = |i: usize| {
        let (dx, dy) = ((i % 64) as f64 - mx, (i / 64) as f64 - my);
        let (u, v) = (t.cos() * dx + t.sin() * dy, -t.sin() * dx + t.cos() * dy);
        (-u * u / (2.0 * sx * sx) - v * v / (2.0 * sy * sy)).exp()
    };
    Tensor::from_vec((0..64 * 64).map(value).collect(), (1, 1, 64, 64), &Device::Cpu).unwrap()
}

#[test]
fn losses_and_eigenvalues_are_those_of_the_table() {
    for (number, row) in TABLE.iter().enumerate() {
        let map = map(row.bump);
        let miss = Tensor::new(&row.miss, &Device::Cpu).unwrap().reshape((1, 1, 2)).unwrap();
        let target = (moments::soft_argmax(&map).unwrap() + miss).unwrap();
        let eigen = eigen2::sym_eigen2(&moments::covariance(&map).unwrap()).unwrap();
        let values = eigen.values.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for (ours, theirs) in values.iter().zip(row.eigenvalues) {
            assert!(
                (ours - theirs).abs() < EIGENVALUE_RELATIVE * theirs,
                "row {number}: {ours} against {theirs}"
            );
        }
        for (form, expected) in [(Form::PerAxis, row.per_axis), (Form::Whitened, row.whitened)] {
            let distances = [Distance::smooth_l1(), Distance::L1, Distance::L2];
            for (distance, expected) in distances.into_iter().zip(expected) {
                let config =
                    StarLossConfig { form, distance, restriction: Restriction::None, ..Default::default() };
                let terms = StarLoss::new(config).unwrap().forward(&map, &target).unwrap();
                let loss = terms.reduce(None, Reduction::Mean).unwrap().to_scalar::<f64>().unwrap();
                let name = format!("row {number}, {form:?}, {distance:?}");
                assert!((loss - expected).abs() < LOSS_ABSOLUTE, "{name}: {loss} against {expected}");
            }
        }
    }
}
