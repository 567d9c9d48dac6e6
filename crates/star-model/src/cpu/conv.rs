//! 2-D convolution with bias: image columns in cache-sized strips, then matrix products.
//!
//! Layout is channels-first. A strip of output rows is unfolded into a `[C k k, rows OW]` matrix small enough for the
//! second-level cache; forward is one product a strip, backward two. A 1x1 convolution of stride 1 needs no
//! unfolding. Weight gradients are summed over a number of batch slices that does not depend on the thread count, so
//! results do not either.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::gemm::{Into, Matrix, gemm};
use super::slices::{self, Real, for_real};

/// Elements of an unfolded strip. Smaller ones stay nearer in the caches, but each product packs the weights again.
const STRIP: usize = 256 * 1024;

/// Batch slices whose weight gradients are summed apart, whatever the number of threads.
const GRADIENT_SLICES: usize = 8;

/// `conv2d(x, weight) + bias` with square kernel, equal stride and padding on both axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv2dOp {
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

/// All sizes of one convolution; its methods work on one image at a time.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    n: usize,
    c: usize,
    h: usize,
    w: usize,
    o: usize,
    k: usize,
    oh: usize,
    ow: usize,
    stride: usize,
    padding: usize,
}

impl Window {
    fn new(op: &Conv2dOp, x: &Shape, weight: &Shape) -> Result<Self> {
        let (n, c, h, w) = x.dims4()?;
        let (o, wc, k, k2) = weight.dims4()?;
        if wc != c || k != k2 {
            candle_core::bail!(
                "conv2d: a square weight [O, {c}, k, k] expected for input {x:?}, got {weight:?}"
            )
        }
        if h + 2 * op.padding < k || w + 2 * op.padding < k {
            candle_core::bail!("conv2d: input {x:?} is smaller than the {k}x{k} kernel")
        }
        let out = |side: usize| (side + 2 * op.padding - k) / op.stride + 1;
        Ok(Self { n, c, h, w, o, k, oh: out(h), ow: out(w), stride: op.stride, padding: op.padding })
    }

    fn pointwise(&self) -> bool {
        self.k == 1 && self.stride == 1 && self.padding == 0
    }

    fn taps(&self) -> usize {
        self.c * self.k * self.k
    }

    fn pixels(&self) -> usize {
        self.oh * self.ow
    }

    /// Output rows a strip.
    fn strip_rows(&self) -> usize {
        (STRIP / (self.taps() * self.ow)).clamp(1, self.oh)
    }

    /// Input columns `ix` (as a range of output columns) that tap `kx` reads inside the image.
    fn valid_columns(&self, kx: usize) -> (usize, usize) {
        // ix = ox * stride + kx - padding must lie in 0..w
        let first = self.padding.saturating_sub(kx).div_ceil(self.stride);
        let last = (self.w + self.padding).saturating_sub(kx + 1) / self.stride + 1;
        let last = if self.w + self.padding < kx + 1 { 0 } else { last.min(self.ow) };
        (first.min(last), last)
    }
}

/// Unfolds output rows `rows` of `image` (`[C, H, W]`) into `columns` (`[C k k, rows OW]`).
fn unfold<T: Real>(s: &Window, image: &[T], rows: std::ops::Range<usize>, columns: &mut [T]) {
    let width = rows.len() * s.ow;
    for c in 0..s.c {
        let plane = &image[c * s.h * s.w..][..s.h * s.w];
        for ky in 0..s.k {
            for kx in 0..s.k {
                let line = &mut columns[((c * s.k + ky) * s.k + kx) * width..][..width];
                let (first, last) = s.valid_columns(kx);
                for (out, oy) in line.chunks_exact_mut(s.ow).zip(rows.clone()) {
                    let y = oy * s.stride + ky;
                    if y < s.padding || y >= s.h + s.padding || first >= last {
                        out.fill(T::zero());
                        continue;
                    }
                    let source = &plane[(y - s.padding) * s.w..][..s.w];
                    out[..first].fill(T::zero());
                    out[last..].fill(T::zero());
                    let start = first * s.stride + kx - s.padding;
                    if s.stride == 1 {
                        out[first..last].copy_from_slice(&source[start..start + last - first]);
                    } else {
                        for (value, &from) in
                            out[first..last].iter_mut().zip(source[start..].iter().step_by(s.stride))
                        {
                            *value = from;
                        }
                    }
                }
            }
        }
    }
}

