//! PyTorch's zip checkpoints: a pickled dictionary beside one raw file a storage. Nothing is executed.

use std::io::Read;
use std::path::Path;

use candle_core::pickle::{Object, Stack};
use candle_core::{Result, bail};
use zip::ZipArchive;

use super::pickle_scan::scan;
use super::pickle_tensor::{Allowance, entry};
use super::{Tensors, Which};

/// Largest `data.pkl` that is read: names and shapes of a full-size training checkpoint take about 2 MiB.
const MAX_PICKLE: u64 = 64 << 20;

type Archive = ZipArchive<std::io::BufReader<std::fs::File>>;

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

fn storage_bytes(archive: &mut Archive, file: &str, tensor: &str) -> Result<Vec<u8>> {
    let mut entry = archive
        .by_name(file)
        .map_err(|e| candle_core::Error::msg(format!("{tensor}: storage `{file}` cannot be read: {e}")))?;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}
