//! Many tensors on a CUDA card as one launch takes them: their addresses, and a block for every piece of each.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, LaunchConfig};
use candle_core::{CudaDevice, DType, Result, Storage, Tensor, bail};
use star_model::cuda::card::{self, Kernel, Operand, Source};

const STEP: Source = Source { name: "star-train", text: include_str!("step.cu") };

/// Elements that a block works on, `PIECE` of `step.cu`.
pub(super) const PIECE: usize = 16384;

/// Tensors of one type on one card.
pub(super) struct Table {
    pub(super) device: CudaDevice,
    pub(super) dtype: DType,
    /// What is written, what is kept beside it and what is read: addresses; and the number of elements.
    rows: Vec<[u64; 4]>,
}

/// Where the values of a tensor are.
struct Place {
    device: CudaDevice,
    dtype: DType,
    address: u64,
}

/// Of a contiguous tensor of f32 or f64 on a card.
fn place(tensor: &Tensor) -> Result<Option<Place>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { return Ok(None) };
    let dtype = storage.dtype();
    if !matches!(dtype, DType::F32 | DType::F64) || !layout.is_contiguous() {
        return Ok(None);
    }
    let device = storage.device().clone();
    let values = Operand { storage, layout }.bytes("tensor")?;
    let stream = device.cuda_stream();
    let (address, reading) = values.device_ptr(&stream);
    // All launches are on the stream that the tensor was made on.
    drop(reading);
    Ok(Some(Place { device: device.clone(), dtype, address }))
}

/// Tables for several types.
#[derive(Default)]
pub(super) struct Tables(pub(super) Vec<Table>);

impl Tables {
    /// Adds tensors that belong together: what is written, what is kept and what is read, as far as there is such a thing. False where a
    /// launch cannot work on them: they are not of the same type f32 or f64, not contiguous, or not on one card.
    ///
    /// A launch must be enqueued before one of them is let go.
    pub(super) fn add(&mut self, tensors: [Option<&Tensor>; 3], length: usize) -> Result<bool> {
        if length == 0 {
            return Ok(true);
        }
        let mut row = [0, 0, 0, length as u64];
        let mut first: Option<Place> = None;
        for (number, tensor) in row.iter_mut().zip(tensors) {
            let Some(tensor) = tensor else { continue };
            let Some(place) = place(tensor)? else { return Ok(false) };
            *number = place.address;
            let first = first.get_or_insert_with(|| Place { device: place.device.clone(), ..place });
            if first.dtype != place.dtype || first.device.id() != place.device.id() {
                return Ok(false);
            }
        }
        let Some(Place { device, dtype, .. }) = first else { return Ok(false) };
        let same = |table: &&mut Table| table.dtype == dtype && table.device.id() == device.id();
        match self.0.iter_mut().find(same) {
            Some(table) => table.rows.push(row),
            None => self.0.push(Table { device, dtype, rows: vec![row] }),
        }
        Ok(true)
    }
}

impl Table {
    /// Blocks of a launch.
    pub(super) fn pieces(&self) -> usize {
        self.rows.iter().map(|&[.., length]| (length as usize).div_ceil(PIECE)).sum()
    }

    pub(super) fn grid(&self) -> Result<LaunchConfig> {
        card::blocks(self.pieces())
    }

    /// Tensors in it.
    pub(super) fn count(&self) -> Result<i32> {
        match i32::try_from(self.rows.len()) {
            Ok(count) => Ok(count),
            Err(_) => bail!("{} tensors are more than a card takes at once", self.rows.len()),
        }
    }

    pub(super) fn kernel(&self, name: &'static str) -> Result<Kernel> {
        STEP.kernel(&self.device, self.dtype, name)
    }

    /// As `step.cu` reads it.
    pub(super) fn words(&self) -> Vec<u64> {
        let rows = self.rows.iter().flatten().copied();
        let pieces = self.rows.iter().enumerate().flat_map(|(row, &[.., length])| {
            (0..length.div_ceil(PIECE as u64)).map(move |piece| (row as u64) << 32 | piece)
        });
        rows.chain(pieces).collect()
    }
}

/// Tables as they lie on the card. They are sent again only when they have changed: memory that is freed and had again in the same
/// order mostly has the same addresses.
#[derive(Default)]
pub(super) struct OnCard(Vec<(Vec<u64>, CudaSlice<u64>)>);

impl OnCard {
    /// Table number `index` of this place.
    pub(super) fn table(&mut self, index: usize, table: &Table) -> Result<&CudaSlice<u64>> {
        let words = table.words();
        let known = self.0.get(index).is_some_and(|(known, on_card)| {
            *known == words && on_card.context() == table.device.cuda_stream().context()
        });
        if !known {
            self.0.truncate(index);
            let on_card = table.device.clone_htod(&words)?;
            self.0.push((words, on_card));
        }
        match self.0.get(index) {
            Some((_, on_card)) => Ok(on_card),
            None => bail!("table {index}: expected those before it first"),
        }
    }
}