/// Adds unfolded gradients back onto the pixels they came from: the transpose of [`unfold`].
fn fold<T: Real>(s: &Window, columns: &[T], rows: std::ops::Range<usize>, image: &mut [T]) {
    let width = rows.len() * s.ow;
    for c in 0..s.c {
        let plane = &mut image[c * s.h * s.w..][..s.h * s.w];
        for ky in 0..s.k {
            for kx in 0..s.k {
                let line = &columns[((c * s.k + ky) * s.k + kx) * width..][..width];
                let (first, last) = s.valid_columns(kx);
                for (from, oy) in line.chunks_exact(s.ow).zip(rows.clone()) {
                    let y = oy * s.stride + ky;
                    if y < s.padding || y >= s.h + s.padding || first >= last {
                        continue;
                    }
                    let target = &mut plane[(y - s.padding) * s.w..][..s.w];
                    let start = first * s.stride + kx - s.padding;
                    if s.stride == 1 {
                        for (sum, &value) in target[start..].iter_mut().zip(&from[first..last]) {
                            *sum += value;
                        }
                    } else {
                        for (sum, &value) in
                            target[start..].iter_mut().step_by(s.stride).zip(&from[first..last])
                        {
                            *sum += value;
                        }
                    }
                }
            }
        }
    }
}

/// Threads inside a product: all of them for a batch too small to share out, else one.
pub(crate) fn threads_inside(tasks: usize) -> usize {
    let threads = rayon::current_num_threads();
    if tasks >= threads { 1 } else { threads }
}

impl Window {
    /// `y += conv(x)` for one image, without the bias.
    pub(crate) fn forward<T: Real>(&self, x: &[T], weight: &[T], y: &mut [T], threads: usize) {
        let w = (weight, Matrix::dense(self.o, self.taps()));
        if self.pointwise() {
            let columns = (x, Matrix::dense(self.c, self.pixels()));
            return gemm((y, Matrix::dense(self.o, self.pixels())), w, columns, Into::Add, threads);
        }
        let mut columns = vec![T::zero(); self.taps() * self.strip_rows() * self.ow];
        for rows in self.strips() {
            let width = rows.len() * self.ow;
            unfold(self, x, rows.clone(), &mut columns);
            let out = (&mut y[rows.start * self.ow..], Matrix::strided(self.o, width, self.pixels()));
            gemm(out, w, (&columns, Matrix::dense(self.taps(), width)), Into::Add, threads);
        }
    }

    /// Adds one image's gradients to `dw`, and to `dx` where it is wanted.
    pub(crate) fn backward<T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        dy: &[T],
        mut dx: Option<&mut [T]>,
        dw: &mut [T],
        threads: usize,
    ) {
        let wm = Matrix::dense(self.o, self.taps());
        if self.pointwise() {
            let (dym, xm) = (Matrix::dense(self.o, self.pixels()), Matrix::dense(self.c, self.pixels()));
            gemm((dw, wm), (dy, dym), (x, xm.t()), Into::Add, threads);
            if let Some(dx) = dx {
                gemm((dx, xm), (weight, wm.t()), (dy, dym), Into::Add, threads);
            }
            return;
        }
        let strip = self.taps() * self.strip_rows() * self.ow;
        let mut columns = vec![T::zero(); strip];
        let mut gradients = vec![T::zero(); if dx.is_none() { 0 } else { strip }];
        for rows in self.strips() {
            let width = rows.len() * self.ow;
            let cm = Matrix::dense(self.taps(), width);
            let dym = (&dy[rows.start * self.ow..], Matrix::strided(self.o, width, self.pixels()));
            unfold(self, x, rows.clone(), &mut columns);
            gemm((&mut *dw, wm), dym, (&columns, cm.t()), Into::Add, threads);
            if let Some(dx) = dx.as_deref_mut() {
                gemm((&mut gradients, cm), (weight, wm.t()), dym, Into::Replace, threads);
                fold(self, &gradients, rows, dx);
            }
        }
    }

    /// Output rows, as many at a time as a strip holds.
    fn strips(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (rows, all) = (self.strip_rows(), self.oh);
        (0..all).step_by(rows).map(move |top| top..(top + rows).min(all))
    }
}

fn forward<T: Real>(s: &Window, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    let (image, out_image) = (s.c * s.h * s.w, s.o * s.pixels());
    let mut out = vec![T::zero(); s.n * out_image];
    let threads = threads_inside(s.n);
    let one = |(y, x): (&mut [T], &[T])| {
        for (plane, &b) in y.chunks_exact_mut(s.pixels()).zip(bias) {
            plane.fill(b);
        }
        s.forward(x, weight, y, threads);
    };
    if threads == 1 {
        out.par_chunks_exact_mut(out_image).zip(x.par_chunks_exact(image)).for_each(one);
    } else {
        out.chunks_exact_mut(out_image).zip(x.chunks_exact(image)).for_each(one);
    }
    out
}

