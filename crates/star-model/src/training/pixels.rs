//! How the values of a step lie in memory: channels-last pixels, of floats or of pairs in bf16.

use super::Passes;
use crate::plan::kernels::pixels::Prepared;
use crate::plan::ops::pointwise::ScaleRelu;
use crate::plan::ops::shared::part;

/// Pixels of `channels` values each, whole registers of them.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a> {
    pub(super) values: &'a [f32],
    pub(super) channels: usize,
    /// Whether two neighbouring channels in bf16 lie in the place of a float.
    pub(super) pairs: bool,
}

/// Floats that so many values take up.
pub(super) fn floats_of(values: usize, pairs: bool) -> usize {
    if pairs { values / 2 } else { values }
}

impl<'a> Pixels<'a> {
    /// Of floats.
    pub(super) fn floats(values: &'a [f32], channels: usize) -> Self {
        Self { values, channels, pairs: false }
    }

    /// Floats from pixel to pixel.
    pub(super) fn stride(self) -> usize {
        floats_of(self.channels, self.pairs)
    }

    pub(super) fn count(self) -> usize {
        self.values.len() / self.stride()
    }

    /// `count` pixels from `first` on.
    pub(super) fn range(self, first: usize, count: usize) -> Self {
        Self { values: &self.values[first * self.stride()..][..count * self.stride()], ..self }
    }

    /// Where a kernel finds `count` pixels from `first` on.
    pub(super) fn part(self, first: usize, count: usize) -> *const f32 {
        part(self.values, first * self.stride(), count * self.stride())
    }

    /// All of them as a kernel makes them ready: `norm` of their first `channels` values into `lines` lines of `cells` floats.
    fn prepared(
        self,
        norm: Option<&ScaleRelu>,
        channels: usize,
        out: &mut [f32],
        (lines, cells): (usize, usize),
    ) -> Prepared {
        assert!(channels <= self.channels && out.len() >= lines * cells, "pixels: sizes");
        let (scale, shift) = ScaleRelu::pointers(norm, channels);
        let (x, stride, pixels) = (self.values.as_ptr(), self.stride(), self.count());
        Prepared {
            x,
            paired: self.pairs,
            stride,
            pixels,
            channels,
            scale,
            shift,
            out: out.as_mut_ptr(),
            cells,
        }
    }

    /// Writes them as floats, `norm` of them where there is one.
    pub(super) fn to_floats(self, passes: &Passes, norm: Option<&ScaleRelu>, out: &mut [f32]) {
        assert!(self.channels.is_multiple_of(passes.kernels.lanes()), "pixels that are no whole registers");
        let all = self.prepared(norm, self.channels, out, (self.count(), self.channels));
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: `values` holds the pixels, the norm was checked to hold the channels, `out` to take the lines.
        unsafe {
            passes.kernels.floats(&all);
        }
    }

    /// Writes their first `channels` values as pairs of channels, `norm` of them where there is one.
    pub(super) fn to_pairs(
        self,
        passes: &Passes,
        norm: Option<&ScaleRelu>,
        channels: usize,
        out: &mut [f32],
    ) {
        let cells = channels.div_ceil(2);
        let all = self.prepared(norm, channels, out, (self.count(), cells));
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `to_floats`.
        unsafe {
            passes.kernels.pairs(&all);
        }
    }

    /// Writes the first `channels` values, whole registers, of neighbouring pixels as pairs until `out` is full: `norm` of them where there
    /// is one, zeros beyond the last pixel.
    pub(super) fn to_pairs_of_pixels(
        self,
        passes: &Passes,
        norm: Option<&ScaleRelu>,
        channels: usize,
        out: &mut [f32],
    ) {
        assert!(channels.is_multiple_of(passes.kernels.lanes()), "pixels that are no whole registers");
        let (inside, beyond) = out.split_at_mut(self.count().div_ceil(2) * channels);
        let all = self.prepared(norm, channels, inside, (self.count().div_ceil(2), channels));
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: as in `to_floats`.
        unsafe {
            passes.kernels.pixel_pairs(&all);
        }
        beyond.fill(0.0);
    }
}
