//! YuNet (Wu et al. 2023), a detector of faces: 53 thousand parameters, images of any size.
//!
//! The one network here that is no graph: its maps are not square, there are three sizes of them, and it is not trained. It is made of the
//! plan's operations alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Result, Tensor, bail};

use crate::activation::Activation;
use crate::plan::Isa;
use crate::plan::kernels::Kernels;
use crate::plan::memory::{Buffer, aligned};
use crate::plan::ops::depthwise::Windows;
use crate::plan::ops::panels::Panels;
use crate::plan::ops::pointwise::{Cells, Pointwise, Residual, Source};
use crate::plan::ops::stem::Stem;
use crate::plan::ops::team::Team;
use crate::plan::ops::{Machine, spatial};

/// Channels of the front.
const FRONT: usize = 16;
/// Channels of what the way up joins.
const WIDE: usize = 64;
/// Blocks between the front and the way up: the last three are joined.
const BLOCKS: [&str; 5] = ["1", "2", "3", "4", "5"];
/// Pixels of the image between those of the joined maps.
const STRIDES: [usize; 3] = [8, 16, 32];
/// Sides of images are filled up with black to a multiple of it.
const STEP: usize = 32;
/// Rows of the front's maps that are computed at a time: its maps of two megapixels would fill 100 MB.
const BAND: usize = 32;
/// Most floats of memory that a call leaves for the next ones, 48 MB; one that took more frees it.
const KEPT: usize = 12_000_000;

/// What the network says of each place on a grid over the image: `[height, width, 16]`.
///
/// The channels are the logits that a face is there and that the place is in its middle; its box about the place (`x, y` of the middle and
/// logarithms of width and height, in strides); and five points, `x, y` in strides: the eyes, the nose and the corners of the mouth, each
/// pair from left to right in the image.
#[derive(Clone, Debug)]
pub struct FaceMaps {
    /// Pixels of the image from place to place.
    pub stride: usize,
    /// Places from top to bottom.
    pub height: usize,
    /// Places from left to right.
    pub width: usize,
    /// Row by row, channels last.
    pub values: Vec<f32>,
}

impl FaceMaps {
    /// Values a place.
    pub const CHANNELS: usize = 16;
}

/// A face detector for images of any size, on the CPU.
pub struct YuNet {
    kernels: &'static dyn Kernels,
    stem: Panels,
    front: Unit,
    /// Two units each.
    blocks: Vec<[Unit; 2]>,
    /// The way up's, from the finest maps to the coarsest.
    neck: Vec<Unit>,
    heads: Vec<Unit>,
    /// Memory of calls that are over, for the next ones.
    idle: Mutex<Vec<Memory>>,
}

/// Maps `[height, width, channels]` in a buffer.
#[derive(Default)]
struct Maps {
    buffer: Buffer,
    size: [usize; 2],
    channels: usize,
}

impl Maps {
    fn take(&mut self, [height, width]: [usize; 2], channels: usize) -> &mut [f32] {
        (self.size, self.channels) = ([height, width], channels);
        self.buffer.take(height * width * channels)
    }

    fn get(&self) -> &[f32] {
        self.buffer.get(self.size[0] * self.size[1] * self.channels)
    }
}

/// What one call works in.
#[derive(Default)]
struct Memory {
    /// Of a unit, between its convolutions.
    between: Buffer,
    band: [Maps; 2],
    work: [Maps; 2],
    /// The joined maps.
    levels: [Maps; 3],
    out: Maps,
}

impl Memory {
    fn floats(&self) -> usize {
        let maps = self.band.iter().chain(&self.work).chain(&self.levels).chain([&self.out]);
        let bytes = self.between.bytes() + maps.map(|maps| maps.buffer.bytes()).sum::<usize>();
        bytes / size_of::<f32>()
    }
}

/// A 1x1 convolution and a 3x3 convolution of each channel behind it.
struct Unit {
    panels: Panels,
    taps: Buffer,
    activation: Activation,
}

impl Unit {
    /// The units under `places` as one, their outputs side by side.
    fn new(tensors: &Weights, places: &[String], inputs: usize, relu: bool, lanes: usize) -> Result<Self> {
        let (mut weights, mut biases, mut windows, mut shifts) = (vec![], vec![], vec![], vec![]);
        for place in places {
            weights.extend(tensors.values(&format!("{place}.pw.weight"), &[inputs, 1, 1])?);
            biases.extend(tensors.values(&format!("{place}.pw.bias"), &[])?);
            windows.extend(tensors.values(&format!("{place}.dw.weight"), &[1, 3, 3])?);
            shifts.extend(tensors.values(&format!("{place}.dw.bias"), &[])?);
        }
        let panels = Panels::pack(&weights, &biases, inputs, lanes);
        let (outputs, channels) = (biases.len(), panels.channels);
        if windows.len() != 9 * outputs || shifts.len() != outputs {
            bail!("{}: windows and biases of another number of channels than {outputs}", places.join(", "))
        }
        let mut taps = vec![0.0; 10 * channels];
        for (c, (window, shift)) in windows.chunks_exact(9).zip(shifts).enumerate() {
            window.iter().chain([&shift]).enumerate().for_each(|(t, v)| taps[t * channels + c] = *v);
        }
        Ok(Self { panels, taps: aligned(&taps), activation: Activation::relu_if(relu) })
    }

