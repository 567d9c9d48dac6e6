//! How maps of each dtype meet the sweeps: f32 and f64 in place, half precision through a scratch of one map.

use candle_core::WithDType;
use rayon::prelude::*;

use super::map::{Axes, MapMoments};
use super::sweep::{Level, Quadratic, Real, gradient, offsets, stream};

/// Reading and writing one map of element type `D`.
pub(crate) trait Access<D> {
    type Work: Real;
    fn read<'a>(map: &'a [D], scratch: &'a mut Vec<Self::Work>) -> &'a [Self::Work];
    /// Lets `fill` write a map into `out`, past the caches if `streamed`.
    fn write(
        out: &mut [D],
        scratch: &mut Vec<Self::Work>,
        streamed: bool,
        fill: impl FnOnce(&mut [Self::Work]),
    );
}

/// f32 and f64, where they lie.
pub(crate) enum Direct {}

impl<R: Real> Access<R> for Direct {
    type Work = R;
    fn read<'a>(map: &'a [R], _: &'a mut Vec<R>) -> &'a [R] {
        map
    }
    fn write(out: &mut [R], scratch: &mut Vec<R>, streamed: bool, fill: impl FnOnce(&mut [R])) {
        if !streamed {
            return fill(out);
        }
        scratch.resize(out.len(), R::zero());
        fill(scratch);
        stream(scratch, out);
    }
}

/// f16 and bf16, as f32.
pub(crate) enum Converted {}

impl<D: WithDType> Access<D> for Converted {
    type Work = f32;
    fn read<'a>(map: &'a [D], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        scratch.clear();
        scratch.extend(map.iter().map(|h| h.to_f64() as f32));
        scratch
    }
    fn write(out: &mut [D], scratch: &mut Vec<f32>, _: bool, fill: impl FnOnce(&mut [f32])) {
        scratch.clear();
        scratch.resize(out.len(), 0.0);
        fill(scratch);
        let largest = if D::DTYPE == candle_core::DType::F16 { 65504.0 } else { 3.38e38 };
        for (out, g) in out.iter_mut().zip(scratch.iter()) {
            *out = D::from_f64(f64::from(*g).clamp(-largest, largest));
        }
    }
}

/// Maps below this many in one task cost more in scheduling than in work.
const MAPS_A_TASK: usize = 8;

/// The geometry of the maps, and the instructions they are swept with.
pub(crate) struct Sweeper {
    pub(crate) axes: Axes,
    pub(crate) relu: bool,
    pub(crate) level: Level,
    /// Write gradients past the caches: right for memory that is mapped already and larger than they are.
    pub(crate) streamed: bool,
    area: usize,
    offsets: [Vec<f64>; 2],
}

/// Buffers of one thread.
pub(crate) struct Scratch<W> {
    read: Vec<W>,
    write: Vec<W>,
    dx: Vec<W>,
}

impl<W> Default for Scratch<W> {
    fn default() -> Self {
        Self { read: Vec::new(), write: Vec::new(), dx: Vec::new() }
    }
}

impl Sweeper {
    pub(crate) fn new(axes: Axes, relu: bool, height: usize, width: usize) -> Self {
        Self {
            axes,
            relu,
            level: Level::best(),
            streamed: false,
            area: height * width,
            offsets: [offsets(width), offsets(height)],
        }
    }

    fn offsets(&self) -> [&[f64]; 2] {
        [&self.offsets[0], &self.offsets[1]]
    }

    pub(crate) fn moments_of<D, A: Access<D>>(
        &self,
        map: &[D],
        scratch: &mut Scratch<A::Work>,
    ) -> MapMoments {
        let map = A::read(map, &mut scratch.read);
        if self.relu {
            MapMoments::of::<A::Work, true>(self.level, map, self.offsets(), &self.axes)
        } else {
            MapMoments::of::<A::Work, false>(self.level, map, self.offsets(), &self.axes)
        }
    }

    pub(crate) fn gradient_of<D, A: Access<D>>(
        &self,
        map: &[D],
        q: &Quadratic,
        out: &mut [D],
        scratch: &mut Scratch<A::Work>,
    ) {
        let map = A::read(map, &mut scratch.read);
        A::write(out, &mut scratch.write, self.streamed, |out| {
            if self.relu {
                gradient::<A::Work, true>(self.level, map, q, self.offsets(), &mut scratch.dx, out);
            } else {
                gradient::<A::Work, false>(self.level, map, q, self.offsets(), &mut scratch.dx, out);
            }
        });
    }

    /// Calls `each` with every map and its index, in parallel; results in order.
    pub(crate) fn for_maps<D: Sync, A: Access<D>, T: Send>(
        &self,
        maps: &[D],
        each: impl Fn(usize, &[D], &mut Scratch<A::Work>) -> T + Sync + Send,
    ) -> Vec<T> {
        maps.par_chunks_exact(self.area)
            .enumerate()
            .with_min_len(MAPS_A_TASK)
            .map_init(Scratch::default, |scratch, (i, map)| each(i, map, scratch))
            .collect()
    }

    /// As [`Sweeper::for_maps`], with the place of the map's gradient in `out`.
    pub(crate) fn for_maps_into<D: Sync + Send, A: Access<D>, T: Send>(
        &self,
        maps: &[D],
        out: &mut [D],
        each: impl Fn(usize, &[D], &mut [D], &mut Scratch<A::Work>) -> T + Sync + Send,
    ) -> Vec<T> {
        maps.par_chunks_exact(self.area)
            .zip(out.par_chunks_exact_mut(self.area))
            .enumerate()
            .with_min_len(MAPS_A_TASK)
            .map_init(Scratch::default, |scratch, (i, (map, out))| each(i, map, out, scratch))
            .collect()
    }
}

/// Calls `$f::<D, A>($slice, ..)` for the dtype of a CPU storage.
macro_rules! for_dtype {
    ($storage:expr, $slice:ident, $access:ident => $body:expr) => {
        match $storage {
            candle_core::CpuStorage::F32($slice) => {
                type $access = crate::fused::access::Direct;
                $body
            }
            candle_core::CpuStorage::F64($slice) => {
                type $access = crate::fused::access::Direct;
                $body
            }
            candle_core::CpuStorage::F16($slice) => {
                type $access = crate::fused::access::Converted;
                $body
            }
            candle_core::CpuStorage::BF16($slice) => {
                type $access = crate::fused::access::Converted;
                $body
            }
            other => candle_core::bail!("heatmaps: expected a float dtype, got {:?}", other.dtype()),
        }
    };
}
pub(crate) use for_dtype;
