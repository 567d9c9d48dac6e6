//! PyTorch's checkpoints from before 1.6: pickles one after another, then the storages. Nothing is executed.
//!
//! The public HRNet landmark checkpoints are of this form. After a magic number, a version and the machine's byte order
//! come the object and the names of its storages, each a pickle; then for each storage its number of elements and its bytes.

use std::collections::HashMap;
use std::path::Path;

use candle_core::pickle::Object;
use candle_core::{Result, bail};

use super::pickle::{Pickled, object, or_refused, some, state_dict};
use super::pickle_tensor::{Allowance, entry, storage_type};
use super::{Tensors, Which};

/// The pickles of the magic number 0x1950a86a20f9469cfc6c and of version 1001, as `torch.save` writes them.
const MAGIC: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";

/// Storages by name.
type Storages<'a> = HashMap<String, &'a [u8]>;

/// Reads the tensors of a file.
pub(super) fn read(path: &Path, which: Which) -> Result<Tensors> {
    let bytes = std::fs::read(path)?;
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        bail!("a pickle, but not one that PyTorch's `torch.save` wrote")
    };
    let machine = plain(object(rest)?)?;
    if !little_endian(&machine.root) {
        bail!("written on a big-endian machine, which is not supported")
    }
    let rest = &rest[machine.length..];
    let Pickled { root, length, foreign } = object(rest)?;
    let rest = &rest[length..];
    let names = plain(object(rest)?)?;
    let storages = storages(&root, names.root, &rest[names.length..])?;
    let mut allowance = Allowance::of(bytes.len() as u64);
    let mut tensors = Tensors::new();
    for (name, value) in state_dict(root, which).map_err(|error| or_refused(error, &foreign))? {
        let (Object::Unicode(name), Some(entry)) = (name, entry(&value)?) else { continue };
        let Some(bytes) = storages.get(&entry.storage) else {
            bail!("{name}: its storage `{}` is not in the file", entry.storage)
        };
        tensors.insert(name.clone(), allowance.tensor(&name, &entry, bytes)?);
    }
    some(tensors, which, &foreign)
}

/// A pickle in which nothing foreign has a place.
fn plain(pickled: Pickled) -> Result<Pickled> {
    match pickled.foreign {
        Some(_) => Err(or_refused(candle_core::Error::msg("malformed file"), &pickled.foreign)),
        None => Ok(pickled),
    }
}

fn little_endian(machine: &Object) -> bool {
    let Object::Dict(pairs) = machine else { return false };
    pairs.contains(&(Object::Unicode("little_endian".to_string()), Object::Bool(true)))
}

/// Cuts the rest of the file into the storages that `names` lists, in that order.
fn storages<'a>(root: &Object, names: Object, mut rest: &'a [u8]) -> Result<Storages<'a>> {
    let mut widths = HashMap::new();
    element_widths(root, &mut widths)?;
    let Object::List(names) = names else { bail!("malformed file: the names of the storages are no list") };
    let mut storages = Storages::new();
    for name in names {
        let Object::Unicode(name) = name else { bail!("malformed file: a storage's name is no text") };
        let Some(width) = widths.get(&name) else {
            bail!("malformed file: nothing says what storage `{name}` holds")
        };
        let Some((count, after)) = rest.split_first_chunk::<8>() else {
            bail!("truncated: the file ends before storage `{name}`")
        };
        let length =
            usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(*width));
        let Some((storage, after)) = length.and_then(|length| after.split_at_checked(length)) else {
            bail!("truncated: the file ends inside storage `{name}`")
        };
        storages.insert(name, storage);
        rest = after;
    }
    Ok(storages)
}

/// Bytes of an element of every storage that an object refers to. The scan has bounded how deep it nests.
fn element_widths(object: &Object, widths: &mut HashMap<String, usize>) -> Result<()> {
    match object {
        Object::PersistentLoad(id) => {
            let Object::Tuple(id) = id.as_ref() else { return Ok(()) };
            if let [_, Object::Class { class_name, .. }, Object::Unicode(name), ..] = id.as_slice() {
                widths.insert(name.clone(), width(class_name)?);
            }
            Ok(())
        }
        Object::Tuple(parts) | Object::List(parts) => {
            parts.iter().try_for_each(|part| element_widths(part, widths))
        }
        Object::Dict(pairs) => pairs.iter().try_for_each(|(name, value)| {
            element_widths(name, widths)?;
            element_widths(value, widths)
        }),
        Object::Reduce { callable, args } | Object::Build { callable, args } => {
            element_widths(callable, widths)?;
            element_widths(args, widths)
        }
        _ => Ok(()),
    }
}

/// Storages of other kinds than a network's (an optimiser's counters) must be stepped over, too.
fn width(class_name: &str) -> Result<usize> {
    Ok(match class_name {
        "IntStorage" => 4,
        "ShortStorage" => 2,
        "CharStorage" | "BoolStorage" => 1,
        other => storage_type(other)?.size_in_bytes(),
    })
}