    fn run(&self, machine: &mut Machine, x: &Maps, between: &mut Buffer, out: &mut Maps) {
        let ([height, width], channels) = (x.size, self.panels.channels);
        let pixels = height * width;
        let middle = between.take(pixels * channels);
        let source = Source { values: x.get(), stride: x.channels, len: self.panels.depth, pairs: false };
        let (panels, residual) = (&self.panels, Residual::None);
        let (activation, cells) = (Activation::None, &Cells::F32);
        let (sources, prepare, pairs) = (&[source], None, false);
        Pointwise { pixels, sources, prepare, panels, residual, activation, cells, pairs }
            .run(machine, middle);
        let taps = self.taps.get(10 * channels);
        Windows { input: middle, height, width, channels, kernel: 3, stride: 1 }.run(
            machine,
            taps,
            self.activation,
            out.take(x.size, channels),
        );
    }
}

/// Tensors by their names.
struct Weights<'a>(&'a HashMap<String, Tensor>);

impl Weights<'_> {
    /// The values of a tensor of any number of outputs, each of this shape.
    fn values(&self, name: &str, of: &[usize]) -> Result<Vec<f32>> {
        let Some(tensor) = self.0.get(name) else { bail!("{name}: no such tensor among {}", self.0.len()) };
        match tensor.dims() {
            [_, rest @ ..] if rest == of => tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1(),
            dims => bail!("{name}: expected outputs of shape {of:?}, got {dims:?}"),
        }
    }
}

impl YuNet {
    /// Takes the weights from tensors with norms folded, named as libfacedetection names its own: `backbone.model1.dp2.pw.weight`,
    /// `neck.lateral_convs.0.dw.bias`, `bbox_head.multi_level_kps.2.pw.bias`. The first convolution reads blue, green, red.
    ///
    /// # Errors
    /// Names the first tensor that is missing or misshapen.
    pub fn new(tensors: &HashMap<String, Tensor>) -> Result<Self> {
        Self::for_isa(tensors, Isa::best())
    }

    fn for_isa(tensors: &HashMap<String, Tensor>, isa: Isa) -> Result<Self> {
        let (kernels, tensors) = (isa.kernels()?, &Weights(tensors));
        let lanes = kernels.lanes();
        let rows = tensors.values("backbone.model0.pw.weight", &[3, 3, 3])?;
        let (bias, mut stem) = (tensors.values("backbone.model0.pw.bias", &[])?, vec![0.0; rows.len()]);
        for (row, to) in rows.chunks_exact(27).zip(stem.chunks_exact_mut(27)) {
            to.iter_mut().enumerate().for_each(|(k, to)| *to = row[k % 3 * 9 + k / 3]);
        }
        let one = |place: String, inputs: usize| Unit::new(tensors, &[place], inputs, true, lanes);
        let mut blocks = Vec::with_capacity(BLOCKS.len());
        let mut channels = FRONT;
        for block in BLOCKS {
            let first = one(format!("backbone.model{block}.dp1"), channels)?;
            let second = one(format!("backbone.model{block}.dp2"), first.panels.channels)?;
            channels = second.panels.channels;
            blocks.push([first, second]);
        }
        if channels != WIDE || bias.len() != FRONT {
            bail!("expected {FRONT} channels in front and {WIDE} behind, got {} and {channels}", bias.len())
        }
        let neck = |level: usize| one(format!("neck.lateral_convs.{level}"), WIDE);
        let head = |level: usize| {
            let places = ["cls", "obj", "bbox", "kps"].map(|k| format!("bbox_head.multi_level_{k}.{level}"));
            let unit = Unit::new(tensors, &places, WIDE, false, lanes)?;
            if unit.panels.channels != FaceMaps::CHANNELS.next_multiple_of(lanes) {
                bail!("heads of {} values, expected {}", unit.panels.channels, FaceMaps::CHANNELS)
            }
            Ok(unit)
        };
        Ok(Self {
            kernels,
            stem: Panels::pack(&stem, &bias, 27, lanes),
            front: one("backbone.model0.dp".to_string(), FRONT)?,
            blocks,
            neck: (0..STRIDES.len()).map(neck).collect::<Result<_>>()?,
            heads: (0..STRIDES.len()).map(head).collect::<Result<_>>()?,
            idle: Mutex::default(),
        })
    }

