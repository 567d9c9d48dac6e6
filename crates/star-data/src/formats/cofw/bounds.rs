//! What a file of some size can hold, checked before the reader of HDF5 makes room for what the file says of itself.

use std::path::Path;

use hdf5_pure::{Dataset, Layout};

use super::variables::unreadable;
use crate::decode::most_from;
use crate::{Error, Result};

/// That the numbers of `data`, a variable `name` of the file `path` of `length` bytes, are no more than it can hold, packed as far as
/// deflate packs, and that its chunks lie in the file, each once.
pub(super) fn check(data: &Dataset, length: u64, path: &Path, name: &str) -> Result<()> {
    let fail = |error: hdf5_pure::Error| unreadable(path, name, &error);
    let wrong = |expected: String, got: String| Err(Error::content(path, name, expected, got));
    let (shape, element) = (data.shape().map_err(fail)?, data.element_size().map_err(fail)?);
    let most = most_from(length);
    let fits = |sides: &[u64]| product(sides).and_then(|n| n.checked_mul(element)).is_some_and(|n| n <= most);
    let expected = || format!("at most {most} bytes, as a file of {length} can hold");
    if !fits(&shape) {
        return wrong(expected(), format!("{shape:?} of {element} bytes each"));
    }
    let Layout::Chunked { chunk_shape, .. } = data.layout().map_err(fail)? else { return Ok(()) };
    let padded = shape.iter().zip(&chunk_shape).map(|(side, chunk)| side.checked_next_multiple_of(*chunk));
    let padded: Option<Vec<u64>> = padded.collect();
    let Some(padded) = padded.filter(|sides| fits(sides)) else {
        return wrong(expected(), format!("{shape:?} in chunks {chunk_shape:?} of {element} bytes each"));
    };
    let grid: u64 = padded.iter().zip(&chunk_shape).map(|(side, chunk)| side / chunk).product();
    if grid > length {
        return wrong(format!("at most {length} chunks, as many as bytes"), grid.to_string());
    }
    let chunks = data.chunks().map_err(fail)?;
    if chunks.len() as u64 > grid {
        return wrong(format!("at most {grid} chunks"), chunks.len().to_string());
    }
    let outside = |start: u64, size: u64| start.checked_add(size).is_none_or(|end| end > length);
    match chunks.iter().find(|chunk| outside(chunk.address, chunk.storage_size)) {
        Some(chunk) => wrong(
            format!("chunks within the file of {length} bytes"),
            format!("one of {} bytes at {}", chunk.storage_size, chunk.address),
        ),
        None => Ok(()),
    }
}

fn product(sides: &[u64]) -> Option<u64> {
    sides.iter().try_fold(1u64, |product, side| product.checked_mul(*side))
}
