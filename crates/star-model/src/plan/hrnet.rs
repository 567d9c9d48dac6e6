//! An HRNet as a program.

use candle_core::{Result, bail};

use super::builder::{Builder, Sum, Value};
use super::fold::Linear;
use super::ops::heads::Layout;
use super::program::{Addend, Op, Program};
use crate::HrNet;
use crate::activation::Activation;
use crate::hrnet::block::{Basic, Bottleneck};
use crate::hrnet::fuse::{Fuse, FusePath};
use crate::hrnet::stage::{Stage, Transition};
use crate::layers::ConvNorm;
use crate::model::LandmarkModel;

/// Input channels of an image.
const COLOURS: usize = 3;

/// Stride of the stem's convolutions.
const STEM_STRIDE: usize = 2;

impl Program {
    /// Folds and packs the weights of `model` for registers of `lanes` values.
    pub(super) fn hrnet(model: &HrNet, lanes: usize) -> Result<Self> {
        let (image_size, map_size) = (model.input().image_size, model.input().map_size);
        let maps = Linear::of(&model.head.maps)?;
        let layout = Layout::new(maps.outputs(), None, lanes);
        let mut b = Builder::new(lanes, layout.clone());
        let first = folded(&model.stem[0])?;
        let border = first.kernel / 2;
        let padded = image_size + 2 * border;
        let image = b.value(padded, padded, COLOURS, COLOURS);
        let image_slot = image.slot;
        let x = b.padded(image_size / STEM_STRIDE, image_size / STEM_STRIDE, first.outputs());
        b.stem("conv1", first.pack(COLOURS, lanes), (first.kernel, STEM_STRIDE, COLOURS), None, image, &x);
        let second = folded(&model.stem[1])?;
        let mut y = b.conv3x3("conv2".to_string(), &second, &x, STEM_STRIDE, Sum::Nothing, Activation::Relu);
        b.free(x);
        for (k, block) in model.first.iter().enumerate() {
            y = b.bottleneck(&format!("layer1.{k}"), block, y)?;
        }
        let mut branches = vec![y];
        for (s, stage) in model.stages.iter().enumerate() {
            branches = b.exchange_stage(s + 2, stage, branches)?;
        }
        b.head(model, &maps, branches)?;
        let (steps, slots) = b.finish();
        Ok(Self {
            steps,
            slots,
            image: image_slot,
            border,
            image_size,
            map_size,
            stages: 1,
            layout,
            gates: None,
            coordinates: Vec::new(),
        })
    }
}

/// A convolution with its batch norm as one.
fn folded(conv: &ConvNorm) -> Result<Linear> {
    Linear::of(&conv.conv)?.then(&conv.bn)
}

impl Builder {
    /// A 1x1 convolution of `x` into a new value.
    fn conv1x1(&mut self, name: String, conv: &Linear, x: &Value, activation: Activation) -> Value {
        let out = self.padded(x.height, x.width, conv.outputs());
        let weights = (None, conv.pack(conv.inputs, self.lanes));
        self.pointwise(name, vec![x.input(conv.inputs)], weights, Addend::None, activation, &out);
        out
    }

    fn bottleneck(&mut self, name: &str, block: &Bottleneck, x: Value) -> Result<Value> {
        let [first, second, third] = &block.convs;
        let mid = self.conv1x1(format!("{name}.conv1"), &folded(first)?, &x, Activation::Relu);
        let wide =
            self.conv3x3(format!("{name}.conv2"), &folded(second)?, &mid, 1, Sum::Nothing, Activation::Relu);
        self.free(mid);
        let (third, name) = (folded(third)?, format!("{name}.conv3"));
        let mut sources = vec![wide.input(third.inputs)];
        let out = if let Some(downsample) = &block.downsample {
            let downsample = folded(downsample)?;
            sources.push(x.input(downsample.inputs));
            let (both, out) =
                (Linear::sum(&[&third, &downsample]), self.padded(x.height, x.width, third.outputs()));
            self.pointwise(
                name,
                sources,
                (None, both.pack(both.inputs, self.lanes)),
                Addend::None,
                Activation::Relu,
                &out,
            );
            self.free(x);
            out
        } else {
            let weights = (None, third.pack(third.inputs, self.lanes));
            self.pointwise(name, sources, weights, Addend::InPlace, Activation::Relu, &x);
            x
        };
        self.free(wide);
        Ok(out)
    }

