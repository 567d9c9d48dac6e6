//! ReLU and changes of resolution as candle ops with their own backward.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaView, DevicePtr, LaunchConfig, PushKernelArg};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor, bail,
};

use super::card::{Held, Operand, Source, tensor, threads, unwritten};

/// Kernels of every layer.
pub(super) const LAYERS: Source = Source { name: "layers", text: include_str!("layers.cu") };

/// Values that a thread takes at a time where it can.
fn pack(dtype: DType) -> usize {
    if dtype.size_in_bytes() == 2 { 8 } else { 4 }
}

/// An op on the CPU: ops of this folder are reached on cards alone.
pub(super) fn not_here<T>(name: &str) -> Result<T> {
    bail!("{name}: expected a tensor on a CUDA card")
}

/// Values as kernels count them.
pub(super) fn number(count: usize) -> Result<i32> {
    match i32::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => bail!("a tensor of {count} values is more than our kernels count"),
    }
}

/// Whether values may be read and written [`pack`] at a time: `plane` of them lie side by side in each of these tensors, like `like`.
pub(super) fn packed(like: Operand<'_>, plane: usize, views: &[&CudaView<'_, u8>]) -> bool {
    let stream = like.device().cuda_stream();
    let pack = pack(like.dtype());
    let bytes = (pack * like.dtype().size_in_bytes()) as u64;
    plane.is_multiple_of(pack) && views.iter().all(|view| view.device_ptr(&stream).0.is_multiple_of(bytes))
}

/// A grid over `count` values.
pub(super) fn grid(count: usize, dtype: DType, packed: bool) -> Result<LaunchConfig> {
    threads(if packed { count / pack(dtype) } else { count })
}

/// What a kernel with one thread for each of some values makes of its inputs: `inputs.., out, count, numbers..` and, where `wide`,
/// whether it may take several at a time.
fn map(
    kernel: &'static str,
    inputs: &[Operand<'_>],
    shape: &Shape,
    (count, wide): (usize, bool),
    numbers: &[i32],
) -> Result<CudaStorage> {
    let Some(&first) = inputs.first() else { bail!("{kernel}: no input") };
    let (device, dtype) = (first.device(), first.dtype());
    let out = unwritten(device, dtype, shape)?;
    if count == 0 {
        return Ok(out);
    }
    {
        let layout = Layout::contiguous(shape);
        let views = inputs.iter().map(|input| input.bytes(kernel)).collect::<Result<Vec<_>>>()?;
        let to = Operand { storage: &out, layout: &layout }.bytes(kernel)?;
        let all: Vec<_> = views.iter().chain([&to]).collect();
        let packed = wide && packed(first, count, &all);
        let (values, flag) = (number(count)?, i32::from(packed));
        let function = LAYERS.kernel(device, dtype, kernel)?;
        let mut launch = function.builder();
        for view in all {
            launch.arg(view);
        }
        launch.arg(&values);
        for value in numbers.iter().chain(wide.then_some(&flag)) {
            launch.arg(value);
        }
        #[expect(
            unsafe_code,
            reason = "a kernel is called by its name, with arguments that nothing compares"
        )]
        // SAFETY: the kernels called from this file have these parameters, and inputs and output are as large as `count` says.
        unsafe { launch.launch(grid(count, dtype, packed)?) }.w()?;
    }
    Ok(out)
}

/// `max(x, 0)` with the gradient 0 at 0; NaN stays.
pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Relu)
}

pub(super) struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_here("relu")
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let shape = layout.shape();
        let y = map("relu", &[Operand { storage, layout }], shape, (shape.elem_count(), true), &[])?;
        Ok((y, shape.clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, by: &Tensor) -> Result<Option<Tensor>> {
        let by = by.contiguous()?;
        let held = [("relu", y), ("gradient of relu", &by)].map(Held::new);
        let inputs = [held[0].operand()?, held[1].operand()?];
        let dx = map("relu_backward", &inputs, y.shape(), (y.elem_count(), true), &[])?;
        Ok(Some(tensor(dx, y.shape())))
    }
}

/// The largest of each 2x2 block; `x` has four dimensions and even sides.
pub(crate) fn max_pool_2x2(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPool)
}

pub(super) struct MaxPool;

/// Of the coarser map: its values, height and width.
fn coarse(shape: &Shape) -> Result<(usize, [i32; 2])> {
    let (b, c, h, w) = shape.dims4()?;
    Ok((b * c * (h / 2) * (w / 2), [number(h / 2)?, number(w / 2)?]))
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool-2x2"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_here("max-pool-2x2")
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (b, c, h, w) = layout.shape().dims4()?;
        let shape = Shape::from((b, c, h / 2, w / 2));
        let (count, sides) = coarse(layout.shape())?;
        Ok((map("max_pool", &[Operand { storage, layout }], &shape, (count, false), &sides)?, shape))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, by: &Tensor) -> Result<Option<Tensor>> {
        let by = by.contiguous()?;
        let held = [("max-pool-2x2", x), ("gradient of max-pool-2x2", &by)].map(Held::new);
        let (count, sides) = coarse(x.shape())?;
        let inputs = [held[0].operand()?, held[1].operand()?];
        Ok(Some(tensor(map("max_pool_backward", &inputs, x.shape(), (count, false), &sides)?, x.shape())))
    }
}

/// `base + nearest(low)`; the sides of `base` are twice those of `low`.
pub(crate) fn upsample_add(base: &Tensor, low: &Tensor) -> Result<Tensor> {
    let ((b, c, h, w), (lb, lc, lh, lw)) = (base.dims4()?, low.dims4()?);
    if (b, c, h, w) != (lb, lc, 2 * lh, 2 * lw) || base.dtype() != low.dtype() {
        bail!(
            "upsample-add: expected maps half as wide and high as {:?}, got {:?}",
            base.shape(),
            low.shape()
        )
    }
    base.contiguous()?.apply_op2(&low.contiguous()?, UpsampleAdd)
}

pub(super) struct UpsampleAdd;

impl CustomOp2 for UpsampleAdd {
    fn name(&self) -> &'static str {
        "upsample-add"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_here("upsample-add")
    }

    fn cuda_fwd(
        &self,
        base: &CudaStorage,
        lb: &Layout,
        low: &CudaStorage,
        ll: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (count, sides) = coarse(lb.shape())?;
        let inputs = [Operand { storage: base, layout: lb }, Operand { storage: low, layout: ll }];
        Ok((map("upsample_add", &inputs, lb.shape(), (count, false), &sides)?, lb.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        by: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (base, low) = self.back(by)?;
        Ok((Some(base), Some(low)))
    }
}

impl UpsampleAdd {
    /// The gradients by both inputs from that by their sum.
    pub(super) fn back(&self, by: &Tensor) -> Result<(Tensor, Tensor)> {
        let by = by.contiguous()?;
        let ((b, c, h, w), (count, sides)) = (by.dims4()?, coarse(by.shape())?);
        let shape = Shape::from((b, c, h / 2, w / 2));
        let by_low = {
            let held = Held::new(("gradient of upsample-add", &by));
            map("upsample_backward", &[held.operand()?], &shape, (count, false), &sides)?
        };
        Ok((by, tensor(by_low, shape)))
    }
}
