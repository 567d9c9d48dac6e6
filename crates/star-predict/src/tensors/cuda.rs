//! Batches on CUDA cards: from pinned memory by a stream of their own, normalised by one kernel.

use std::collections::VecDeque;
use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{
    CudaEvent, CudaSlice, CudaStream, CudaView, DriverError, PinnedHostSlice, sys,
};
use candle_core::{CudaDevice, DType, Device, Result, Tensor, bail};
use star_data::loader::Batch;
use star_model::cuda::card::{self, Held, Source};
use star_model::{ChannelOrder, InputSpec, launch};

use super::upload::Shapes;
use super::{BatchTensors, MapTargets, Target};

const PIXELS: Source = Source { name: "star-predict", text: include_str!("pixels.cu") };

/// Parts of a batch begin at multiples of this.
const ALIGNMENT: usize = 256;

/// Room is made in multiples of this.
const GRAIN: usize = 1 << 20;

/// Stages that are reused: one is filled while the other is read.
const STAGES: usize = 2;

/// RGB bytes `[B, S, S, 3]` as the network's input `[B, 3, S, S]`.
pub(super) fn images(
    pixels: &[u8],
    size: usize,
    input: &InputSpec,
    dtype: DType,
    device: &CudaDevice,
) -> Result<Tensor> {
    let shape = [pixels.len() / (3 * size * size), 3, size, size];
    if pixels.is_empty() {
        return Tensor::zeros(&shape, dtype, &Device::Cuda(device.clone()));
    }
    let bytes = device.clone_htod(pixels)?;
    planes(&bytes.as_view(), shape, input, dtype, device)
}

/// The same of bytes that lie on the card.
fn planes(
    bytes: &CudaView<'_, u8>,
    shape: [usize; 4],
    input: &InputSpec,
    dtype: DType,
    device: &CudaDevice,
) -> Result<Tensor> {
    let [batch, _, height, width] = shape;
    let Ok(plane) = i32::try_from(height * width) else {
        bail!("images: {height} x {width} px are more than a card takes")
    };
    let pixels = batch * height * width;
    let reversed = i32::from(input.order == ChannelOrder::Bgr);
    let ([mean0, mean1, mean2], [std0, std1, std2]) = (input.mean, input.std);
    let out = card::tensor(card::unwritten(device, dtype, &shape)?, &shape);
    launch!(
        PIXELS.kernel(device, dtype, "planes")?,
        card::threads(pixels)?,
        bytes,
        &Held::new(("images", &out)).bytes()?,
        &(pixels as i64),
        &plane,
        &reversed,
        &mean0,
        &mean1,
        &mean2,
        &std0,
        &std1,
        &std2,
    );
    Ok(out)
}

/// The floats of `part`, which are those of a tensor `shape`.
fn floats(stage: &Stage, part: &Part, shape: &[usize], dtype: DType, device: &CudaDevice) -> Result<Tensor> {
    let count = part.count / size_of::<f32>();
    if count == 0 {
        return Tensor::zeros(shape, dtype, &Device::Cuda(device.clone()));
    }
    let out = card::tensor(card::unwritten(device, dtype, shape)?, shape);
    launch!(
        PIXELS.kernel(device, dtype, "values")?,
        card::threads(count)?,
        &stage.card.slice(part.at..part.at + part.count),
        &Held::new((part.name, &out)).bytes()?,
        &(count as i64),
    );
    Ok(out)
}

/// Memory on both sides, through which one batch at a time travels.
struct Stage {
    host: PinnedHostSlice<u8>,
    card: CudaSlice<u8>,
    /// The card has what lies on the host: that may be written again.
    copied: CudaEvent,
    /// Tensors have been made of what lies on the card: that may be written again.
    read: CudaEvent,
}

impl Stage {
    fn new(copies: &Arc<CudaStream>, size: usize) -> std::result::Result<Self, DriverError> {
        let context = copies.context();
        let (copied, read) = (context.new_event(None)?, context.new_event(None)?);
        #[expect(unsafe_code, reason = "memory is had unwritten")]
        // SAFETY: the host's is written here, and of the card's only what was copied there is read.
        let (mut host, card) =
            unsafe { (context.alloc_pinned_with_flags::<u8>(size, 0)?, copies.alloc(size)?) };
        host.as_mut_slice()?.fill(0);
        Ok(Self { host, card, copied, read })
    }

