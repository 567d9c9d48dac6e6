//! The arithmetic of a convolution on one image: strips of unfolded columns, then matrix products.

use candle_core::{FloatDType, Result, Shape};

use super::gemm::{Into, Matrix, gemm};

/// Elements of an unfolded strip. Smaller ones stay nearer in the caches, but each product packs the weights again.
const STRIP: usize = 256 * 1024;

/// All sizes of one convolution; its methods work on one image at a time.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Images.
    pub(super) n: usize,
    /// Channels, height and width of the input.
    pub(super) c: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    /// Channels, height and width of the output.
    pub(super) o: usize,
    pub(super) oh: usize,
    pub(super) ow: usize,
    /// Side of the kernel.
    k: usize,
    stride: usize,
    padding: usize,
}

impl Window {
    pub(super) fn new((stride, padding): (usize, usize), x: &Shape, weight: &Shape) -> Result<Self> {
        let (n, c, h, w) = x.dims4()?;
        let (o, wc, k, k2) = weight.dims4()?;
        if wc != c || k != k2 {
            candle_core::bail!(
                "conv2d: a square weight [O, {c}, k, k] expected for input {x:?}, got {weight:?}"
            )
        }
        if h + 2 * padding < k || w + 2 * padding < k {
            candle_core::bail!("conv2d: input {x:?} is smaller than the {k}x{k} kernel")
        }
        let out = |side: usize| (side + 2 * padding - k) / stride + 1;
        Ok(Self { n, c, h, w, o, k, oh: out(h), ow: out(w), stride, padding })
    }

    fn pointwise(&self) -> bool {
        self.k == 1 && self.stride == 1 && self.padding == 0
    }

    pub(super) fn taps(&self) -> usize {
        self.c * self.k * self.k
    }

    pub(super) fn pixels(&self) -> usize {
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
fn unfold<T: FloatDType>(s: &Window, image: &[T], rows: std::ops::Range<usize>, columns: &mut [T]) {
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
fn fold<T: FloatDType>(s: &Window, columns: &[T], rows: std::ops::Range<usize>, image: &mut [T]) {
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

impl Window {
    /// `y += conv(x)` for one image, without the bias.
    pub(super) fn forward<T: FloatDType>(&self, x: &[T], weight: &[T], y: &mut [T], threads: usize) {
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
    pub(super) fn backward<T: FloatDType>(
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