    fn basic(&mut self, name: &str, block: &Basic, x: Value) -> Result<Value> {
        let mid = self.conv3x3(
            format!("{name}.conv1"),
            &folded(&block.first)?,
            &x,
            1,
            Sum::Nothing,
            Activation::Relu,
        );
        let out = self.conv3x3(
            format!("{name}.conv2"),
            &folded(&block.second)?,
            &mid,
            1,
            Sum::Into(x),
            Activation::Relu,
        );
        self.free(mid);
        Ok(out)
    }

    /// Stage `number`: one branch more out than in.
    fn exchange_stage(&mut self, number: usize, stage: &Stage, inputs: Vec<Value>) -> Result<Vec<Value>> {
        let Some(last) = inputs.len().checked_sub(1) else { bail!("a stage without branches") };
        // New branches first: they read inputs that the others go on to change.
        let mut made = Vec::with_capacity(stage.transitions.len());
        for (branch, transition) in stage.transitions.iter().enumerate() {
            let name = format!("transition{}.{branch}", number - 1);
            made.push(match transition {
                Transition::Keep => None,
                Transition::Widen(conv) => Some(self.conv3x3(
                    name,
                    &folded(conv)?,
                    &inputs[branch],
                    1,
                    Sum::Nothing,
                    Activation::Relu,
                )),
                Transition::Halve(conv) => {
                    Some(self.conv3x3(name, &folded(conv)?, &inputs[last], 2, Sum::Nothing, Activation::Relu))
                }
            });
        }
        let mut inputs = inputs.into_iter();
        let mut branches = Vec::with_capacity(made.len());
        for made in made {
            match (made, inputs.next()) {
                (None, Some(kept)) => branches.push(kept),
                (Some(made), input) => {
                    branches.push(made);
                    input.into_iter().for_each(|input| self.free(input));
                }
                (None, None) => bail!("a stage that keeps a branch there is not"),
            }
        }
        for (m, module) in stage.modules.iter().enumerate() {
            let name = format!("stage{number}.{m}");
            let mut after = Vec::with_capacity(branches.len());
            for (branch, (mut x, blocks)) in branches.into_iter().zip(&module.branches).enumerate() {
                for (k, block) in blocks.iter().enumerate() {
                    x = self.basic(&format!("{name}.branches.{branch}.{k}"), block, x)?;
                }
                after.push(x);
            }
            branches = self.fuse(&format!("{name}.fuse"), &module.fuse, after)?;
        }
        Ok(branches)
    }

