//! Convolutions by cuDNN, forward and backward, with their bias.
//!
//! candle convolves forward by cuDNN where it is built with it, but goes back by convolutions of its own that take many times as long.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::cudnn::{
    ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnDataType, CudnnError,
    FilterDescriptor, TensorDescriptor, sys,
};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr, ValidAsZeroBits};
use candle_core::cuda_backend::{CudaDType, DeviceId, gemm_reduced_precision_f32};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp3, DType, Error, Layout, Result, Shape, Tensor, WithDType,
    bail,
};
use half::{bf16, f16};

use super::card::{Held, Operand, blocks, tensor, threads, unwritten};
use super::norm::{Channels, doubles};
use super::pointwise::{LAYERS, grid, not_here, number, packed};
use crate::launch;

/// The numbers of a convolution with a square kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Conv {
    /// Pixels from one window to the next.
    pub(crate) stride: usize,
    /// Zeros around the map.
    pub(crate) padding: usize,
    /// Into how many parts the channels are cut, each convolved by itself.
    pub(crate) groups: usize,
    /// Whether there is a bias: without one zeros stand in its place, and are not added.
    pub(crate) biased: bool,
}

/// `[B, I, H, W]` by `weight`, `[O, I / groups, K, K]`, plus `bias`, `[O]`: `[B, O, H', W']`. All of one type.
///
/// f32 is rounded to TF32 in products where candle's matrix products are:
/// [`set_gemm_reduced_precision_f32`](candle_core::cuda::set_gemm_reduced_precision_f32).
pub(crate) fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, conv: Conv) -> Result<Tensor> {
    if weight.dtype() != x.dtype() || bias.dtype() != x.dtype() {
        let (w, b) = (weight.dtype(), bias.dtype());
        bail!("convolution: expected one type, got {:?}, {w:?} and {b:?}", x.dtype())
    }
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, conv)
}

/// What cuDNN's choice of an algorithm depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shapes {
    x: [i32; 4],
    weight: [i32; 4],
    y: [i32; 4],
    conv: Conv,
    dtype: DType,
    /// Whether f32 may be rounded to TF32.
    tf32: bool,
}

impl Shapes {
    fn new(x: &Shape, weight: &Shape, conv: Conv, dtype: DType) -> Result<Self> {
        let ((b, i, h, w), (o, of_group, k, k2)) = (x.dims4()?, weight.dims4()?);
        let Conv { stride, padding, groups, .. } = conv;
        let fits = k == k2 && i == of_group * groups && o.is_multiple_of(groups);
        if !fits || stride == 0 || h + 2 * padding < k || w + 2 * padding < k {
            bail!("convolution: {x:?} does not fit the weight {weight:?} ({conv:?})")
        }
        let out = |side: usize| (side + 2 * padding - k) / stride + 1;
        let four = |sizes: [usize; 4]| -> Result<[i32; 4]> {
            number(sizes.iter().product())?;
            // Factors of a product that fits.
            Ok(sizes.map(|size| size as i32))
        };
        Ok(Self {
            x: four([b, i, h, w])?,
            weight: four([o, of_group, k, k])?,
            y: four([b, o, out(h), out(w)])?,
            conv,
            dtype,
            tf32: gemm_reduced_precision_f32(),
        })
    }

    fn output(&self) -> Shape {
        Shape::from(self.y.map(|size| size as usize).to_vec())
    }
}

type Forward = sys::cudnnConvolutionFwdAlgo_t;
type ByInput = sys::cudnnConvolutionBwdDataAlgo_t;
type ByWeight = sys::cudnnConvolutionBwdFilterAlgo_t;

/// cuDNN on one card, and the algorithms that were taken: asking takes longer than a small convolution.
struct Library {
    cudnn: Arc<Cudnn>,
    forward: RefCell<HashMap<Shapes, Forward>>,
    by_input: RefCell<HashMap<Shapes, ByInput>>,
    by_weight: RefCell<HashMap<Shapes, ByWeight>>,
}

thread_local! {
    /// A handle is of one thread.
    static LIBRARIES: RefCell<HashMap<DeviceId, Rc<Library>>> = RefCell::new(HashMap::new());
}

