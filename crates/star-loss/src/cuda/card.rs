//! Kernels compiled when they are first used, and tensors as they take them: bytes on the card.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaStream, CudaView, LaunchArgs, LaunchConfig,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaStorageSlice, DeviceId, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};

/// Threads of a block, as `star.cu` has them.
pub(super) const THREADS: u32 = 256;

/// A kernel and the stream that it is launched on.
pub(super) struct Kernel {
    function: CudaFunction,
    stream: Arc<CudaStream>,
}

impl Kernel {
    /// A launch that lacks its arguments.
    pub(super) fn builder(&self) -> LaunchArgs<'_> {
        self.stream.launch_builder(&self.function)
    }
}

/// A kernel of `star.cu` or `awing.cu` for maps of one type. Compiling takes about a second, once a process, card and type.
pub(super) fn kernel(device: &CudaDevice, dtype: DType, name: &'static str) -> Result<Kernel> {
    type Functions = HashMap<(DeviceId, DType, &'static str), CudaFunction>;
    static FUNCTIONS: Mutex<Option<Functions>> = Mutex::new(None);
    let mut functions = FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let functions = functions.get_or_insert_default();
    let function = match functions.get(&(device.id(), dtype, name)) {
        Some(function) => function.clone(),
        None => {
            let loaded = load(device, dtype, name)?;
            functions.insert((device.id(), dtype, name), loaded.clone());
            loaded
        }
    };
    Ok(Kernel { function, stream: device.cuda_stream() })
}

fn load(device: &CudaDevice, dtype: DType, name: &str) -> Result<CudaFunction> {
    type Compiled = HashMap<(i32, i32, DType), String>;
    static COMPILED: Mutex<Option<Compiled>> = Mutex::new(None);
    let (major, minor) = device.cuda_stream().context().compute_capability().w()?;
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let compiled = compiled.get_or_insert_default();
    let ptx = match compiled.get(&(major, minor, dtype)) {
        Some(ptx) => ptx,
        None => {
            let options = vec![
                format!("--gpu-architecture=compute_{major}{minor}"),
                format!("-DMAP={}", dtype.as_str()),
            ];
            let options = CompileOptions { options, name: Some("star.cu".into()), ..Default::default() };
            let ptx =
                compile_ptx_with_opts(concat!(include_str!("star.cu"), include_str!("awing.cu")), options)
                    .w()?;
            compiled.entry((major, minor, dtype)).or_insert(ptx.to_src())
        }
    };
    let function = device.get_or_load_custom_func(name, &format!("star-loss-{}", dtype.as_str()), ptx)?;
    Ok(function.into_cuda_function())
}

/// One block a map.
pub(super) fn blocks(maps: usize) -> Result<LaunchConfig> {
    match u32::try_from(maps) {
        Ok(blocks) if blocks <= i32::MAX as u32 => {
            Ok(LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 })
        }
        _ => bail!("heatmaps: {maps} maps are more than a card takes at once"),
    }
}

/// A launch with all its arguments.
macro_rules! launch {
    ($kernel:expr, $config:expr, $($arg:expr),+ $(,)?) => {{
        let (kernel, config) = ($kernel, $config);
        #[expect(unsafe_code, reason = "a kernel is called by its name, with arguments that nothing compares")]
        // SAFETY: these are the parameters of that kernel in its source, for as many maps or keypoints as the grid has.
        unsafe { kernel.builder()$(.arg($arg))+.launch(config) }.w()?;
    }};
}

pub(super) use launch;

/// The values of a contiguous tensor.
pub(super) fn bytes<'a>(name: &str, storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, u8>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("{name}: expected a contiguous tensor, got strides {:?}", layout.stride())
    };
    let size = storage.dtype().size_in_bytes();
    macro_rules! view {
        ($($variant:ident),*) => {
            match &storage.slice {
                $(CudaStorageSlice::$variant(slice) => {
                    #[expect(unsafe_code, reason = "any value is bytes, and the number of them is that of the slice")]
                    // SAFETY: the view ends where the slice does.
                    let view = unsafe { slice.slice(start..end).transmute::<u8>((end - start) * size) };
                    view
                })*
                _ => None,
            }
        };
    }
    match view!(F32, F64, F16, BF16) {
        Some(view) => Ok(view),
        None => bail!("{name}: expected a float dtype, got {:?}", storage.dtype()),
    }
}

/// Values on a card that nobody has written: for a kernel that writes every one of them.
pub(super) fn unwritten(device: &CudaDevice, dtype: DType, shape: &Shape) -> Result<CudaStorage> {
    #[expect(unsafe_code, reason = "the kernel that gets this memory writes every value of it")]
    // SAFETY: memory of a card that is not written holds some numbers.
    unsafe {
        device.alloc_uninit(shape, dtype)
    }
}

/// A storage as a tensor.
pub(super) fn tensor(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// A contiguous tensor whose storage is held for reading. Kernels also write into fresh ones that nobody else knows.
pub(super) struct Held<'a> {
    name: &'a str,
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Held<'a> {
    pub(super) fn new((name, tensor): (&'a str, &'a Tensor)) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { name, storage, layout }
    }

    pub(super) fn storage(&self) -> Result<&CudaStorage> {
        match &*self.storage {
            Storage::Cuda(storage) => Ok(storage),
            other => {
                bail!("{}: expected a tensor on a CUDA card, got one on {:?}", self.name, other.device())
            }
        }
    }

    pub(super) fn bytes(&self) -> Result<CudaView<'_, u8>> {
        bytes(self.name, self.storage()?, self.layout)
    }
}
