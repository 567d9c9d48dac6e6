//! 10^5 maps of hostile floats through every setting: no NaN, no infinity.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use candle_core::{DType, Device, Tensor, Var};
use star_loss::{Distance, Form, Reduction, Restriction, StarLoss, StarLossConfig};

const MAPS: usize = 100_000;
const KEYPOINTS: usize = 125;
/// Of candle ops, which are slower.
const COMPOSED_MAPS: usize = 10_000;

/// xorshift64*, so that the maps are the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What hostile pixels are made of in a dtype.
struct Floats {
    largest: f64,
    smallest: f64,
}

impl Floats {
    fn of(dtype: DType) -> Self {
        match dtype {
            DType::F64 => Self { largest: f64::MAX, smallest: 5e-324 },
            DType::F16 => Self { largest: 65504.0, smallest: 6e-8 },
            DType::BF16 => Self { largest: 3.38e38, smallest: 1e-40 },
            _ => Self { largest: f64::from(f32::MAX), smallest: 1.5e-45 },
        }
    }

    fn pixel(&self, draw: &mut Draw) -> f64 {
        match draw.below(9) {
            0 => 0.0,
            1 => self.smallest,
            2 => self.largest,
            3 => 1.0,
            4 => 1e-6 * (1.0 + 1e-3 * (draw.unit() - 0.5)),
            5 => draw.unit(),
            6 => 1e-7 * draw.unit(),
            // Any magnitude between the smallest and the largest.
            _ => (self.smallest.ln() + draw.unit() * (self.largest.ln() - self.smallest.ln()))
                .exp()
                .min(self.largest),
        }
    }

    /// One map: noise, few values, one or two pixels, a line, or a product of both axes.
    fn map(&self, draw: &mut Draw, (h, w): (usize, usize)) -> Vec<f64> {
        let area = h * w;
        let mut map = vec![0.0; area];
        match draw.below(8) {
            0 => map.fill(self.pixel(draw)),
            1 => map[draw.below(area)] = self.pixel(draw),
            2 => {
                map.fill(self.pixel(draw));
                map[draw.below(area)] = self.pixel(draw);
            }
            3 => {
                let (a, b) = (self.pixel(draw), self.pixel(draw));
                map[draw.below(area)] = a;
                map[draw.below(area)] = b;
            }
            4 => {
                let row = draw.below(h);
                map[row * w..(row + 1) * w].iter_mut().for_each(|p| *p = self.pixel(draw));
            }
            5 => {
                // Isotropic or nearly so.
                let (s, k) = (0.3 + draw.unit(), 10f64.powi(-(draw.below(12) as i32)));
                for (i, p) in map.iter_mut().enumerate() {
                    let (x, y) = ((i % w) as f64 - 1.0, (i / w) as f64 - 1.0);
                    *p = (-(x * x + y * y * (1.0 + k)) / s).exp();
                }
            }
            6 => {
                let few = [self.pixel(draw), self.pixel(draw)];
                map.iter_mut().for_each(|p| *p = few[draw.below(2)]);
            }
            _ => map.iter_mut().for_each(|p| *p = self.pixel(draw)),
        }
        map
    }
}

fn target(draw: &mut Draw) -> f64 {
    match draw.below(4) {
        0 => 0.0,
        1 => [-1.0, 1.0, 0.5][draw.below(3)],
        2 => 20.0 * (draw.unit() - 0.5),
        _ => 2.0 * draw.unit() - 1.0,
    }
}

fn configs() -> Vec<StarLossConfig> {
    let mut configs = Vec::new();
    for form in [Form::PerAxis, Form::Whitened] {
        for distance in [Distance::L1, Distance::L2, Distance::smooth_l1(), Distance::wing()] {
            for restriction in [Restriction::Value { weight: 1.0 }, Restriction::Detach, Restriction::None] {
                configs.push(StarLossConfig { form, distance, restriction, ..Default::default() });
            }
        }
    }
    configs
}

fn bad(t: &Tensor) -> Option<usize> {
    let values: Vec<f64> = t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    values.iter().position(|v| !v.is_finite())
}

fn attack(seed: u64, dtype: DType, maps: usize, at_once: bool, composed: bool) {
    const SHAPES: [(usize, usize); 5] = [(5, 4), (3, 9), (1, 6), (7, 1), (4, 17)];
    let (mut draw, floats) = (Draw(seed), Floats::of(dtype));
    let configs = configs();
    for batch in 0..maps / KEYPOINTS {
        let shape = SHAPES[batch % SHAPES.len()];
        let pixels: Vec<f64> = (0..KEYPOINTS).flat_map(|_| floats.map(&mut draw, shape)).collect();
        let dims = (1, KEYPOINTS, shape.0, shape.1);
        let heatmaps = Tensor::from_vec(pixels, dims, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let heatmaps = Var::from_tensor(&heatmaps).unwrap();
        let targets: Vec<f64> = (0..2 * KEYPOINTS).map(|_| target(&mut draw)).collect();
        let targets = Tensor::from_vec(targets, (1, KEYPOINTS, 2), &Device::Cpu).unwrap();
        let config = &configs[batch % configs.len()];
        let mut loss = StarLoss::new(config.clone()).unwrap();
        if composed {
            loss = loss.composed();
        }
        let (terms, gradient) = if at_once {
            let (value, gradient) =
                loss.loss_and_gradient(&heatmaps, &targets, None, Reduction::Sum).unwrap();
            (value, gradient)
        } else {
            let terms = loss.forward(&heatmaps, &targets).unwrap();
            let value = terms.reduce(None, Reduction::Sum).unwrap();
            let gradient = value.backward().unwrap().remove(&heatmaps).unwrap();
            ((terms.distance + terms.restriction).unwrap(), gradient)
        };
        let name = format!("seed {seed}, batch {batch}, {dtype:?} {shape:?} {config:?}");
        assert_eq!(bad(&terms), None, "loss, {name}");
        if let Some(at) = bad(&gradient) {
            let map = at / (shape.0 * shape.1);
            let map =
                heatmaps.narrow(1, map, 1).unwrap().flatten_all().unwrap().to_dtype(DType::F64).unwrap();
            panic!("gradient, {name}: pixel {at} of {:?}", map.to_vec1::<f64>().unwrap());
        }
    }
}

#[test]
fn a_hundred_thousand_hostile_maps_have_finite_losses_and_gradients() {
    for (seed, dtype) in [(1, DType::F32), (2, DType::F64), (3, DType::F16), (4, DType::BF16)] {
        attack(seed, dtype, MAPS, false, false);
        attack(seed + 10, dtype, MAPS, true, false);
    }
}

#[test]
fn candle_ops_stay_finite_too() {
    for (seed, dtype) in [(21, DType::F32), (22, DType::F64)] {
        attack(seed, dtype, COMPOSED_MAPS, false, true);
    }
}