impl Library {
    fn of(device: &CudaDevice) -> Result<Rc<Self>> {
        LIBRARIES.with_borrow_mut(|libraries| {
            if let Some(library) = libraries.get(&device.id()) {
                return Ok(library.clone());
            }
            let cudnn = Cudnn::new(device.cuda_stream()).map_err(Error::wrap)?;
            let library = Rc::new(Self {
                cudnn,
                forward: RefCell::default(),
                by_input: RefCell::default(),
                by_weight: RefCell::default(),
            });
            libraries.insert(device.id(), library.clone());
            Ok(library)
        })
    }
}

/// What cuDNN calls of a convolution over values `T`, summed as `C`.
struct Descriptors<T: CudnnDataType, C: CudnnDataType> {
    x: TensorDescriptor<T>,
    weight: FilterDescriptor<T>,
    y: TensorDescriptor<T>,
    conv: ConvDescriptor<C>,
}

impl<T: CudnnDataType, C: CudnnDataType> Descriptors<T, C> {
    fn new(library: &Library, shapes: &Shapes) -> std::result::Result<Self, CudnnError> {
        let (cudnn, format) = (&library.cudnn, sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW);
        let Conv { stride, padding, groups, .. } = shapes.conv;
        let two = |n: usize| [n as i32; 2];
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let mut conv = cudnn.create_conv2d::<C>(two(padding), two(stride), [1, 1], mode)?;
        conv.set_group_count(groups as i32)?;
        conv.set_math_type(match shapes.dtype {
            DType::F16 | DType::BF16 => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
            // The default rounds f32 to TF32.
            DType::F32 if !shapes.tf32 => sys::cudnnMathType_t::CUDNN_FMA_MATH,
            _ => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
        })?;
        Ok(Self {
            x: cudnn.create_4d_tensor(format, shapes.x)?,
            weight: cudnn.create_4d_filter(format, shapes.weight)?,
            y: cudnn.create_4d_tensor(format, shapes.y)?,
            conv,
        })
    }
}

/// Values that cuDNN convolves.
trait Value: WithDType + CudaDType + CudnnDataType + DeviceRepr + ValidAsZeroBits {
    /// What products are summed in.
    type Sum: CudnnDataType;
}

macro_rules! values {
    ($($value:ty: $sum:ty),*) => {$(impl Value for $value { type Sum = $sum; })*};
}
values!(f32: f32, f64: f64, f16: f32, bf16: f32);

/// Calls `$f::<T>($args)` for the type of a tensor.
macro_rules! for_type {
    ($dtype:expr, $f:ident($($arg:expr),*)) => {
        match $dtype {
            DType::F32 => $f::<f32>($($arg),*),
            DType::F64 => $f::<f64>($($arg),*),
            DType::F16 => $f::<f16>($($arg),*),
            DType::BF16 => $f::<bf16>($($arg),*),
            other => bail!("convolution: expected a float dtype, got {other:?}"),
        }
    };
}

fn values<'a, T: Value>(operand: Operand<'a>) -> Result<CudaView<'a, T>> {
    match operand.layout.contiguous_offsets() {
        Some((start, end)) => Ok(operand.storage.as_cuda_slice::<T>()?.slice(start..end)),
        None => bail!("convolution: expected a contiguous tensor, got strides {:?}", operand.layout.stride()),
    }
}

/// Fresh memory that a product writes.
fn fresh<T: Value>(device: &CudaDevice, sizes: [i32; 4]) -> Result<CudaSlice<T>> {
    #[expect(
        unsafe_code,
        reason = "cuDNN writes every value: the product counts once and what is there not at all"
    )]
    // SAFETY: memory of a card that is not written holds some numbers.
    unsafe {
        device.alloc::<T>(sizes.iter().map(|&size| size as usize).product())
    }
}

fn workspace(device: &CudaDevice, bytes: usize) -> Result<CudaSlice<u8>> {
    #[expect(unsafe_code, reason = "cuDNN expects nothing of its workspace")]
    // SAFETY: any memory is bytes.
    unsafe {
        device.alloc::<u8>(bytes.max(1))
    }
}

