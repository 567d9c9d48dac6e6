//! Plain slices out of tensors.

use candle_core::{Result, Storage, Tensor, bail};

/// Calls `f` with the elements of `x`, `f32` on the CPU, made contiguous first where they are not.
pub(crate) fn with<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => f(&storage.as_slice::<f32>()?[start..end]),
        _ => bail!("expected a tensor on the cpu, got one on {:?}", x.device().location()),
    }
}
