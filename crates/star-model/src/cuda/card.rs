//! A card as we use it, kernels compiled when they are first used, and tensors as they take them: bytes on the card.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaStream, CudaView, LaunchArgs, LaunchConfig, sys,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaStorageSlice, DeviceId, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{
    CudaDevice, CudaStorage, DType, Device, Layout, Result, Shape, Storage, StorageRef, Tensor, bail,
};

/// Threads of a block.
pub const THREADS: u32 = 256;

/// Opens a card with one stream for all threads of this process, whose freed memory is kept for what comes next.
///
/// # Errors
/// When there is no such card.
pub fn open(number: usize) -> Result<Device> {
    let device = CudaDevice::new_with_stream(number)?;
    #[expect(unsafe_code, reason = "settings of the driver that exist in its own interface alone")]
    // SAFETY: everything runs on the one stream, in its order, so nothing needs to be told by events; what runs on another stream waits
    // for it itself. The pool is the device's own, and the attribute is a 64-bit number.
    unsafe {
        // Two events for every argument of a kernel would take as long as a small kernel.
        device.disable_event_tracking();
        let mut pool = std::ptr::null_mut();
        let ordinal = device.cuda_stream().context().cu_device();
        if sys::cuDeviceGetDefaultMemPool(&raw mut pool, ordinal).result().is_ok() {
            // Without this a pool gives its memory back at every synchronisation. Where it cannot be set, all is slower, not wrong.
            let mut most = u64::MAX;
            let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            let _ = sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut most).cast());
        }
    }
    Ok(Device::Cuda(device))
}

/// A kernel and the stream that it is launched on.
pub struct Kernel {
    function: CudaFunction,
    stream: Arc<CudaStream>,
}

impl Kernel {
    /// A launch that lacks its arguments.
    pub fn builder(&self) -> LaunchArgs<'_> {
        self.stream.launch_builder(&self.function)
    }
}

/// Kernels in CUDA C, compiled for one type of values at a time: `-DVALUE=f32`, `f64`, `f16` or `bf16`.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Of the module on the card, and in messages of the compiler.
    pub name: &'static str,
    /// The source without any header.
    pub text: &'static str,
}

impl Source {
    /// A kernel for values of `dtype`. Compiling takes about a second, once a process, card and type.
    ///
    /// # Errors
    /// When the source does not compile, or has no such kernel.
    pub fn kernel(self, device: &CudaDevice, dtype: DType, name: &'static str) -> Result<Kernel> {
        type Functions = HashMap<(DeviceId, &'static str, DType, &'static str), CudaFunction>;
        static FUNCTIONS: Mutex<Option<Functions>> = Mutex::new(None);
        let mut functions = FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let functions = functions.get_or_insert_default();
        let key = (device.id(), self.name, dtype, name);
        let function = match functions.get(&key) {
            Some(function) => function.clone(),
            None => {
                let loaded = self.load(device, dtype, name)?;
                functions.insert(key, loaded.clone());
                loaded
            }
        };
        Ok(Kernel { function, stream: device.cuda_stream() })
    }

