//! 1x1 convolution: one matrix product over all pixels, with what comes before and after it.

use super::super::kernels::Kernels;
use super::super::kernels::gemm::{Run, Strip};
use super::super::kernels::pixels::{Bytes, Prepared};
use super::panels::Panels;
use super::shared::{Shared, part};
use super::{Machine, Split};
use crate::activation::Activation;

/// Pixels a task: with 256 channels they and a panel of weights fill a tenth of a second-level cache.
pub(super) const BLOCK: usize = 96;

/// Floats that a task's pixels take up for products by tiles, of whole blocks of [`TILE`] pixels: a third of a first-level cache, where
/// they stay while the panels pass. Deep pixels take more; of shallow ones four blocks are enough.
const TILED: usize = 4096;

/// Pixels of a block of such a product, two tiles of 16 rows.
const TILE: usize = 32;

/// Pairs in a row of a tile.
const ROW: usize = 16;

/// Most values that one product reads.
pub(crate) const MOST_SOURCES: usize = 6;

/// What one stretch of the inner loop reads: the first `len` channels of pixels that are `stride` floats apart, `pairs` in bf16 already or
/// floats.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) len: usize,
    pub(crate) pairs: bool,
}

/// `max(0, x scale + shift)` a channel, applied to a source before the product.
pub(crate) struct ScaleRelu {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

impl ScaleRelu {
    /// Where a kernel finds scale and shift of `channels` channels; null where there are none.
    ///
    /// # Panics
    /// When they are of fewer channels.
    pub(crate) fn pointers(this: Option<&Self>, channels: usize) -> (*const f32, *const f32) {
        this.map_or((std::ptr::null(), std::ptr::null()), |this| {
            (part(&this.scale, 0, channels), part(&this.shift, 0, channels))
        })
    }
}

/// What is added to the product before the ReLU.
#[derive(Clone, Copy)]
pub(crate) enum Residual<'a> {
    None,
    /// What the output holds already.
    InPlace,
    Other(&'a [f32]),
}

impl Residual<'_> {
    /// Where the kernels find `span` values of it, those from `at` on, for an output at `target`; null for nothing.
    pub(crate) fn pointer(&self, target: *mut f32, at: usize, span: usize) -> *const f32 {
        match self {
            Self::None => std::ptr::null(),
            Self::InPlace => target.cast_const(),
            Self::Other(values) => part(values, at, span),
        }
    }
}

/// `out = activate(panels [sources] + bias + residual)`.
pub(crate) struct Pointwise<'a> {
    pub(crate) pixels: usize,
    pub(crate) sources: &'a [Source<'a>],
    /// On the first source, whose stride must then be its number of channels.
    pub(crate) prepare: Option<&'a ScaleRelu>,
    pub(crate) panels: &'a Panels,
    pub(crate) residual: Residual<'a>,
    pub(crate) activation: Activation,
    pub(crate) cells: &'a Cells,
    /// Whether the output and what is added to it are of pairs in bf16.
    pub(crate) pairs: bool,
}

/// What numbers a product is of; panels are packed alike.
pub(crate) enum Cells {
    F32,
    /// Pairs in bf16; `filled` up with zeros to whole rows of tiles where they are made for the product.
    Bf16 {
        filled: bool,
    },
    /// Fours of bytes, each source's made in its own way.
    Int8(Vec<Bytes>),
}

impl Cells {
    /// Whether a product reads a source where it lies: pairs to which nothing is done before.
    pub(crate) fn in_place(&self, pairs: bool, prepared: bool) -> bool {
        pairs && !prepared && matches!(self, Self::Bf16 { .. })
    }

    /// Floats that `len` channels of a pixel take up as the product reads them, of a source that it reads in place or not.
    pub(crate) fn count(&self, len: usize, in_place: bool) -> usize {
        match self {
            Self::F32 => len,
            Self::Bf16 { filled: true } if !in_place => len.div_ceil(2).next_multiple_of(ROW),
            Self::Bf16 { .. } => len.div_ceil(2),
            Self::Int8(_) => len.div_ceil(4),
        }
    }
}

