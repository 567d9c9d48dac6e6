//! PyTorch's zip checkpoints: a pickled dictionary beside one raw file a storage. Nothing is executed.

use std::io::Read;
use std::path::Path;

use candle_core::pickle::Object;
use candle_core::{Result, bail};
use zip::ZipArchive;

use super::pickle_build::build;
use super::pickle_scan::{Scanned, scan};
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
    let (prefix, pickled) = root_object(&mut archive)?;
    let Pickled { root, foreign, .. } = pickled;
    let mut tensors = Tensors::new();
    let mut cache: Option<(String, Vec<u8>)> = None;
    for (name, value) in state_dict(root, which).map_err(|error| or_refused(error, &foreign))? {
        let (Object::Unicode(name), Some(entry)) = (name, entry(&value)?) else { continue };
        if cache.as_ref().is_none_or(|(storage, _)| *storage != entry.storage) {
            let bytes = storage_bytes(&mut archive, &format!("{prefix}data/{}", entry.storage), &name)?;
            allowance.storage(bytes.len())?;
            cache = Some((entry.storage.clone(), bytes));
        }
        let bytes = cache.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        tensors.insert(name.clone(), allowance.tensor(&name, &entry, bytes)?);
    }
    some(tensors, which, &foreign)
}

/// `tensors`, if there are any.
pub(super) fn some(tensors: Tensors, which: Which, foreign: &Option<String>) -> Result<Tensors> {
    match tensors.is_empty() {
        true => {
            Err(or_refused(candle_core::Error::msg(format!("no tensors under `{}`", which.key())), foreign))
        }
        false => Ok(tensors),
    }
}

/// The refusal of a file that names something foreign in place of weights; `error` where it does not.
pub(super) fn or_refused(error: candle_core::Error, foreign: &Option<String>) -> candle_core::Error {
    let Some(name) = foreign else { return error };
    candle_core::Error::msg(format!(
        "refused: the pickle wants to import `{name}`, which no weights need; nothing was executed. If you trust the file, save its \
         tensors as safetensors"
    ))
}

/// The archive's folder (with a slash at its end) and the object that its `data.pkl` describes.
fn root_object(archive: &mut Archive) -> Result<(String, Pickled)> {
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
    let pickled = object(&data)?;
    Ok((name.trim_end_matches("data.pkl").to_string(), pickled))
}

/// What a pickle says.
pub(super) struct Pickled {
    pub(super) root: Object,
    /// Its bytes.
    pub(super) length: usize,
    /// The first class or function it names that is neither of tensors nor of plain containers.
    pub(super) foreign: Option<String>,
}

/// The first pickle of `data`, once it has been found bounded.
pub(super) fn object(data: &[u8]) -> Result<Pickled> {
    let Scanned { length, foreign } = scan(data)?;
    Ok(Pickled { root: build(&data[..length])?, length, foreign })
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