/// Bytes of workspace beyond which another algorithm is taken.
const MOST_WORKSPACE: usize = 2 << 30;

/// One of the three products. cuDNN is asked once which algorithm it takes; where that one fails or wants too much memory, the first of
/// `$others` that works is taken.
macro_rules! product {
    ($T:ty, $device:expr, $shapes:expr, $chosen:ident, $others:expr, |$d:ident| $operation:expr, ($($argument:expr),+)) => {{
        let library = Library::of($device)?;
        let $d = Descriptors::<$T, <$T as Value>::Sum>::new(&library, $shapes).map_err(Error::wrap)?;
        let operation = $operation;
        let (one, zero) = (<$T>::from_f64(1.0), <$T>::from_f64(0.0));
        let known = library.$chosen.borrow().get($shapes).copied();
        let asked = if known.is_none() { operation.pick_algorithm().ok() } else { None };
        let mut failure = None;
        for algorithm in known.into_iter().chain(asked).chain($others) {
            let bytes = match operation.get_workspace_size(algorithm) {
                Ok(bytes) if bytes <= MOST_WORKSPACE => bytes,
                Ok(_) => continue,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let mut workspace = workspace($device, bytes)?;
            #[expect(unsafe_code, reason = "cuDNN takes addresses")]
            // SAFETY: the descriptors are those of these tensors, whose sizes were checked against each other.
            let done = unsafe { operation.launch(algorithm, Some(&mut workspace), (one, zero), $($argument),+) };
            match done {
                Ok(()) => {
                    library.$chosen.borrow_mut().insert(*$shapes, algorithm);
                    failure = None;
                    break;
                }
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            bail!("cuDNN: {error:?} for a convolution {:?}", $shapes)
        }
        if !library.$chosen.borrow().contains_key($shapes) {
            bail!("cuDNN: no algorithm for a convolution {:?} takes at most {MOST_WORKSPACE} bytes", $shapes)
        }
    }};
}

fn forward<T: Value>(x: Operand<'_>, weight: Operand<'_>, shapes: &Shapes) -> Result<CudaStorage> {
    let (device, mut y) = (x.device(), fresh::<T>(x.device(), shapes.y)?);
    let (x, weight) = (values::<T>(x)?, values::<T>(weight)?);
    product!(
        T,
        device,
        shapes,
        forward,
        [
            Forward::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
            Forward::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM
        ],
        |d| ConvForward { conv: &d.conv, x: &d.x, w: &d.weight, y: &d.y },
        (&x, &weight, &mut y)
    );
    Ok(CudaStorage::wrap_cuda_slice(y, device.clone()))
}

fn by_input<T: Value>(weight: Operand<'_>, by: Operand<'_>, shapes: &Shapes) -> Result<CudaStorage> {
    let (device, mut dx) = (by.device(), fresh::<T>(by.device(), shapes.x)?);
    let (weight, by) = (values::<T>(weight)?, values::<T>(by)?);
    product!(
        T,
        device,
        shapes,
        by_input,
        [ByInput::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, ByInput::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0],
        |d| ConvBackwardData { conv: &d.conv, dx: &d.x, w: &d.weight, dy: &d.y },
        (&mut dx, &weight, &by)
    );
    Ok(CudaStorage::wrap_cuda_slice(dx, device.clone()))
}

fn by_weight<T: Value>(x: Operand<'_>, by: Operand<'_>, shapes: &Shapes) -> Result<CudaStorage> {
    let (device, mut dw) = (x.device(), fresh::<T>(x.device(), shapes.weight)?);
    let (x, by) = (values::<T>(x)?, values::<T>(by)?);
    product!(
        T,
        device,
        shapes,
        by_weight,
        [
            ByWeight::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
            ByWeight::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
            ByWeight::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
        ],
        |d| ConvBackwardFilter { conv: &d.conv, x: &d.x, dw: &d.weight, dy: &d.y },
        (&x, &mut dw, &by)
    );
    Ok(CudaStorage::wrap_cuda_slice(dw, device.clone()))
}

/// Adds the bias to every pixel of `y`, in place: nobody else knows it yet.
fn add_bias(y: Operand<'_>, bias: Operand<'_>) -> Result<()> {
    let sizes = Channels::of(y.layout.shape())?;
    let [channels, _, plane, _] = sizes.numbers();
    let (values, bias) = (y.bytes("convolution")?, bias.bytes("bias")?);
    let packed = packed(y, sizes.plane, &[&values]);
    launch!(
        LAYERS.kernel(y.device(), y.dtype(), "bias_add")?,
        grid(sizes.count, y.dtype(), packed)?,
        &values,
        &bias,
        &number(sizes.count)?,
        &channels,
        &plane,
        &i32::from(packed),
    );
    Ok(())
}

/// The gradient by the bias: sums over every channel.
fn by_bias(by: Operand<'_>, shape: &Shape) -> Result<Tensor> {
    let sizes = Channels::of(by.layout.shape())?;
    let [channels, batch, plane, slices] = sizes.numbers();
    let (device, dtype, values) = (by.device(), by.dtype(), by.bytes("gradient of a convolution")?);
    let mut partial = doubles(device, sizes.channels * sizes.slices)?;
    launch!(
        LAYERS.kernel(device, dtype, "bias_sums")?,
        blocks(sizes.channels * sizes.slices)?,
        &values,
        &mut partial,
        &channels,
        &batch,
        &plane,
        &slices,
        &i32::from(packed(by, sizes.plane, &[&values])),
    );
    let out = tensor(unwritten(device, dtype, shape)?, shape);
    launch!(
        LAYERS.kernel(device, dtype, "bias_gradient")?,
        threads(sizes.channels)?,
        &partial,
        &Held::new(("gradient of a bias", &out)).bytes()?,
        &channels,
        &slices,
    );
    Ok(out)
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        not_here("convolution")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        weight: &CudaStorage,
        lw: &Layout,
        bias: &CudaStorage,
        lb: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (x, weight) = (Operand { storage: x, layout: lx }, Operand { storage: weight, layout: lw });
        let shapes = Shapes::new(lx.shape(), lw.shape(), *self, x.dtype())?;
        if lb.shape().dims() != [shapes.weight[0] as usize] {
            bail!("bias: expected [{}], got {:?}", shapes.weight[0], lb.shape())
        }
        let y = for_type!(x.dtype(), forward(x, weight, &shapes))?;
        let (shape, layout) = (shapes.output(), Layout::contiguous(shapes.output()));
        if self.biased {
            add_bias(Operand { storage: &y, layout: &layout }, Operand { storage: bias, layout: lb })?;
        }
        Ok((y, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        by: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        // Nobody asks for the gradient by the images.
        let wanted = [x.track_op(), weight.track_op(), bias.track_op()];
        let [dx, dw, db] = self.gradients(x, weight, by, wanted)?;
        Ok((dx, dw, db))
    }
}

impl Conv {
    /// The gradients by input, weight and bias that are wanted, from `by`, that by the output.
    pub(super) fn gradients(
        &self,
        x: &Tensor,
        weight: &Tensor,
        by: &Tensor,
        [by_x, by_weights, by_biases]: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let shapes = Shapes::new(x.shape(), weight.shape(), *self, x.dtype())?;
        let by = by.contiguous()?;
        let held =
            [("convolution", x), ("weight", weight), ("gradient of a convolution", &by)].map(Held::new);
        let [values, weights, by] = [held[0].operand()?, held[1].operand()?, held[2].operand()?];
        let dx = match by_x {
            true => Some(tensor(for_type!(x.dtype(), by_input(weights, by, &shapes))?, x.shape())),
            false => None,
        };
        let dw = match by_weights {
            true => Some(tensor(for_type!(x.dtype(), by_weight(values, by, &shapes))?, weight.shape())),
            false => None,
        };
        let db = if by_biases { Some(by_bias(by, &Shape::from(weight.dim(0)?))?) } else { None };
        Ok([dx, dw, db])
    }
}
