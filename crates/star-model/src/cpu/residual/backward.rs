//! The backward pass, from the last convolution to the first.
//!
//! A norm's gradient needs sums over the whole batch before a single value of it is known. So each convolution is one round over the
//! images: the values are finished with the sums of the round before, the convolution's own gradients are taken, and the next
//! values and sums are left behind.

use rayon::prelude::*;

use super::super::conv::Window;
use super::super::gemm::{Into, Matrix, gemm};
use super::super::slices::Real;
use super::forward::{on_images, strips};
use super::norm::{ImageSums, Norm, Slopes};
use super::parts::{Conv, Parts};
use super::{Kept, Sizes};

/// Weight gradients of one image, and the sums of the norm in front of the convolution.
struct Round<T> {
    weight: Vec<T>,
    sums: ImageSums,
}

/// Gradients by `x` and by the parameters, in the order of [`Sizes::lengths`].
pub(super) fn backward<T: Real>(
    s: &Sizes,
    x: &[T],
    parts: &Parts<T>,
    kept: Kept<T>,
    dy: &[T],
) -> (Vec<T>, Vec<T>) {
    let pixels = s.pixels();
    let (input, half, output) = (s.input * pixels, s.half * pixels, s.output * pixels);
    let Kept { norms: [norm1, norm2, norm3], first, second } = kept;

    // dy -> gradient by the third activations, in `d`.
    let mut d = vec![T::zero(); s.n * half];
    let images =
        d.par_chunks_exact_mut(half).zip(second.par_chunks_exact(half)).zip(dy.par_chunks_exact(output));
    let third = on_images(images, |((d, image), dy), threads| {
        pointwise(&norm3, &parts.convs[2], (image, s.half), (dy, s.output), d, pixels, threads)
    });
    let (weight3, bias3, slopes3) = norm3.slopes(&sums(&third));

    // -> by the output of the second convolution, in place -> by the second activations, in `e`.
    let window = Window::same_3x3(s.half, s.h, s.w);
    let mut e = vec![T::zero(); s.n * half];
    let images = e
        .par_chunks_exact_mut(half)
        .zip(d.par_chunks_exact_mut(half))
        .zip(second.par_chunks_exact(half).zip(first.par_chunks_exact(half)));
    let middle = on_images(images, |((e, d), (second, first)), threads| {
        slopes3.apply(second, d, pixels);
        let mut activations = vec![T::zero(); half];
        norm2.activate(first, pixels, 0..pixels, &mut activations);
        let mut weight = vec![T::zero(); 9 * s.half * s.half];
        window.backward(&activations, parts.convs[1].weight, d, Some(&mut *e), &mut weight, threads);
        Round { weight, sums: norm2.mask(first, e, pixels) }
    });
    let (weight2, bias2, slopes2) = norm2.slopes(&sums(&middle));
    drop((d, second));

    // -> by the output of the first convolution, in place -> by the first activations, in `dx`.
    let mut dx = vec![T::zero(); s.n * input];
    let images = dx
        .par_chunks_exact_mut(input)
        .zip(e.par_chunks_exact_mut(half))
        .zip(first.par_chunks_exact(half).zip(x.par_chunks_exact(input)));
    let last = on_images(images, |((dx, e), (first, x)), threads| {
        slopes2.apply(first, e, pixels);
        pointwise(&norm1, &parts.convs[0], (x, s.input), (e, s.half), dx, pixels, threads)
    });
    let (weight1, bias1, slopes1) = norm1.slopes(&sums(&last));
    drop((e, first));

    let images =
        dx.par_chunks_exact_mut(input).zip(x.par_chunks_exact(input)).zip(dy.par_chunks_exact(output));
    let skips = on_images(images, |((dx, x), dy), threads| {
        through_skip(s, &slopes1, parts.skip.as_ref(), x, dy, dx, threads)
    });

    let total = |rounds: &[Round<T>]| added(rounds.iter().map(|round| round.weight.as_slice()));
    let zeros = || vec![T::zero(); s.half];
    let bias = plane_sums(dy, s.output, pixels);
    let mut all = [
        weight1,
        bias1,
        total(&last),
        zeros(),
        weight2,
        bias2,
        total(&middle),
        zeros(),
        weight3,
        bias3,
        total(&third),
        bias.clone(),
    ]
    .concat();
    if parts.skip.is_some() {
        all.extend(added(skips.iter().map(Vec::as_slice)));
        all.extend(bias);
    }
    (dx, all)
}

fn sums<T>(rounds: &[Round<T>]) -> Vec<ImageSums> {
    rounds.iter().map(|round| round.sums.clone()).collect()
}

/// The gradients of images summed in their order, so that threads change nothing.
fn added<'a, T: Real>(mut images: impl Iterator<Item = &'a [T]>) -> Vec<T> {
    let mut total = images.next().map(<[T]>::to_vec).unwrap_or_default();
    for image in images {
        total.iter_mut().zip(image).for_each(|(sum, &value)| *sum += value);
    }
    total
}

/// One image through a 1x1 convolution behind a norm: from `dy` at its output to the masked gradient `d` by the activations.
fn pointwise<T: Real>(
    norm: &Norm<T>,
    conv: &Conv<T>,
    (image, channels): (&[T], usize),
    (dy, outputs): (&[T], usize),
    d: &mut [T],
    pixels: usize,
    threads: usize,
) -> Round<T> {
    let mut weight = vec![T::zero(); outputs * channels];
    let matrix = Matrix::dense(outputs, channels);
    let mut scratch = Vec::new();
    for range in strips(pixels, channels) {
        let width = range.len();
        scratch.resize(channels * width, T::zero());
        norm.activate(image, pixels, range.clone(), &mut scratch);
        let dy = (&dy[range.start..], Matrix::strided(outputs, width, pixels));
        gemm((&mut weight, matrix), dy, (&scratch, Matrix::dense(channels, width).t()), Into::Add, threads);
        let d = (&mut d[range.start..], Matrix::strided(channels, width, pixels));
        gemm(d, (conv.weight, matrix.t()), dy, Into::Replace, threads);
    }
    Round { weight, sums: norm.mask(image, d, pixels) }
}

/// Finishes `dx` of one image with the path around the block; the weight gradient of the skip convolution, where there is one.
fn through_skip<T: Real>(
    s: &Sizes,
    slopes: &Slopes<T>,
    skip: Option<&Conv<T>>,
    x: &[T],
    dy: &[T],
    dx: &mut [T],
    threads: usize,
) -> Vec<T> {
    let pixels = s.pixels();
    slopes.apply(x, dx, pixels);
    let Some(skip) = skip else {
        dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
        return Vec::new();
    };
    let matrix = Matrix::dense(s.output, s.input);
    let (dym, xm) = (Matrix::dense(s.output, pixels), Matrix::dense(s.input, pixels));
    let mut weight = vec![T::zero(); s.output * s.input];
    gemm((&mut weight, matrix), (dy, dym), (x, xm.t()), Into::Add, threads);
    gemm((dx, xm), (skip.weight, matrix.t()), (dy, dym), Into::Add, threads);
    weight
}

/// Sum over batch and pixels of each channel of `[N, C, pixels]`.
fn plane_sums<T: Real>(values: &[T], channels: usize, pixels: usize) -> Vec<T> {
    let of = |channel: usize| {
        let planes = values.chunks_exact(pixels).skip(channel).step_by(channels);
        T::from_f64(planes.map(|plane| super::super::batch_norm::sums(plane, T::zero()).0).sum())
    };
    (0..channels).into_par_iter().map(of).collect()
}
