//! Sums of values, normed or not, upsampled or not, with a ReLU: both ways.

use super::memory::Floats;
use super::norm::{BLOCK, Norm, Sums};
use super::pixels::{Pixels, floats_of};
use super::{Maps, Passes};
use crate::activation::Activation;
use crate::plan::ops::pointwise::Residual;
use crate::plan::ops::shared::Shared;
use crate::plan::ops::spatial::Bilinear;

/// What a sum adds up: `x` `[pixels, channels]`, normed, and larger by `factor`.
pub(super) struct Addend<'a> {
    pub(super) x: &'a [f32],
    pub(super) norm: Option<&'a Norm>,
    pub(super) factor: usize,
}

/// Calls `work` with blocks of whole pixels of `y`, `[pixels, channels]`, and of `x`, as floats.
fn each_block(
    passes: &Passes,
    (y, channels, pairs): (&mut [f32], usize, bool),
    x: Option<&[f32]>,
    work: impl Fn(&mut [f32], &[f32]) + Sync,
) {
    let (len, block) = (y.len(), BLOCK * floats_of(channels, pairs));
    let shared = Shared::new(y);
    passes.memory.each(len.div_ceil(block.max(1)), |task, scratch| {
        let (at, span) = (task * block, block.min(len - task * block));
        #[expect(unsafe_code, reason = "blocks are written by different threads")]
        // SAFETY: `part` checks the length; each block is written by one task.
        let y = unsafe { std::slice::from_raw_parts_mut(shared.part(at, span), span) };
        let x = x.map_or(&[][..], |x| &x[at..at + span]);
        if !pairs {
            return work(y, x);
        }
        let (wide_y, rest) = scratch.take(4 * span).split_at_mut(2 * span);
        let of = |values| Pixels { values, channels, pairs };
        of(y).to_floats(passes, None, wide_y);
        let wide_x = &mut rest[..2 * x.len()];
        of(x).to_floats(passes, None, wide_x);
        work(wide_y, wide_x);
        Pixels::floats(wide_y, channels).to_pairs(passes, None, channels, y);
    });
}

/// Adds `x`, normed where it is, to `y`; into `y` where `first`.
fn add(passes: &Passes, x: &[f32], norm: Option<&Norm>, first: bool, y: (&mut [f32], usize, bool)) {
    let channels = y.1;
    each_block(passes, y, Some(x), |y, x| match norm {
        None if first => y.copy_from_slice(x),
        None => y.iter_mut().zip(x).for_each(|(y, x)| *y += x),
        Some(norm) => {
            let (scale, shift) = (&norm.affine.scale[..channels], &norm.affine.shift[..channels]);
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                    let before = if first { 0.0 } else { *y };
                    *y = x * scale + shift + before;
                }
            }
        }
    });
}

/// The sum of all, `channels` values a pixel, as `pairs` or as floats like the terms, cut at 0 with `relu`; `size` is that of the result.
pub(super) fn forward(
    passes: &Passes,
    size: Maps,
    (channels, pairs): (usize, bool),
    terms: &[Addend],
    relu: bool,
) -> Floats {
    let mut y = passes.memory.take(size.pixels() * floats_of(channels, pairs));
    // Upsampled terms are added to others: those come first.
    let mut empty = true;
    for term in terms.iter().filter(|term| term.factor == 1) {
        add(passes, term.x, term.norm, empty, (&mut y, channels, pairs));
        empty = false;
    }
    for term in terms.iter().filter(|term| term.factor > 1) {
        assert!(!pairs, "pairs are not upsampled between pixels");
        let normed = term.norm.map(|norm| {
            let mut low = passes.memory.take(term.x.len());
            add(passes, term.x, Some(norm), true, (&mut low, channels, false));
            low
        });
        let low = normed.as_deref().unwrap_or(term.x);
        upsample(passes, size, term.factor, low, empty, channels, &mut y);
        empty = false;
    }
    if relu {
        // Not `max`, which would hide a NaN.
        each_block(passes, (&mut y, channels, pairs), None, |y, _| {
            y.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
        });
    }
    y
}

fn upsample(
    passes: &Passes,
    size: Maps,
    factor: usize,
    low: &[f32],
    first: bool,
    channels: usize,
    y: &mut [f32],
) {
    let (height, width) = (size.height / factor, size.width / factor);
    let (small, large) = (height * width * channels, size.image() * channels);
    let shared = Shared::new(y);
    passes.each_image(size.images, |n, machine, _| {
        #[expect(unsafe_code, reason = "images are written by different threads")]
        // SAFETY: `part` checks the length; each image is written by one task.
        let y = unsafe { std::slice::from_raw_parts_mut(shared.part(n * large, large), large) };
        let base = if first { Residual::None } else { Residual::InPlace };
        let low = &low[n * small..][..small];
        let activation = Activation::None;
        Bilinear { low, height, width, channels, factor, base, activation }.run(machine, y);
    });
}