    /// Begins to copy, without waiting for anything but the copy before this one.
    fn fill(&mut self, batch: &Batch, parts: &[Part; PARTS], copies: &Arc<CudaStream>) -> Result<()> {
        self.copied.synchronize().w()?;
        let host = self.host.as_mut_slice().w()?;
        let [images, rest @ ..] = parts;
        host[..images.count].copy_from_slice(&batch.images);
        for (part, values) in rest.iter().zip(numbers(batch)) {
            let (places, _) = host[part.at..part.at + part.count].as_chunks_mut();
            places.iter_mut().zip(values).for_each(|(place, value)| *place = value.to_ne_bytes());
        }
        copies.wait(&self.read).w()?;
        let [.., last] = parts;
        copies.memcpy_htod(&host[..last.at + last.count], &mut self.card).w()?;
        self.copied.record(copies).w()
    }
}

/// Both memories are freed by the host or in the order of another stream than the one that reads.
impl Drop for Stage {
    fn drop(&mut self) {
        // A card that has failed reads nothing any more.
        let _ = self.copied.synchronize();
        let _ = self.read.synchronize();
    }
}

/// Images, points, weights, point maps, edge maps.
const PARTS: usize = 5;

/// Where a part of a batch lies in a stage, in bytes.
struct Part {
    name: &'static str,
    at: usize,
    count: usize,
}

/// All but the images.
fn numbers(batch: &Batch) -> [&[f32]; PARTS - 1] {
    let [pointmaps, edgemaps] =
        [&batch.pointmaps, &batch.edgemaps].map(|maps| maps.as_deref().unwrap_or_default());
    [&batch.points, &batch.weights, pointmaps, edgemaps]
}

fn parts(batch: &Batch) -> [Part; PARTS] {
    let counts = numbers(batch).map(size_of_val);
    let mut end = 0usize;
    let mut part = |name, count| {
        let at = end.next_multiple_of(ALIGNMENT);
        end = at + count;
        Part { name, at, count }
    };
    let [points, weights, pointmaps, edgemaps] = counts;
    [
        part("images", batch.images.len()),
        part("points", points),
        part("weights", weights),
        part("pointmaps", pointmaps),
        part("edgemaps", edgemaps),
    ]
}

/// A batch on its way.
pub(super) struct Sent {
    stage: Stage,
    parts: [Part; PARTS],
}

/// The way to one card.
pub(super) struct Way {
    device: CudaDevice,
    copies: Arc<CudaStream>,
    /// In the order in which they were used.
    free: VecDeque<Stage>,
}

impl Way {
    pub(super) fn new(device: &CudaDevice) -> Result<Self> {
        let copies = device.cuda_stream().context().new_stream().w()?;
        Ok(Self { device: device.clone(), copies, free: VecDeque::new() })
    }

    /// Whether the card has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        let stream = self.device.cuda_stream();
        #[expect(
            unsafe_code,
            reason = "the driver's question, which cudarc has in its lower interface alone"
        )]
        // SAFETY: the stream is the device's own and lives as long as it.
        unsafe {
            sys::cuStreamQuery(stream.cu_stream()).result().is_ok()
        }
    }

    /// Begins to send; the sizes of all parts were checked.
    pub(super) fn send(&mut self, batch: &Batch) -> Result<Sent> {
        let parts = parts(batch);
        let [.., last] = &parts;
        let size = last.at + last.count;
        let used = if self.free.len() < STAGES { None } else { self.free.pop_front() };
        let mut stage = match used.filter(|stage| stage.host.len() >= size) {
            Some(stage) => stage,
            None => Stage::new(&self.copies, size.next_multiple_of(GRAIN)).w()?,
        };
        stage.fill(batch, &parts, &self.copies)?;
        Ok(Sent { stage, parts })
    }

    /// What was sent as tensors of their own.
    pub(super) fn receive(&mut self, sent: Sent, shapes: &Shapes, to: &Target) -> Result<BatchTensors> {
        let Sent { stage, parts } = sent;
        let compute = self.device.cuda_stream();
        compute.wait(&stage.copied).w()?;
        let tensors = self.unpack(&stage, &parts, shapes, to);
        // Whatever became of them, they may have been begun.
        stage.read.record(&compute).w()?;
        self.free.push_back(stage);
        tensors
    }

    fn unpack(
        &self,
        stage: &Stage,
        parts: &[Part; PARTS],
        shapes: &Shapes,
        to: &Target,
    ) -> Result<BatchTensors> {
        let [images, points, weights, pointmaps, edgemaps] = parts;
        let make = |part, shape: &[usize]| floats(stage, part, shape, to.dtype, &self.device);
        let bytes = stage.card.slice(..images.count);
        Ok(BatchTensors {
            images: planes(&bytes, shapes.images, &to.input, to.images, &self.device)?,
            points: make(points, &shapes.points)?,
            weights: make(weights, &shapes.weights)?,
            maps: match shapes.maps {
                Some([p, e]) => {
                    Some(MapTargets { pointmaps: make(pointmaps, &p)?, edgemaps: make(edgemaps, &e)? })
                }
                None => None,
            },
        })
    }
}