impl Pointwise<'_> {
    /// Runs it into `out`, `[pixels, panels.channels]`.
    pub(crate) fn run(&self, machine: &mut Machine, out: &mut [f32]) {
        let (kernels, panels) = (machine.kernels, self.panels);
        assert!(
            matches!(self.cells, Cells::Int8(bytes) if bytes.len() == self.sources.len())
                == panels.is_scaled(),
            "pointwise: sources and weights differ in their numbers"
        );
        let count = |(i, source): (usize, &Source)| self.cells.count(source.len, self.in_place(i, source));
        let depth: usize = self.sources.iter().enumerate().map(count).sum();
        let narrow = !matches!(self.cells, Cells::F32);
        assert!(
            narrow || !self.pairs && self.sources.iter().all(|source| !source.pairs),
            "pointwise: pairs in a product of floats"
        );
        assert_eq!(depth, panels.depth, "pointwise: sources and weights differ in depth");
        let work = self.pixels * depth * panels.channels;
        let tiled = || (TILED / depth.max(1) / TILE).clamp(1, 4) * TILE;
        let block = if narrow && kernels.has_tiles() { tiled() } else { BLOCK };
        let split = Split::new(self.pixels, block, panels.count(), machine.team.threads(), work);
        // Floats of so many channels of the output.
        let floats = |channels: usize| if self.pairs { channels / 2 } else { channels };
        let (stride, out) = (floats(panels.channels), Shared::new(out));
        machine.team.each(split.tasks(), |task, scratch| {
            let [pixels, group] = split.task(task, self.pixels, panels.count());
            let (first, count) =
                (panels.first(group.start), panels.first(group.end) - panels.first(group.start));
            if pixels.is_empty() || count == 0 {
                return;
            }
            let mut runs = [Run { x: std::ptr::null(), stride: 0, len: 0 }; MOST_SOURCES];
            let runs = &mut runs[..self.sources.len()];
            for (run, source) in runs.iter_mut().zip(self.sources) {
                let len = if source.pairs { source.len.div_ceil(2) } else { source.len };
                let span = (pixels.len() - 1) * source.stride + len;
                let x = part(source.values, pixels.start * source.stride, span);
                *run = Run { x, stride: source.stride, len };
            }
            if narrow {
                self.narrow(kernels, pixels.start, pixels.len(), scratch.take(pixels.len() * depth), runs);
            } else if let (Some(prepare), Some(run)) = (self.prepare, runs.first_mut()) {
                let channels = prepare.scale.len();
                assert!(channels == run.stride && channels == prepare.shift.len() && run.len <= channels);
                let values = self.sources[0].values;
                let x = part(values, pixels.start * channels, pixels.len() * channels);
                let prepared = scratch.take(pixels.len() * channels);
                run.x = prepared.as_ptr();
                let (scale, shift) = ScaleRelu::pointers(Some(prepare), channels);
                let (pixels, stride, out, cells) = (pixels.len(), channels, prepared.as_mut_ptr(), channels);
                let all = Prepared { x, paired: false, stride, pixels, channels, scale, shift, out, cells };
                #[expect(unsafe_code, reason = "call of a kernel")]
                // SAFETY: `x` and `prepared` hold pixels * channels values, the vectors channels, all checked above;
                // scratch memory overlaps nothing.
                unsafe {
                    kernels.floats(&all);
                }
            }
            let (weights, bias) = panels.pointers(&group);
            let span = (pixels.len() - 1) * stride + floats(count);
            let at = pixels.start * stride + floats(first);
            let target = out.part(at, span);
            let residual = self.residual.pointer(target, at, span);
            let strip = Strip {
                runs,
                pixels: pixels.len(),
                weights,
                bias,
                channels: count,
                out: target,
                out_stride: stride,
                residual,
                residual_stride: stride,
                activation: self.activation,
                pairs: self.pairs,
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: every run, the panels, the output and the residual were checked to hold what the strip reads
            // or writes; tasks have disjoint pixels or panels, so no two write to one place.
            unsafe {
                match (self.cells, panels.scale(&group)) {
                    (Cells::F32, _) => kernels.strip(&strip),
                    (Cells::Int8(_), Some(scale)) => kernels.strip_int8(&strip, scale),
                    _ => kernels.strip_bf16(&strip),
                }
            }
        });
    }

    fn in_place(&self, i: usize, source: &Source) -> bool {
        self.cells.in_place(source.pairs, i == 0 && self.prepare.is_some())
    }

    /// Writes `count` pixels of all sources that are not read in place, the first one prepared, as pairs or fours into `cells`, and makes
    /// `runs` read those.
    fn narrow(&self, kernels: &dyn Kernels, first: usize, count: usize, cells: &mut [f32], runs: &mut [Run]) {
        let mut rest = cells;
        for (i, (source, run)) in self.sources.iter().zip(runs).enumerate() {
            if self.in_place(i, source) {
                continue;
            }
            let len = self.cells.count(source.len, false);
            let (mine, others) = rest.split_at_mut(count * len);
            rest = others;
            let prepare = self.prepare.filter(|_| i == 0);
            let (scale, shift) = ScaleRelu::pointers(prepare, source.len);
            let floats = if source.pairs { source.len.div_ceil(2) } else { source.len };
            let x = part(source.values, first * source.stride, (count - 1) * source.stride + floats);
            let (stride, channels, out, pixels) = (source.stride, source.len, mine.as_mut_ptr(), count);
            let all =
                Prepared { x, paired: source.pairs, stride, pixels, channels, scale, shift, out, cells: len };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: `x` was checked to hold the pixels, the vectors the channels, and `mine` holds count * len floats.
            unsafe {
                if let Cells::Int8(bytes) = self.cells {
                    kernels.bytes(&all, bytes[i]);
                } else {
                    kernels.pairs(&all);
                }
            }
            *run = Run { x: mine.as_ptr(), stride: len, len };
        }
    }
}
