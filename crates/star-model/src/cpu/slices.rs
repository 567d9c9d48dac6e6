//! Plain slices out of candle storages, and back.

use candle_core::{CpuStorage, DType, FloatDType, Layout, Result, Shape, Storage, Tensor, bail};

/// Whether the kernels of this module can work on `x`: on the CPU, `f32` or `f64`.
pub(crate) fn supported(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// The elements of a contiguous storage.
pub(crate) fn of_storage<'a, T: FloatDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("expected a contiguous tensor, got strides {:?}", layout.stride()),
    }
}

/// Calls `f` with the elements of `x`, made contiguous first where they are not.
pub(crate) fn with<T: FloatDType, R>(x: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(of_storage(storage, layout)?),
        _ => bail!("expected a tensor on the cpu, got one on {:?}", x.device().location()),
    }
}

/// A result to be filled.
pub(super) fn zeros<T: FloatDType>(count: usize) -> Vec<T> {
    vec![T::zero(); count]
}

/// A forward result as candle wants it from a custom op.
pub(crate) fn result<T: FloatDType>(values: Vec<T>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (T::to_cpu_storage_owned(values), shape.into())
}

/// Pixels of each plane of `[B, C, H, W]`.
pub(super) fn pixels(shape: &Shape) -> Result<usize> {
    let (_, _, h, w) = shape.dims4()?;
    Ok(h * w)
}

/// Runs `$body` with `$T` bound to the element type of `$dtype`.
macro_rules! for_float {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            dtype => candle_core::bail!("expected f32 or f64, got {dtype:?}"),
        }
    };
}
pub(crate) use for_float;
