//! Convolutions of each channel by itself: forward, and the gradients of input and weights.

use super::linear::Input;
use super::memory::Floats;
use super::weight_gradient::{SLICES, added};
use super::window::spread;
use super::{Maps, Passes};
use crate::activation::Activation;
use crate::plan::ops::depthwise::Windows;
use crate::plan::ops::shared::Shared;

/// A convolution with "same" padding; maps are channels-last, channels padded to whole registers.
pub(super) struct Depthwise<'a> {
    /// Size of the input.
    pub(super) from: Maps,
    /// Size of the output.
    pub(super) to: Maps,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// `[channels, 1, kernel, kernel]`
    pub(super) weight: &'a [f32],
}

impl Depthwise<'_> {
    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// The weights with a register's channels side by side, and no bias; where `back`, those from the output to the input.
    fn packed(&self, pitch: usize, back: bool) -> Vec<f32> {
        let taps = self.taps();
        let mut packed = vec![0.0; (taps + 1) * pitch];
        for (c, weights) in self.weight.chunks_exact(taps).enumerate() {
            for (tap, &weight) in weights.iter().enumerate() {
                let tap = if back { taps - 1 - tap } else { tap };
                packed[tap * pitch + c] = weight;
            }
        }
        packed
    }

    fn windows<'a>(&self, input: &'a [f32], channels: usize, stride: usize) -> Windows<'a> {
        let Maps { height, width, .. } = self.from;
        Windows { input, height, width, channels, kernel: self.kernel, stride }
    }

    /// The convolution of `x`, normed where it is.
    pub(super) fn forward(&self, passes: &Passes, x: &Input) -> Floats {
        let pitch = x.x.channels;
        let taps = self.packed(pitch, false);
        let (image, target) = (self.from.image(), self.to.image() * pitch);
        let mut out = passes.memory.take(self.to.images * target);
        let shared = Shared::new(&mut out);
        passes.each_image(self.from.images, |n, machine, scratch| {
            let x = x.range(n * image, image);
            let input = x.ready(passes, scratch.take(x.scratch(image, false)));
            let windows = self.windows(input, pitch, self.stride);
            #[expect(unsafe_code, reason = "parts are written by different threads")]
            // SAFETY: each is written by one task.
            unsafe {
                shared.with_part(n, target, |out| windows.run(machine, &taps, Activation::None, out));
            }
        });
        out
    }

    /// From the gradient `d` at the output to that at the input, both with `pitch` floats a pixel.
    pub(super) fn input_gradient(&self, passes: &Passes, d: &[f32], pitch: usize) -> Floats {
        let taps = self.packed(pitch, true);
        let (image, target) = (self.to.image() * pitch, self.from.image() * pitch);
        let mut out = passes.memory.take(self.from.images * target);
        let shared = Shared::new(&mut out);
        passes.each_image(self.from.images, |n, machine, scratch| {
            let d = &d[n * image..][..image];
            let input = if self.stride == 1 {
                d
            } else {
                spread((self.from, self.to), self.stride, d, pitch, scratch)
            };
            let windows = self.windows(input, pitch, 1);
            #[expect(unsafe_code, reason = "parts are written by different threads")]
            // SAFETY: each is written by one task.
            unsafe {
                shared.with_part(n, target, |out| windows.run(machine, &taps, Activation::None, out));
            }
        });
        out
    }

    /// From the gradient `d` at the output to that of the weights, `[channels, 1, kernel, kernel]`.
    pub(super) fn weight_gradient(&self, passes: &Passes, x: &Input, d: &[f32]) -> Vec<f32> {
        let (taps, pitch, images) = (self.taps(), x.x.channels, self.from.images);
        let (image, target) = (self.from.image(), self.to.image() * pitch);
        let (slices, size) = (images.min(SLICES), taps * pitch);
        let mut parts = passes.memory.zeros(slices * size);
        let shared = Shared::new(&mut parts);
        passes.memory.each(slices, |slice, scratch| {
            for n in images * slice / slices..images * (slice + 1) / slices {
                let x = x.range(n * image, image);
                let input = x.ready(passes, scratch.take(x.scratch(image, false)));
                let windows = self.windows(input, pitch, self.stride);
                let d = &d[n * target..][..target];
                #[expect(unsafe_code, reason = "parts are written by different threads")]
                // SAFETY: each is written by one task.
                unsafe {
                    shared.with_part(slice, size, |out| windows.weight_gradient(passes.kernels, d, out));
                }
            }
        });
        let total = added(passes, parts, size);
        let channels = self.weight.len() / taps;
        (0..channels)
            .flat_map(|c| (0..taps).map(move |tap| (tap, c)))
            .map(|(tap, c)| total[tap * pitch + c])
            .collect()
    }
}