    /// Every branch becomes the ReLU of the sum of all, brought to its own size.
    fn fuse(&mut self, name: &str, fuse: &Fuse, branches: Vec<Value>) -> Result<Vec<Value>> {
        let mut fused = Vec::with_capacity(branches.len());
        for (to, paths) in fuse.paths.iter().enumerate() {
            let mut sum: Option<Value> = None;
            let last = paths.iter().rposition(|path| !matches!(path, FusePath::Same));
            for (from, path) in paths.iter().enumerate() {
                let name = format!("{name}.{to}.{from}");
                let activation = Activation::relu_if(Some(from) == last);
                // The first contribution starts from the branch itself, the others from the sum so far.
                match path {
                    FusePath::Same => {}
                    FusePath::Up { conv, factor } => {
                        let low = self.conv1x1(
                            format!("{name}.conv"),
                            &folded(conv)?,
                            &branches[from],
                            Activation::None,
                        );
                        let onto = sum.take().map_or(Sum::With(&branches[to]), Sum::Into);
                        sum = Some(self.bilinear(name, &low, *factor, onto, activation));
                        self.free(low);
                    }
                    FusePath::Down(convs) => {
                        let mut x: Option<Value> = None;
                        for (k, conv) in convs.iter().enumerate() {
                            let (conv, end) = (folded(conv)?, k + 1 == convs.len());
                            let onto = match (end, sum.take_if(|_| end)) {
                                (false, _) => Sum::Nothing,
                                (true, None) => Sum::With(&branches[to]),
                                (true, Some(sum)) => Sum::Into(sum),
                            };
                            let input = x.as_ref().unwrap_or(&branches[from]);
                            let behind = if end { activation } else { Activation::Relu };
                            let out = self.conv3x3(format!("{name}.{k}"), &conv, input, 2, onto, behind);
                            if let Some(used) = x.replace(out) {
                                self.free(used);
                            }
                        }
                        sum = x;
                    }
                }
            }
            match sum {
                Some(sum) => fused.push(sum),
                None => bail!("{name}: a branch that nothing is added to"),
            }
        }
        branches.into_iter().for_each(|branch| self.free(branch));
        Ok(fused)
    }

    /// `low` upsampled by `factor`; what it is added to decides where it goes.
    fn bilinear(
        &mut self,
        name: String,
        low: &Value,
        factor: usize,
        sum: Sum,
        activation: Activation,
    ) -> Value {
        let new = |b: &mut Self| b.padded(factor * low.height, factor * low.width, low.channels);
        let (base, out) = match sum {
            Sum::Nothing => (Addend::None, new(self)),
            Sum::With(other) => (Addend::Slot(other.slot), new(self)),
            Sum::Into(out) => (Addend::InPlace, out),
        };
        let (height, width, channels) = (low.height, low.width, low.stride);
        self.push(
            name,
            Op::Bilinear { low: low.slot, height, width, channels, factor, base, activation },
            &out,
            0,
        );
        out
    }

    /// The head: a 1x1 convolution of all branches, which is the sum of one of each, and those can be taken before their
    /// upsampling; then the maps.
    fn head(&mut self, model: &HrNet, maps: &Linear, branches: Vec<Value>) -> Result<()> {
        let mix = folded(&model.head.mix)?;
        let (mut first, count) = (0, branches.len());
        let mut sum: Option<Value> = None;
        for (branch, x) in branches.into_iter().enumerate() {
            let part = mix.inputs(first, first + x.channels, x.channels);
            first += x.channels;
            let name = format!("head.0.{branch}");
            sum = Some(match sum.take() {
                None => {
                    let part = Linear { bias: mix.bias.clone(), ..part };
                    self.conv1x1(name, &part, &x, Activation::relu_if(count == 1))
                }
                Some(sum) => {
                    let low = self.conv1x1(format!("{name}.conv"), &part, &x, Activation::None);
                    let onto = Sum::Into(sum);
                    let activation = Activation::relu_if(branch + 1 == count);
                    let sum = self.bilinear(name, &low, 1 << branch, onto, activation);
                    self.free(low);
                    sum
                }
            });
            self.free(x);
        }
        let Some(mixed) = sum else { bail!("a head without branches") };
        let out = self.value(mixed.height, mixed.width, self.layout.used(), self.layout.channels);
        let padded = Linear::stack(&[(maps, self.layout.channels)]);
        let weights = (None, padded.pack(padded.inputs, self.lanes));
        self.pointwise(
            "head.3".to_string(),
            vec![mixed.input(maps.inputs)],
            weights,
            Addend::None,
            Activation::None,
            &out,
        );
        self.stage_maps("head", &out, model.activation, 0);
        self.free(mixed);
        self.free(out);
        Ok(())
    }
}