/// The gradient by the maps that were upsampled to `size` by `factor`.
pub(super) fn upsample_back(
    passes: &Passes,
    size: Maps,
    factor: usize,
    d: &[f32],
    channels: usize,
) -> Floats {
    let (height, width) = (size.height / factor, size.width / factor);
    let mut out = passes.memory.zeros(size.images * height * width * channels);
    let row = width * channels;
    // Where a finer pixel's centre lies among `n` coarser ones, as in the forward pass.
    let place = |fine: usize, n: usize| {
        let at = ((fine as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
        let low = (at as usize).min(n - 1);
        (low, (low + 1).min(n - 1), at - low as f32)
    };
    let shared = Shared::new(&mut out);
    passes.memory.each(size.images, |n, scratch| {
        #[expect(unsafe_code, reason = "images are written by different threads")]
        // SAFETY: `part` checks the length; each image is written by one task.
        let out = unsafe {
            std::slice::from_raw_parts_mut(shared.part(n * height * row, height * row), height * row)
        };
        let line = scratch.take(row);
        for (y, d) in d[n * size.image() * channels..][..size.image() * channels]
            .chunks_exact(size.width * channels)
            .enumerate()
        {
            line.fill(0.0);
            for (x, d) in d.chunks_exact(channels).enumerate() {
                let (left, right, share) = place(x, width);
                for (to, weight) in [(left, 1.0 - share), (right, share)] {
                    let to = &mut line[to * channels..][..channels];
                    to.iter_mut().zip(d).for_each(|(to, d)| *to += weight * d);
                }
            }
            let (above, below, share) = place(y, height);
            for (to, weight) in [(above, 1.0 - share), (below, share)] {
                out[to * row..][..row]
                    .iter_mut()
                    .zip(line.iter())
                    .for_each(|(to, line)| *to += weight * line);
            }
        }
    });
    out
}

/// Cuts the gradient `d`, stored like `y`, where the ReLU has cut `y`.
pub(super) fn mask(passes: &Passes, y: Pixels, d: &mut [f32]) {
    each_block(passes, (d, y.channels, y.pairs), Some(y.values), |d, y| {
        d.iter_mut().zip(y).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 });
    });
}

/// A copy of a gradient that more than one value gets.
pub(super) fn copied(passes: &Passes, d: &[f32]) -> Floats {
    let mut copy = passes.memory.take(d.len());
    copy.copy_from_slice(d);
    copy
}

/// Sums of the gradient `d`, stored like `x`, by a norm without a ReLU, and of its products with `x` less its mean, a channel.
pub(super) fn norm_sums(passes: &Passes, norm: &Norm, x: Pixels, d: &[f32]) -> Sums {
    let (channels, pixels) = (norm.mean.len(), x.count());
    assert!(x.values.len() == d.len() && x.channels == channels, "a norm's gradient: sizes");
    let mut sums = Sums::new(passes, pixels, channels);
    let (first, second) = (Shared::new(&mut sums.first), Shared::new(&mut sums.second));
    passes.memory.each(pixels.div_ceil(BLOCK), |block, scratch| {
        let count = BLOCK.min(pixels - block * BLOCK);
        let block_of = |values| Pixels { values, ..x }.range(block * BLOCK, count);
        let all = scratch.take(if x.pairs { 2 * count * channels } else { 0 });
        let (wide_x, wide_d) = all.split_at_mut(all.len() / 2);
        let [x, d] = [(x.values, wide_x), (d, wide_d)].map(|(values, wide)| {
            let block = block_of(values);
            if !block.pairs {
                return block.values;
            }
            block.to_floats(passes, None, wide);
            &*wide
        });
        #[expect(unsafe_code, reason = "blocks have sums of their own")]
        // SAFETY: `part` checks the length; each block's sums are written by one task.
        let (first, second) = unsafe {
            let slice = |shared: &Shared| {
                std::slice::from_raw_parts_mut(shared.part(block * channels, channels), channels)
            };
            (slice(&first), slice(&second))
        };
        first.fill(0.0);
        second.fill(0.0);
        let mean = &norm.mean[..channels];
        for (x, d) in x.chunks_exact(channels).zip(d.chunks_exact(channels)) {
            for ((((first, second), x), d), mean) in
                first.iter_mut().zip(second.iter_mut()).zip(x).zip(d).zip(mean)
            {
                *first += d;
                *second += d * (x - mean);
            }
        }
    });
    sums
}
