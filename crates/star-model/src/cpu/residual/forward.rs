//! The forward pass, image by image.

use rayon::prelude::*;

use super::super::conv::{Window, threads_inside};
use super::super::gemm::{Into, Matrix, gemm};
use super::super::slices::Real;
use super::norm::{ImageSums, Norm, image_sums};
use super::parts::{Conv, Parts};
use super::{Kept, Sizes};

/// Elements of the activations of one strip: with as many results they stay in a 1 MiB second-level cache.
pub(super) const STRIP: usize = 96 * 1024;

/// Ranges of pixels whose `channels` values fill a strip.
pub(super) fn strips(pixels: usize, channels: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let step = (STRIP / channels / 16 * 16).clamp(16, pixels.max(16));
    (0..pixels).step_by(step).map(move |start| start..(start + step).min(pixels))
}

/// Runs `each` on every image, on all threads where there are enough images; results in order. The second argument of `each` is
/// the number of threads that a matrix product inside may use.
pub(super) fn on_images<I: Send, R: Send>(
    images: impl IndexedParallelIterator<Item = I>,
    each: impl Fn(I, usize) -> R + Sync + Send,
) -> Vec<R> {
    let threads = threads_inside(images.len());
    if threads == 1 {
        return images.map(|image| each(image, 1)).collect();
    }
    // In order, one after the other: collecting first keeps the products from being nested in a parallel loop.
    let images: Vec<I> = images.collect();
    images.into_iter().map(|image| each(image, threads)).collect()
}

/// `out += W activations` for a 1x1 convolution behind a norm, out having been filled.
fn pointwise<T: Real>(
    norm: &Norm<T>,
    conv: &Conv<T>,
    (image, channels): (&[T], usize),
    (out, outputs): (&mut [T], usize),
    pixels: usize,
    threads: usize,
) {
    let mut scratch = Vec::new();
    for range in strips(pixels, channels) {
        let width = range.len();
        scratch.resize(channels * width, T::zero());
        norm.activate(image, pixels, range.clone(), &mut scratch);
        gemm(
            (&mut out[range.start..], Matrix::strided(outputs, width, pixels)),
            (conv.weight, Matrix::dense(outputs, channels)),
            (&scratch, Matrix::dense(channels, width)),
            Into::Add,
            threads,
        );
    }
}

pub(super) fn fill<T: Real>(out: &mut [T], bias: &[T], pixels: usize) {
    for (plane, &b) in out.chunks_exact_mut(pixels).zip(bias) {
        plane.fill(b);
    }
}

pub(super) fn forward<T: Real>(s: &Sizes, x: &[T], parts: &Parts<T>, eps: f64) -> (Vec<T>, Kept<T>) {
    let pixels = s.pixels();
    let (input, half, output) = (s.input * pixels, s.half * pixels, s.output * pixels);
    let norm = |i: usize, sums: &[ImageSums]| Norm::new(sums, pixels, &parts.norms[i], eps);

    let norm1 = norm(0, &on_images(x.par_chunks_exact(input), |image, _| image_sums(image, pixels)));
    let mut first = vec![T::zero(); s.n * half];
    let images = first.par_chunks_exact_mut(half).zip(x.par_chunks_exact(input));
    let sums = on_images(images, |(out, image), threads| {
        fill(out, parts.convs[0].bias, pixels);
        pointwise(&norm1, &parts.convs[0], (image, s.input), (out, s.half), pixels, threads);
        image_sums(out, pixels)
    });
    let norm2 = norm(1, &sums);

    let mut second = vec![T::zero(); s.n * half];
    let window = Window::same_3x3(s.half, s.h, s.w);
    let images = second.par_chunks_exact_mut(half).zip(first.par_chunks_exact(half));
    let sums = on_images(images, |(out, image), threads| {
        fill(out, parts.convs[1].bias, pixels);
        let mut activations = vec![T::zero(); half];
        norm2.activate(image, pixels, 0..pixels, &mut activations);
        window.forward(&activations, parts.convs[1].weight, out, threads);
        image_sums(out, pixels)
    });
    let norm3 = norm(2, &sums);

    let mut y = vec![T::zero(); s.n * output];
    let images =
        y.par_chunks_exact_mut(output).zip(second.par_chunks_exact(half)).zip(x.par_chunks_exact(input));
    on_images(images, |((out, image), x), threads| {
        match &parts.skip {
            None => {
                for ((out, x), &b) in
                    out.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels)).zip(parts.convs[2].bias)
                {
                    out.iter_mut().zip(x).for_each(|(out, &x)| *out = x + b);
                }
            }
            Some(skip) => {
                let bias: Vec<T> = parts.convs[2].bias.iter().zip(skip.bias).map(|(&a, &b)| a + b).collect();
                fill(out, &bias, pixels);
                gemm(
                    (&mut *out, Matrix::dense(s.output, pixels)),
                    (skip.weight, Matrix::dense(s.output, s.input)),
                    (x, Matrix::dense(s.input, pixels)),
                    Into::Add,
                    threads,
                );
            }
        }
        pointwise(&norm3, &parts.convs[2], (image, s.half), (out, s.output), pixels, threads);
    });
    (y, Kept { norms: [norm1, norm2, norm3], first, second })
}