    /// Finest maps first, for an image of RGB bytes `[height, width, 3]`; on the threads of the current rayon pool. Takes some 60 bytes of
    /// memory a pixel meanwhile.
    ///
    /// # Errors
    /// When the bytes do not fit the size, or there are none.
    pub fn maps(&self, rgb: &[u8], height: usize, width: usize) -> Result<[FaceMaps; 3]> {
        if rgb.is_empty() || rgb.len() != 3 * height * width {
            bail!("image: expected {height} x {width} pixels of three bytes, got {} bytes", rgb.len())
        }
        let pop = || self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = pop().unwrap_or_default();
        let mut team = Team::new(rayon::current_num_threads());
        let machine = &mut Machine { kernels: self.kernels, team: &mut team };
        let maps = self.run(machine, rgb, [height, width], &mut memory);
        if memory.floats() <= KEPT {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        }
        Ok(maps)
    }

    fn run(&self, machine: &mut Machine, rgb: &[u8], size: [usize; 2], memory: &mut Memory) -> [FaceMaps; 3] {
        self.run_front(machine, rgb, size, memory);
        let Memory { between, work, levels, out, .. } = memory;
        let [a, b] = work;
        for (i, [first, second]) in self.blocks.iter().enumerate() {
            // The first two blocks work at a quarter of the image's resolution, each later one at half of the one before.
            if let Some(level) = i.checked_sub(2) {
                pool(machine, if level == 0 { &*a } else { &levels[level - 1] }, b);
                std::mem::swap(a, b);
            }
            first.run(machine, a, between, b);
            second.run(machine, b, between, i.checked_sub(2).map_or(&mut *a, |level| &mut levels[level]));
        }
        let mut shown = Vec::with_capacity(STRIDES.len());
        for (level, &stride) in STRIDES.iter().enumerate().rev() {
            // What the level above has left in `a`, upsampled.
            if level + 1 < STRIDES.len() {
                let to = &mut levels[level];
                let target = to.buffer.take(to.size[0] * to.size[1] * to.channels);
                spatial::upsample_add(machine, target, a.get(), (a.size[0], a.size[1], a.channels), false);
            }
            self.neck[level].run(machine, &levels[level], between, a);
            self.heads[level].run(machine, a, between, out);
            let [height, width] = out.size;
            shown.push(FaceMaps { stride, height, width, values: out.get().to_vec() });
        }
        let [coarse, middle, fine] = <[FaceMaps; 3]>::try_from(shown).unwrap_or_else(|_| unreachable!());
        [fine, middle, coarse]
    }

    /// The first convolutions and the first pooling, band by band, into the first of `memory.work`.
    fn run_front(&self, machine: &mut Machine, rgb: &[u8], size: [usize; 2], memory: &mut Memory) {
        let Memory { between, band: [a, b], work: [out, _], .. } = memory;
        let [height, width] = size.map(|side| side.next_multiple_of(STEP) / 2);
        let (columns, row) = (2 * width + 2, width * FRONT);
        let pooled = out.take([height / 2, width / 2], FRONT);
        for first in (0..height).step_by(BAND) {
            let end = (first + BAND).min(height);
            // With the rows that the 3x3 convolution of the band sees above and below it.
            let rows = first.saturating_sub(1)..(end + 1).min(height);
            let lines = 2 * rows.len() + 1;
            let input = b.take([lines, columns], 3);
            padded(rgb, size, 2 * rows.start, columns, input);
            let target = a.take([rows.len(), width], FRONT);
            Stem {
                input,
                size: [lines, columns],
                channels: 3,
                kernel: 3,
                stride: 2,
                panels: &self.stem,
                constant: None,
                activation: Activation::Relu,
                pairs: false,
            }
            .run(machine, target);
            self.front.run(machine, a, between, b);
            let from = (first - rows.start) * row;
            let seen = &b.get()[from..from + (end - first) * row];
            let to = &mut pooled[first / 2 * row / 2..end / 2 * row / 2];
            spatial::max_pool(machine, seen, ((end - first) / 2, width / 2, FRONT), false, to);
        }
    }
}

/// Rows of the image from `first - 1` on as blue, green, red, with a column of zeros on its left and zeros beyond it.
fn padded(rgb: &[u8], [height, width]: [usize; 2], first: usize, columns: usize, out: &mut [f32]) {
    for (line, to) in out.chunks_exact_mut(3 * columns).enumerate() {
        to.fill(0.0);
        let Some(y) = (first + line).checked_sub(1).filter(|&y| y < height) else { continue };
        let row = rgb[3 * y * width..3 * (y + 1) * width].chunks_exact(3);
        for (to, pixel) in to[3..].chunks_exact_mut(3).zip(row) {
            to.copy_from_slice(&[pixel[2], pixel[1], pixel[0]].map(f32::from));
        }
    }
}

fn pool(machine: &mut Machine, x: &Maps, out: &mut Maps) {
    let ([height, width], channels) = (x.size.map(|side| side / 2), x.channels);
    spatial::max_pool(
        machine,
        x.get(),
        (height, width, channels),
        false,
        out.take([height, width], channels),
    );
}

#[cfg(test)]
mod tests;
