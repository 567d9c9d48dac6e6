//! Batches sent to a device, one ahead of the one that it works on where that pays.

#[cfg(feature = "cuda")]
use candle_core::Device;
use candle_core::{Result, bail};
use star_data::loader::Batch;

#[cfg(feature = "cuda")]
use super::cuda;
use super::{BatchTensors, Target, batch_as};

/// Sends batches to one device.
///
/// On a CUDA card a batch travels from memory of the host that the card reads by itself, while it computes with another; images stay
/// bytes until they are there. Elsewhere a batch becomes tensors when these are asked for, as [`batch`](super::batch) makes them.
///
/// Two batches may be under way at a time without more memory being taken: one that was sent and one that is being made tensors of.
pub struct Uploader {
    target: Target,
    #[cfg(feature = "cuda")]
    way: Option<cuda::Way>,
}

/// A batch on its way to the device of an [`Uploader`]. One that nobody asks for any more may be dropped.
pub struct Sent {
    #[cfg(feature = "cuda")]
    on_card: Option<cuda::Sent>,
}

impl Uploader {
    /// Sends to a device.
    ///
    /// # Errors
    /// When a card has no stream for it.
    pub fn new(target: Target) -> Result<Self> {
        Ok(Self {
            #[cfg(feature = "cuda")]
            way: match &target.device {
                Device::Cuda(device) => Some(cuda::Way::new(device)?),
                _ => None,
            },
            target,
        })
    }

    /// Whether a batch that is sent early arrives early.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        #[cfg(feature = "cuda")]
        return self.way.is_some();
        #[cfg(not(feature = "cuda"))]
        false
    }

    /// Whether the device has done all that it was told to.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        #[cfg(feature = "cuda")]
        return self.way.as_ref().is_none_or(cuda::Way::is_idle);
        #[cfg(not(feature = "cuda"))]
        true
    }

    /// Begins to send a batch and returns once its numbers have been read.
    ///
    /// # Errors
    /// When a part of the batch has not the size that the batch says, its image size is not the network's, or there is not the memory.
    pub fn send(&mut self, batch: &Batch) -> Result<Sent> {
        check(batch, &self.target)?;
        Ok(Sent {
            #[cfg(feature = "cuda")]
            on_card: match &mut self.way {
                Some(way) if batch.batch > 0 => Some(way.send(batch)?),
                _ => None,
            },
        })
    }

    /// The tensors of a `batch` that was sent; nothing is waited for but by the device.
    ///
    /// # Errors
    /// As [`batch`](super::batch), or when the device fails.
    pub fn receive(&mut self, sent: Sent, batch: &Batch) -> Result<BatchTensors> {
        #[cfg(feature = "cuda")]
        if let (Some(on_card), Some(way)) = (sent.on_card, &mut self.way) {
            return way.receive(on_card, &Shapes::of(batch), &self.target);
        }
        #[cfg(not(feature = "cuda"))]
        let Sent {} = sent;
        batch_as(batch, &self.target)
    }
}

/// The shapes of a batch's tensors.
pub(super) struct Shapes {
    /// `[B, 3, S, S]`
    pub(super) images: [usize; 4],
    /// `[B, K, 2]`
    pub(super) points: [usize; 3],
    /// `[B, K]`
    pub(super) weights: [usize; 2],
    /// `[B, K, M, M]` and `[B, E, M, M]`, where the loader made them.
    pub(super) maps: Option<[[usize; 4]; 2]>,
}

impl Shapes {
    pub(super) fn of(batch: &Batch) -> Self {
        let (b, k, s, m) = (batch.batch, batch.keypoints, batch.size, batch.map_size);
        let both = batch.pointmaps.is_some() && batch.edgemaps.is_some();
        Self {
            images: [b, 3, s, s],
            points: [b, k, 2],
            weights: [b, k],
            maps: both.then_some([[b, k, m, m], [b, batch.edges, m, m]]),
        }
    }
}

/// Compares what a batch says with what it has.
fn check(batch: &Batch, target: &Target) -> Result<()> {
    if batch.size != target.input.image_size {
        bail!("batch: expected images of {} px, got {} px", target.input.image_size, batch.size)
    }
    let shapes = Shapes::of(batch);
    let [pointmaps, edgemaps] = shapes.maps.unwrap_or_default();
    let maps = |maps: &Option<Vec<f32>>| shapes.maps.and(maps.as_ref()).map_or(0, Vec::len);
    for (name, shape, got) in [
        ("images", shapes.images.as_slice(), batch.images.len()),
        ("points", &shapes.points, batch.points.len()),
        ("weights", &shapes.weights, batch.weights.len()),
        ("pointmaps", &pointmaps, maps(&batch.pointmaps)),
        ("edgemaps", &edgemaps, maps(&batch.edgemaps)),
    ] {
        let expected: usize = shape.iter().product();
        if got != expected {
            bail!("batch: {name}: expected {expected} numbers for {shape:?}, got {got}")
        }
    }
    Ok(())
}
