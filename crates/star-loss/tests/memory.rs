//! Memory beside the inputs, counted by the allocator.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(unsafe_code, reason = "a counting allocator can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor, Var};
use star_loss::{Reduction, StarLoss, StarLossConfig};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// One measurement at a time.
static LOCK: Mutex<()> = Mutex::new(());

fn grown(by: usize) {
    let now = NOW.fetch_add(by, Ordering::SeqCst) + by;
    PEAK.fetch_max(now, Ordering::SeqCst);
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::SeqCst);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SHAPE: (usize, usize, usize, usize) = (4, 98, 64, 64);
const MAP_BYTES: usize = 4 * 98 * 64 * 64 * 4;
/// Moments, losses, their gradients and candle's nodes, a keypoint.
const BYTES_A_KEYPOINT: usize = 4096;
const SMALL: usize = 4 * 98 * BYTES_A_KEYPOINT;

/// Peak of `run` above what was allocated before.
fn peak<T>(run: impl Fn() -> T) -> usize {
    // The first call starts threads and fills their buffers.
    drop(run());
    let before = NOW.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    drop(run());
    PEAK.load(Ordering::SeqCst) - before
}

fn batch(dtype: DType) -> (Var, Tensor) {
    let heatmaps = Tensor::rand(0f32, 1f32, SHAPE, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    let targets = Tensor::zeros((SHAPE.0, SHAPE.1, 2), DType::F32, &Device::Cpu).unwrap();
    (Var::from_tensor(&heatmaps).unwrap(), targets)
}

fn star() -> StarLoss {
    StarLoss::new(StarLossConfig::default()).unwrap()
}

#[test]
fn loss_and_gradient_allocates_the_gradient_and_nothing_of_its_size() {
    let _lock = LOCK.lock().unwrap();
    for (dtype, bytes) in [(DType::F32, MAP_BYTES), (DType::F16, MAP_BYTES / 2), (DType::F64, MAP_BYTES * 2)]
    {
        let (heatmaps, targets) = batch(dtype);
        let peak = peak(|| star().loss_and_gradient(&heatmaps, &targets, None, Reduction::Mean).unwrap());
        assert!((bytes..bytes + SMALL).contains(&peak), "{dtype:?}: {peak} bytes, the gradient has {bytes}");
    }
}

#[test]
fn into_a_tensor_of_the_caller_allocates_little() {
    let _lock = LOCK.lock().unwrap();
    let (heatmaps, targets) = batch(DType::F32);
    let gradient = heatmaps.zeros_like().unwrap();
    let how = Reduction::Mean;
    let peak = peak(|| star().loss_and_gradient_into(&heatmaps, &targets, None, how, &gradient).unwrap());
    assert!(peak < SMALL, "{peak} bytes");
}

#[test]
fn forward_allocates_little() {
    let _lock = LOCK.lock().unwrap();
    let (heatmaps, targets) = batch(DType::F32);
    let peak = peak(|| star().forward(&heatmaps, &targets).unwrap());
    assert!(peak < SMALL, "{peak} bytes");
}

#[test]
fn backward_adds_the_two_buffers_of_candles_gradient_store() {
    // Ours is one; candle makes a tensor of zeros and another for its sum with ours.
    let _lock = LOCK.lock().unwrap();
    let (heatmaps, targets) = batch(DType::F32);
    let peak = peak(|| {
        let loss = star().forward(&heatmaps, &targets).unwrap().reduce(None, Reduction::Mean).unwrap();
        loss.backward().unwrap()
    });
    assert!((MAP_BYTES..3 * MAP_BYTES + SMALL).contains(&peak), "{peak} bytes");
}