/// Gradients of one slice of the batch: adds into `dw` and `db`, and into `dx` where it is wanted.
fn backward_slice<T: Real>(
    s: &Window,
    (x, weight, dy): (&[T], &[T], &[T]),
    mut dx: Option<&mut [T]>,
    (dw, db): (&mut [T], &mut [T]),
    threads: usize,
) {
    let (image, out_image) = (s.c * s.h * s.w, s.o * s.pixels());
    for (i, dy) in dy.chunks_exact(out_image).enumerate() {
        let dx = dx.as_deref_mut().map(|dx| &mut dx[i * image..][..image]);
        for (sum, plane) in db.iter_mut().zip(dy.chunks_exact(s.pixels())) {
            let mut total = T::zero();
            for &value in plane {
                total += value;
            }
            *sum += total;
        }
        s.backward(&x[i * image..][..image], weight, dy, dx, dw, threads);
    }
}

/// Gradients with respect to input (where wanted), weight and bias.
fn backward<T: Real>(
    s: &Window,
    (x, weight, dy): (&[T], &[T], &[T]),
    want_dx: bool,
) -> (Option<Vec<T>>, Vec<T>, Vec<T>) {
    let (image, out_image) = (s.c * s.h * s.w, s.o * s.pixels());
    let per_slice = s.n.div_ceil(GRADIENT_SLICES).max(1);
    let slices = s.n.div_ceil(per_slice);
    let threads = threads_inside(slices);
    let mut dx = if want_dx { vec![T::zero(); s.n * image] } else { Vec::new() };
    let mut dx_parts: Vec<Option<&mut [T]>> = if want_dx {
        dx.chunks_mut(per_slice * image).map(Some).collect()
    } else {
        (0..slices).map(|_| None).collect()
    };
    let one = |(i, dx): (usize, &mut Option<&mut [T]>)| {
        let range = i * per_slice..((i + 1) * per_slice).min(s.n);
        let (x, dy) =
            (&x[range.start * image..range.end * image], &dy[range.start * out_image..range.end * out_image]);
        let (mut dw, mut db) = (vec![T::zero(); s.o * s.taps()], vec![T::zero(); s.o]);
        backward_slice(s, (x, weight, dy), dx.as_deref_mut(), (&mut dw, &mut db), threads);
        (dw, db)
    };
    let parts: Vec<(Vec<T>, Vec<T>)> = if threads == 1 {
        dx_parts.par_iter_mut().enumerate().map(one).collect()
    } else {
        dx_parts.iter_mut().enumerate().map(one).collect()
    };
    let (mut dw, mut db) = (vec![T::zero(); s.o * s.taps()], vec![T::zero(); s.o]);
    for (part_w, part_b) in &parts {
        dw.iter_mut().zip(part_w).for_each(|(sum, &value)| *sum += value);
        db.iter_mut().zip(part_b).for_each(|(sum, &value)| *sum += value);
    }
    (want_dx.then_some(dx), dw, db)
}

impl CustomOp3 for Conv2dOp {
    fn name(&self) -> &'static str {
        "conv2d-cpu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let s = Window::new(self, lx.shape(), lw.shape())?;
        if lb.shape().dims() != [s.o] {
            candle_core::bail!("conv2d: bias: expected [{}], got {:?}", s.o, lb.shape())
        }
        for_real!(x.dtype(), T => {
            let x: &[T] = slices::of_storage(x, lx)?;
            let out = forward(&s, x, slices::of_storage(w, lw)?, slices::of_storage(b, lb)?);
            Ok(slices::result(out, (s.n, s.o, s.oh, s.ow)))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let s = Window::new(self, x.shape(), weight.shape())?;
        // The picture itself takes no gradient.
        let x_tracked = x.track_op();
        let device = x.device();
        for_real!(x.dtype(), T => {
            let (dx, dw, db) = slices::with::<T, _>(x, |x| {
                slices::with::<T, _>(weight, |weight| {
                    slices::with::<T, _>(dy, |dy| Ok(backward(&s, (x, weight, dy), x_tracked)))
                })
            })?;
            let dx = dx.map(|dx| Tensor::from_vec(dx, x.shape(), device)).transpose()?;
            let dw = Tensor::from_vec(dw, weight.shape(), device)?;
            let db = Tensor::from_vec(db, bias.shape(), device)?;
            Ok((dx, Some(dw), Some(db)))
        })
    }
}