    fn load(self, device: &CudaDevice, dtype: DType, name: &str) -> Result<CudaFunction> {
        type Compiled = HashMap<(&'static str, i32, i32, DType), String>;
        static COMPILED: Mutex<Option<Compiled>> = Mutex::new(None);
        let (major, minor) = device.cuda_stream().context().compute_capability().w()?;
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        let compiled = compiled.get_or_insert_default();
        let key = (self.name, major, minor, dtype);
        let ptx = match compiled.get(&key) {
            Some(ptx) => ptx,
            None => {
                let architecture = format!("--gpu-architecture=compute_{major}{minor}");
                let options = vec![architecture, format!("-DVALUE={}", dtype.as_str())];
                let options = CompileOptions { options, name: Some(self.name.into()), ..Default::default() };
                let text = [include_str!("values.cuh"), self.text].concat();
                compiled.entry(key).or_insert(compile_ptx_with_opts(text, options).w()?.to_src())
            }
        };
        let module = format!("{}-{}", self.name, dtype.as_str());
        Ok(device.get_or_load_custom_func(name, &module, ptx)?.into_cuda_function())
    }
}

/// A launch with all its arguments.
#[macro_export]
#[doc(hidden)]
macro_rules! launch {
    ($kernel:expr, $config:expr, $($arg:expr),+ $(,)?) => {{
        use candle_core::cuda_backend::{WrapErr, cudarc::driver::PushKernelArg};
        let (kernel, config) = ($kernel, $config);
        #[expect(unsafe_code, reason = "a kernel is called by its name, with arguments that nothing compares")]
        // SAFETY: these are the parameters of that kernel in its source, and it stays inside the sizes among them.
        unsafe { kernel.builder()$(.arg($arg))+.launch(config) }.w()?;
    }};
}

/// Blocks of [`THREADS`].
///
/// # Errors
/// When these are more than a card takes.
pub fn blocks(count: usize) -> Result<LaunchConfig> {
    match u32::try_from(count) {
        Ok(blocks) if blocks <= i32::MAX as u32 => {
            Ok(LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 })
        }
        _ => bail!("{count} blocks are more than a card takes at once"),
    }
}

/// Blocks for one thread a value.
///
/// # Errors
/// As [`blocks`].
pub fn threads(count: usize) -> Result<LaunchConfig> {
    blocks(count.div_ceil(THREADS as usize))
}

/// A tensor as an op gets it.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// Where it lies.
    pub storage: &'a CudaStorage,
    /// How.
    pub layout: &'a Layout,
}

impl<'a> Operand<'a> {
    /// Its card.
    pub fn device(self) -> &'a CudaDevice {
        self.storage.device()
    }

    /// Its type.
    pub fn dtype(self) -> DType {
        self.storage.dtype()
    }

    /// Its values.
    ///
    /// # Errors
    /// When it is not contiguous, or of another type than a float or a byte; `name` is for that message.
    pub fn bytes(self, name: &str) -> Result<CudaView<'a, u8>> {
        let Some((start, end)) = self.layout.contiguous_offsets() else {
            bail!("{name}: expected a contiguous tensor, got strides {:?}", self.layout.stride())
        };
        let size = self.dtype().size_in_bytes();
        macro_rules! view {
            ($($variant:ident),*) => {
                match &self.storage.slice {
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
        match view!(F32, F64, F16, BF16, U8) {
            Some(view) => Ok(view),
            None => bail!("{name}: expected floats or bytes, got {:?}", self.dtype()),
        }
    }
}

/// Values on a card that nobody has written: for a kernel that writes every one of them.
///
/// # Errors
/// When the card has not the memory.
pub fn unwritten(device: &CudaDevice, dtype: DType, shape: impl Into<Shape>) -> Result<CudaStorage> {
    #[expect(unsafe_code, reason = "the kernel that gets this memory writes every value of it")]
    // SAFETY: memory of a card that is not written holds some numbers.
    unsafe {
        device.alloc_uninit(&shape.into(), dtype)
    }
}

/// A storage as a tensor.
pub fn tensor(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// A contiguous tensor whose storage is held for reading. Kernels also write into fresh ones that nobody else knows.
pub struct Held<'a> {
    name: &'static str,
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Held<'a> {
    /// Holds a tensor; `name` is for messages.
    pub fn new((name, tensor): (&'static str, &'a Tensor)) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { name, storage, layout }
    }

    /// What kernels take.
    ///
    /// # Errors
    /// When it does not lie on a card.
    pub fn operand(&self) -> Result<Operand<'_>> {
        match &*self.storage {
            Storage::Cuda(storage) => Ok(Operand { storage, layout: self.layout }),
            other => {
                bail!("{}: expected a tensor on a CUDA card, got one on {:?}", self.name, other.device())
            }
        }
    }

    /// Its values.
    ///
    /// # Errors
    /// As [`Operand::bytes`].
    pub fn bytes(&self) -> Result<CudaView<'_, u8>> {
        self.operand()?.bytes(self.name)
    }
}
