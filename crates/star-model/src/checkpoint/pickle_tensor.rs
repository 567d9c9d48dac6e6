//! Tensors of a PyTorch checkpoint: their entries in the pickle, and how they are cut out of storages.

use candle_core::pickle::Object;
use candle_core::{DType, Device, Result, Tensor, bail};

/// Bytes of tensors, and bytes read for them, over the bytes of the file: tied weights are stored once and read twice, but
/// tensors that add up to more than this share storages in order to fill the memory.
const MAX_GROWTH: u64 = 4;

/// Where a tensor's values lie.
pub(super) struct Entry {
    dtype: DType,
    shape: Vec<usize>,
    stride: Vec<usize>,
    /// In elements.
    offset: usize,
    /// Name of the storage: in a zip checkpoint that of a file under `data/`.
    pub(super) storage: String,
}

/// What a file may still unfold to.
pub(super) struct Allowance {
    storages: u64,
    tensors: u64,
}

impl Allowance {
    /// Of a file of `length` bytes.
    pub(super) fn of(length: u64) -> Self {
        Self { storages: MAX_GROWTH.saturating_mul(length), tensors: MAX_GROWTH.saturating_mul(length) }
    }

    fn spend(left: &mut u64, bytes: u64) -> Result<()> {
        match left.checked_sub(bytes) {
            Some(rest) => *left = rest,
            None => bail!(
                "refused: its tensors add up to more than {MAX_GROWTH} times the file; they share storages in a way that \
                 no network needs"
            ),
        }
        Ok(())
    }

    pub(super) fn storage(&mut self, bytes: usize) -> Result<()> {
        Self::spend(&mut self.storages, bytes as u64)
    }

    /// The tensor that `entry` cuts out of a storage.
    pub(super) fn tensor(&mut self, name: &str, entry: &Entry, bytes: &[u8]) -> Result<Tensor> {
        let count = entry
            .shape
            .iter()
            .try_fold(entry.dtype.size_in_bytes() as u64, |n, &side| n.checked_mul(side as u64));
        // `tensor` itself refuses a size that overflows.
        Self::spend(&mut self.tensors, count.unwrap_or(0))?;
        tensor(name, entry, bytes)
    }
}

/// Reads `torch._utils._rebuild_tensor_v2((storage, key, device, count), offset, shape, stride, ...)` off an object;
/// `None` where the object is no tensor.
pub(super) fn entry(value: &Object) -> Result<Option<Entry>> {
    let Object::Reduce { callable, args } = value else { return Ok(None) };
    let Object::Class { module_name, class_name } = callable.as_ref() else { return Ok(None) };
    let Object::Tuple(args) = args.as_ref() else { return Ok(None) };
    match (module_name.as_str(), class_name.as_str()) {
        ("torch._utils", "_rebuild_parameter") => return args.first().map_or(Ok(None), entry),
        ("torch._utils", "_rebuild_tensor_v2") => {}
        _ => return Ok(None),
    }
    let [Object::PersistentLoad(storage), offset, shape, stride, ..] = args.as_slice() else {
        bail!("malformed tensor entry")
    };
    let Object::Tuple(storage) = storage.as_ref() else { bail!("malformed storage entry") };
    let [_, Object::Class { class_name, .. }, Object::Unicode(key), ..] = storage.as_slice() else {
        bail!("malformed storage entry")
    };
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
        bail!("malformed storage name `{key}`")
    }
    Ok(Some(Entry {
        dtype: storage_type(class_name)?,
        shape: sizes(shape)?,
        stride: sizes(stride)?,
        offset: size(offset)?,
        storage: key.clone(),
    }))
}

/// The numbers that a storage class of PyTorch holds.
pub(super) fn storage_type(class_name: &str) -> Result<DType> {
    Ok(match class_name {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "ByteStorage" => DType::U8,
        other => bail!("unsupported storage type `{other}`"),
    })
}

