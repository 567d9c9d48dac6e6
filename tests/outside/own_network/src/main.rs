//! Trains a small network on the corners of rectangles and finds those of another one.
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{Conv2d, Conv2dConfig, Module, conv2d, ops::softmax};
use star_data::{Dataset, Sample, Scheme, augment::Augmentation};
use star_loss::{HeatmapLoss, moments::soft_argmax};
use star_model::{InputSpec, LandmarkModel, Parameters, Stage};

struct Net(Conv2d, InputSpec, Parameters);
impl LandmarkModel for Net {
    fn forward_t(&self, images: &Tensor, _train: bool) -> Result<Vec<Stage>> {
        let x = self.0.forward(images)?;
        let heatmaps = softmax(&x.flatten_from(2)?, D::Minus1)?.reshape(x.shape())?;
        Ok(vec![Stage { heatmaps, aux: None }])
    }
    fn input(&self) -> &InputSpec {
        &self.1
    }
    fn variables(&self) -> Vec<(String, Var)> {
        self.2.all()
    }
}
struct SquaredError;
impl HeatmapLoss for SquaredError {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        (soft_argmax(heatmaps)? - targets)?.sqr()?.sum(D::Minus1)
    }
}
struct Rectangles(Scheme, std::ops::Range<usize>);
impl Dataset for Rectangles {
    fn len(&self) -> usize {
        self.1.len()
    }
    fn scheme(&self) -> &Scheme {
        &self.0
    }
    fn get(&self, index: usize) -> star_data::Result<Sample> {
        let at = |step: f32| 4.0 + 8.0 * ((self.1.start + index) as f32 * step).fract();
        let [l, t, r, b] = [at(0.754), at(0.569), 31.0 - at(0.819), 31.0 - at(0.671)];
        let inside = |x, y| (l..=r).contains(&(x as f32)) && (t..=b).contains(&(y as f32));
        let image = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([u8::from(inside(x, y)) * 200; 3]));
        Ok(Sample::new(image, vec![[l, t], [r, t], [r, b], [l, b]]))
    }
}
fn net(parameters: Parameters) -> Result<Net> {
    let config = Conv2dConfig { padding: 6, stride: 2, ..Default::default() };
    let conv = conv2d(3, 4, 13, config, parameters.var_builder(DType::F32, &Device::Cpu))?;
    Ok(Net(conv, InputSpec { map_size: 16, ..InputSpec::reference(32) }, parameters))
}
fn main() -> anyhow::Result<()> {
    let (set, out) = (|range| Rectangles(Scheme::new("rectangle", 4), range), tempfile::tempdir()?);
    let (parameters, still) = (Parameters::new(1), Augmentation::none());
    let trainer = star_train::Trainer::new(net(parameters.clone())?, SquaredError).augmentation(still);
    trainer.learning_rate(0.02).epochs(10).run(&set(0..320), &set(320..352), out.path())?;
    let sample = set(400..401).get(0)?;
    let predictor = star_predict::Predictor::new(net(parameters)?, DType::F32, &Device::Cpu);
    let found = predictor.predict_in(&sample.image, &[sample.face])?.remove(0).landmarks.points;
    let miss = |(a, b): (&[f32; 2], &[f32; 2])| (a[0] - b[0]).hypot(a[1] - b[1]);
    assert!(found.iter().zip(&sample.points).map(miss).fold(0.0, f32::max) < 2.0);
    Ok(())
}
