//! PyTorch's zip checkpoints: a pickled dictionary beside one raw file a storage. Nothing is executed.

use std::io::Read;
use std::path::Path;

use candle_core::pickle::{Object, Stack};
use candle_core::{DType, Device, Result, Tensor, bail};
use zip::ZipArchive;

use super::pickle_scan::scan;
use super::{Tensors, Which};

/// Largest `data.pkl` that is read: names and shapes of a full-size training checkpoint take about 2 MiB.
const MAX_PICKLE: u64 = 64 << 20;

type Archive = ZipArchive<std::io::BufReader<std::fs::File>>;

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

/// Reads the tensors of a zip checkpoint.
pub(super) fn read(path: &Path, which: Which) -> Result<Tensors> {
    let file = std::fs::File::open(path)?;
    let mut allowance = Allowance::of(file.metadata()?.len());
    let file = std::io::BufReader::new(file);
    let mut archive = ZipArchive::new(file)
        .map_err(|e| candle_core::Error::msg(format!("not a whole zip file ({e}); truncated?")))?;
    let (prefix, root) = root_object(&mut archive)?;
    let mut tensors = Tensors::new();
    let mut cache: Option<(String, Vec<u8>)> = None;
    for (name, value) in state_dict(root, which)? {
        let (Object::Unicode(name), Some(entry)) = (name, entry(&value)?) else { continue };
        if cache.as_ref().is_none_or(|(storage, _)| *storage != entry.storage) {
            let bytes = storage_bytes(&mut archive, &format!("{prefix}data/{}", entry.storage), &name)?;
            allowance.storage(bytes.len())?;
            cache = Some((entry.storage.clone(), bytes));
        }
        let bytes = cache.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        tensors.insert(name.clone(), allowance.tensor(&name, &entry, bytes)?);
    }
    if tensors.is_empty() {
        bail!("no tensors under `{}`", which.key())
    }
    Ok(tensors)
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

    fn storage(&mut self, bytes: usize) -> Result<()> {
        Self::spend(&mut self.storages, bytes as u64)
    }

    /// The tensor that `entry` cuts out of a storage.
    pub(super) fn tensor(&mut self, name: &str, entry: &Entry, bytes: &[u8]) -> Result<Tensor> {
        let count = entry
            .shape
            .iter()
            .try_fold(entry.dtype.size_in_bytes() as u64, |n, &side| n.checked_mul(side as u64));
        // A size that overflows is told by `tensor` itself.
        Self::spend(&mut self.tensors, count.unwrap_or(0))?;
        tensor(name, entry, bytes)
    }
}

/// The archive's folder (with a slash at its end) and the object that its `data.pkl` describes.
fn root_object(archive: &mut Archive) -> Result<(String, Object)> {
    // Names that are not text cannot be `data.pkl`.
    let names: Vec<String> = (0..archive.len())
        .filter_map(|i| archive.name_for_index(i)?.ok().map(|name| name.into_owned()))
        .collect();
    let Some(name) = names.iter().find(|name| name.as_str() == "data.pkl" || name.ends_with("/data.pkl"))
    else {
        bail!("a zip file without `data.pkl`: not a PyTorch checkpoint")
    };
    let entry = archive.by_name(name).map_err(candle_core::Error::wrap)?;
    let mut data = Vec::new();
    entry.take(MAX_PICKLE + 1).read_to_end(&mut data)?;
    if data.len() as u64 > MAX_PICKLE {
        bail!("refused: `{name}` is larger than {MAX_PICKLE} bytes")
    }
    let (root, _) = object(&data)?;
    Ok((name.trim_end_matches("data.pkl").to_string(), root))
}

/// The object that the first pickle of `data` describes, once it has been found harmless, and the pickle's length.
pub(super) fn object(data: &[u8]) -> Result<(Object, usize)> {
    let length = scan(data)?;
    let mut stack = Stack::empty();
    stack.read_loop(&mut &data[..length])?;
    Ok((stack.finalize()?, length))
}

/// Keys under which training programs other than the reference keep a network: the public HRNet code and mmpose, others.
const OTHER_KEYS: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// The dictionary of tensors: under the key asked for, or the whole where the file is a bare state dictionary.
pub(super) fn state_dict(root: Object, which: Which) -> Result<Vec<(Object, Object)>> {
    let Object::Dict(pairs) = root else { bail!("expected a dictionary of tensors, got something else") };
    let key = Object::Unicode(which.key().to_string());
    if pairs.iter().any(|(name, _)| *name == key) {
        return match pairs.into_iter().find(|(name, _)| *name == key) {
            Some((_, Object::Dict(tensors))) => Ok(tensors),
            _ => bail!("`{}`: expected a dictionary of tensors", which.key()),
        };
    }
    let other = |name: &Object| OTHER_KEYS.iter().any(|key| *name == Object::Unicode(key.to_string()));
    let is_other = |(name, value): &(Object, Object)| other(name) && matches!(value, Object::Dict(_));
    if which == Which::Net && pairs.iter().any(is_other) {
        return match pairs.into_iter().find(is_other) {
            Some((_, Object::Dict(tensors))) => Ok(tensors),
            _ => bail!("expected a dictionary of tensors, got something else"),
        };
    }
    let bare = pairs.iter().any(|(_, value)| matches!(entry(value), Ok(Some(_))));
    if bare && which == Which::Net {
        return Ok(pairs);
    }
    let keys = pairs.iter().filter_map(|(name, _)| match name {
        Object::Unicode(name) => Some(name.as_str()),
        _ => None,
    });
    bail!(
        "no `{}` in the checkpoint; it holds: {}",
        which.key(),
        keys.take(20).collect::<Vec<_>>().join(", ")
    )
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

fn storage_bytes(archive: &mut Archive, file: &str, tensor: &str) -> Result<Vec<u8>> {
    let mut entry = archive
        .by_name(file)
        .map_err(|e| candle_core::Error::msg(format!("{tensor}: storage `{file}` cannot be read: {e}")))?;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The dense tensor that `entry` cuts out of a storage.
fn tensor(name: &str, entry: &Entry, bytes: &[u8]) -> Result<Tensor> {
    let width = entry.dtype.size_in_bytes();
    let count = entry.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n));
    let last = entry.shape.iter().zip(&entry.stride).try_fold(entry.offset, |last, (&n, &stride)| {
        n.saturating_sub(1).checked_mul(stride).and_then(|step| last.checked_add(step))
    });
    let (Some(count), Some(last)) = (count, last) else { bail!("{name}: sizes overflow") };
    let stored = bytes.len() / width;
    // A stride of 0 would let a few bytes stand for a tensor of any size: no more elements than are stored.
    if entry.shape.len() != entry.stride.len() || count > stored || (count > 0 && last >= stored) {
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