fn size(object: &Object) -> Result<usize> {
    let value = match object {
        Object::Int(value) => i64::from(*value),
        Object::Long(value) => *value,
        _ => -1,
    };
    usize::try_from(value)
        .map_err(|_| candle_core::Error::msg("malformed tensor entry: a size is no whole number"))
}

fn sizes(object: &Object) -> Result<Vec<usize>> {
    let Object::Tuple(values) = object else { bail!("malformed tensor entry: sizes are no tuple") };
    values.iter().map(size).collect()
}

/// The dense tensor that `entry` cuts out of a storage.
fn tensor(name: &str, entry: &Entry, bytes: &[u8]) -> Result<Tensor> {
    let width = entry.dtype.size_in_bytes();
    let count = entry.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n));
    let last = entry.shape.iter().zip(&entry.stride).try_fold(entry.offset, |last, (&n, &stride)| {
        n.saturating_sub(1).checked_mul(stride).and_then(|step| last.checked_add(step))
    });
    let (Some(count), Some(last)) = (count, last) else { bail!("{name}: sizes overflow") };
    if count == 0 {
        // Before anything is sized by one of its sides.
        return Tensor::zeros(entry.shape.as_slice(), entry.dtype, &Device::Cpu);
    }
    let stored = bytes.len() / width;
    // A stride of 0 would let a few bytes stand for a tensor of any size: no more elements than are stored.
    if entry.shape.len() != entry.stride.len() || count > stored || last >= stored {
        bail!("{name}: {:?} does not fit its storage of {} bytes; truncated?", entry.shape, bytes.len())
    }
    let flat = Tensor::from_raw_buffer(&bytes[..stored * width], entry.dtype, &[stored], &Device::Cpu)?;
    let flat = flat.narrow(0, entry.offset.min(stored), stored - entry.offset.min(stored))?;
    let dense =
        entry.stride.iter().zip(&entry.shape).rev().try_fold(1usize, |expected, (&stride, &n)| {
            (n == 1 || stride == expected).then_some(expected * n)
        });
    if dense.is_some() {
        return flat.narrow(0, 0, count)?.reshape(entry.shape.as_slice())?.force_contiguous();
    }
    let mut index = vec![0u32];
    for (&n, &stride) in entry.shape.iter().zip(&entry.stride) {
        index = index.iter().flat_map(|&at| (0..n).map(move |i| at + (i * stride) as u32)).collect();
    }
    flat.index_select(&Tensor::from_vec(index, count, &Device::Cpu)?, 0)?.reshape(entry.shape.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(shape: &[usize], stride: &[usize], offset: usize) -> Entry {
        Entry { dtype: DType::F32, shape: shape.into(), stride: stride.into(), offset, storage: "0".into() }
    }

    fn bytes() -> Vec<u8> {
        (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect()
    }

    #[test]
    fn dense_transposed_and_offset_views_are_read() {
        let read =
            |e: &Entry| tensor("t", e, &bytes()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(read(&entry(&[2, 3], &[3, 1], 0)), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(read(&entry(&[3, 2], &[1, 3], 0)), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(read(&entry(&[2], &[1], 4)), [4.0, 5.0]);
        assert_eq!(read(&entry(&[], &[], 2)), [2.0]);
    }

    #[test]
    fn a_tensor_of_no_elements_takes_no_memory_whatever_its_sides() {
        assert_eq!(tensor("t", &entry(&[1 << 33, 0], &[1, 1], 0), &bytes()).unwrap().dims(), [1 << 33, 0]);
    }

    #[test]
    fn views_beyond_their_storage_are_refused() {
        for bad in [
            entry(&[7], &[1], 0),
            entry(&[2], &[1], 5),
            entry(&[1 << 40], &[0], 0),
            entry(&[usize::MAX, 2], &[1, 1], 0),
            entry(&[2], &[usize::MAX], 1),
            entry(&[2, 2], &[1], 0),
            entry(&[1], &[1], usize::MAX),
        ] {
            let message = tensor("w", &bad, &bytes()).unwrap_err().to_string();
            assert!(message.starts_with("w: "), "{message}");
        }
    }
}
