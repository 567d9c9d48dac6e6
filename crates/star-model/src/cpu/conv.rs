//! 2-D convolution with bias: image columns in cache-sized strips, then matrix products.
//!
//! Layout is channels-first. A strip of output rows is unfolded into a `[C k k, rows OW]` matrix small enough for the
//! second-level cache; forward is one product a strip, backward two (`window`). A 1x1 convolution of stride 1 needs no
//! unfolding. Weight gradients are summed over a number of batch slices that does not depend on the thread count, so
//! results do not either.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, FloatDType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::slices::{self, for_float};
use super::window::Window;

/// Batch slices whose weight gradients are summed apart, whatever the number of threads.
const GRADIENT_SLICES: usize = 8;

/// `conv2d(x, weight) + bias` with square kernel, equal stride and padding on both axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv2dOp {
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

/// Threads inside a product: all of them for a batch too small to share out, else one.
fn threads_inside(tasks: usize) -> usize {
    let threads = rayon::current_num_threads();
    if tasks >= threads { 1 } else { threads }
}

fn forward<T: FloatDType>(s: &Window, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
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
fn backward_slice<T: FloatDType>(
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

/// Gradients with respect to input (added to `dx` where it is wanted), weight and bias.
fn backward<T: FloatDType>(
    s: &Window,
    (x, weight, dy): (&[T], &[T], &[T]),
    mut dx: Option<Vec<T>>,
) -> (Option<Vec<T>>, Vec<T>, Vec<T>) {
    let (image, out_image) = (s.c * s.h * s.w, s.o * s.pixels());
    let per_slice = s.n.div_ceil(GRADIENT_SLICES).max(1);
    let slices = s.n.div_ceil(per_slice);
    let threads = threads_inside(slices);
    let mut dx_parts: Vec<Option<&mut [T]>> = match &mut dx {
        Some(dx) => dx.chunks_mut(per_slice * image).map(Some).collect(),
        None => (0..slices).map(|_| None).collect(),
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
    (dx, dw, db)
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
        let s = Window::new((self.stride, self.padding), lx.shape(), lw.shape())?;
        if lb.shape().dims() != [s.o] {
            candle_core::bail!("conv2d: bias: expected [{}], got {:?}", s.o, lb.shape())
        }
        for_float!(x.dtype(), T => {
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
        let s = Window::new((self.stride, self.padding), x.shape(), weight.shape())?;
        let device = x.device();
        for_float!(x.dtype(), T => {
            // The image itself takes no gradient.
            let dx = x.track_op().then(|| slices::zeros::<T>(x.elem_count()));
            let (dx, dw, db) = slices::with::<T, _>(x, |x| {
                slices::with::<T, _>(weight, |weight| {
                    slices::with::<T, _>(dy, |dy| Ok(backward(&s, (x, weight, dy), dx)))
                })
            })?;
            let dx = dx.map(|dx| Tensor::from_vec(dx, x.shape(), device)).transpose()?;
            let dw = Tensor::from_vec(dw, weight.shape(), device)?;
            let db = Tensor::from_vec(db, bias.shape(), device)?;
            Ok((dx, Some(dw), Some(db)))
        })
    }
}
