//! A network, a loss and a data set of your own: `cargo run -p star-train --example own_network_and_loss`.
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{Conv2d, Conv2dConfig, Module, conv2d, ops::softmax};
use star_data::{Dataset, Sample, Scheme, augment::Augmentation};
use star_loss::{HeatmapLoss, moments::soft_argmax};
use star_model::{InputSpec, LandmarkModel, Parameters, Stage};
use star_train::{Adam, Cosine, Outcome, Trainer};

/// One convolution: a map of 16x16 for each corner of a rectangle in an image of 32x32.
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

fn main() -> anyhow::Result<()> {
    let parameters = Parameters::new(1);
    let config = Conv2dConfig { padding: 6, stride: 2, ..Default::default() };
    let conv = conv2d(3, 4, 13, config, parameters.var_builder(DType::F32, &Device::Cpu))?;
    let net = Net(conv, InputSpec { map_size: 16, ..InputSpec::reference(32) }, parameters);
    let trainer = Trainer::new(net, SquaredError).optimizer(Adam::default()).schedule(Cosine::default());
    let trainer = trainer.learning_rate(0.02).epochs(6).augmentation(Augmentation::none());
    let (set, out) = (|range| Rectangles(Scheme::new("rectangle", 4), range), tempfile::tempdir()?);
    let outcome = trainer.run(&set(0..320), &set(320..352), out.path())?;
    println!("{outcome:?}");
    assert!(matches!(outcome, Outcome::Finished(Some(best)) if best.nme < 0.1));
    Ok(())
}
