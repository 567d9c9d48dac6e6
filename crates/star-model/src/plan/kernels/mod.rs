//! The inner loops, written once and compiled for each instruction set; which one runs is decided at run time.

#![expect(unsafe_code, reason = "kernels work on pointers; the checked functions around them are in `ops`")]
#![expect(unsafe_op_in_unsafe_fn, reason = "kernels are unsafe from end to end")]
#![allow(
    clippy::needless_range_loop,
    reason = "counted loops over registers are unrolled, and read as the maths does"
)]

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod depthwise;
pub(crate) mod gemm;
pub(crate) mod gradients;
mod isa;
pub(crate) mod maps;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod pixels;
mod portable;
mod simd;
pub(crate) mod winograd;
pub(crate) mod winograd_gradient;

pub use isa::Isa;
use simd::Simd;

/// The kernels of one instruction set.
///
/// # Safety
/// The methods are as demanding of their arguments as the functions of the same name in this module's files. Values
/// of the implementing types are handed out by [`Isa::kernels`] only, which has asked the CPU.
pub(crate) trait Kernels: Send + Sync {
    /// Values in a register: channels are padded to a multiple of it.
    fn lanes(&self) -> usize;

    /// Pixels of the largest tile of a product in `f32`, two registers of channels wide.
    fn pixels(&self) -> usize;

    /// Whether products in bf16 and of bytes go by registers of tiles: fast enough that a window in bf16 is done directly.
    fn has_tiles(&self) -> bool;

    /// [`gemm::strip`]
    unsafe fn strip(&self, strip: &gemm::Strip);

    /// [`gemm::registers`]
    unsafe fn registers(&self, steps: usize, values: *mut f32);

    /// [`gemm::strip_bf16`]
    unsafe fn strip_bf16(&self, strip: &gemm::Strip);

    /// [`gemm::direct`]
    unsafe fn direct(&self, direct: &gemm::Direct);

    /// [`gemm::strip_int8`]
    unsafe fn strip_int8(&self, strip: &gemm::Strip, scale: *const f32);

    /// [`pixels::pairs`]
    unsafe fn pairs(&self, prepared: &pixels::Prepared);

    /// [`pixels::pixel_pairs`]
    unsafe fn pixel_pairs(&self, prepared: &pixels::Prepared);

    /// [`pixels::bytes`]
    unsafe fn bytes(&self, prepared: &pixels::Prepared, bytes: pixels::Bytes);

    /// [`winograd::block`]
    unsafe fn winograd(&self, block: &winograd::Block);

    /// [`pixels::floats`]
    unsafe fn floats(&self, prepared: &pixels::Prepared);

    /// [`pixels::max_pool_row`]
    unsafe fn max_pool_row(&self, x: *const f32, width: usize, floats: usize, pairs: bool, out: *mut f32);

    /// [`pixels::upsample_add_row`]
    unsafe fn upsample_add_row(
        &self,
        base: *mut f32,
        low: *const f32,
        width: usize,
        floats: usize,
        pairs: bool,
    );

    /// [`pixels::bilinear_row`]
    unsafe fn bilinear_row(&self, row: &pixels::BilinearRow);

    /// [`depthwise::depthwise_row`]
    unsafe fn depthwise_row(&self, forward: &depthwise::Forward);

    /// [`depthwise::depthwise_back_row`]
    unsafe fn depthwise_back_row(&self, back: &depthwise::Back);

    /// [`maps::sums`]
    unsafe fn sums(&self, summed: &maps::Summed);

    /// [`maps::activate`]
    #[expect(clippy::too_many_arguments, reason = "as the function behind it")]
    unsafe fn activate(
        &self,
        x: *mut f32,
        pixels: usize,
        channels: usize,
        normed: usize,
        centre: *const f32,
        scale: *const f32,
        floor: f32,
    );

    /// [`maps::gate`]
    unsafe fn gate(
        &self,
        heat: *const f32,
        point: *const f32,
        stride: usize,
        pixels: usize,
        channels: usize,
        gate: *mut f32,
    );

    /// [`maps::gate_backward`]
    unsafe fn gate_backward(&self, backward: &maps::GateBackward);

    /// [`maps::sigmoid_backward`]
    unsafe fn sigmoid_backward(&self, s: *const f32, count: usize, d: *mut f32);

    /// [`maps::heat_backward`]
    unsafe fn heat_backward(&self, backward: &maps::HeatBackward);

    /// [`maps::row_moments`]
    #[expect(clippy::too_many_arguments, reason = "as the function behind it")]
    unsafe fn row_moments(
        &self,
        f: *const f32,
        stride: usize,
        width: usize,
        channels: usize,
        first: f32,
        step: f32,
        out: *mut f32,
    );

    /// [`gradients::outer`]
    unsafe fn outer(&self, outer: &gradients::Outer);

    /// [`winograd_gradient::gradient`]
    unsafe fn winograd_gradient(&self, gradient: &winograd_gradient::TileGradient);

    /// [`winograd_gradient::weights`]
    unsafe fn winograd_weights(&self, weights: &winograd_gradient::TileWeights);

    /// [`gradients::outer_bf16`]
    unsafe fn outer_bf16(&self, outer: &gradients::Outer);

    /// [`gradients::mask`]
    unsafe fn mask(&self, masked: &gradients::Masked);

    /// [`gradients::norm_backward`]
    unsafe fn norm_backward(&self, norm: &gradients::NormBackward);

    /// [`gradients::add`]
    unsafe fn add(&self, sum: *mut f32, more: *const f32, count: usize, pairs: bool);

    /// [`gradients::max_pool_back_row`]
    unsafe fn max_pool_back_row(
        &self,
        x: *const f32,
        d: *const f32,
        width: usize,
        floats: usize,
        pairs: bool,
        dx: *mut f32,
    );

    /// [`gradients::upsample_back_row`]
    unsafe fn upsample_back_row(
        &self,
        d: *const f32,
        width: usize,
        floats: usize,
        pairs: bool,
        out: *mut f32,
    );
}

/// Hands the kernels of vectors to a macro, each as `name = module::function(arguments)`.
macro_rules! each_kernel {
    ($then:ident! $with:tt) => {
        $then! { $with
            strip = gemm::strip(strip: &gemm::Strip);
            registers = gemm::registers(steps: usize, values: *mut f32);
            floats = pixels::floats(prepared: &pixels::Prepared);
            pairs = pixels::pairs(prepared: &pixels::Prepared);
            pixel_pairs = pixels::pixel_pairs(prepared: &pixels::Prepared);
            bytes = pixels::bytes(prepared: &pixels::Prepared, bytes: pixels::Bytes);
            winograd = winograd::block(block: &winograd::Block);
            max_pool_row = pixels::max_pool_row(x: *const f32, width: usize, floats: usize, pairs: bool,
                out: *mut f32);
            upsample_add_row = pixels::upsample_add_row(base: *mut f32, low: *const f32, width: usize,
                floats: usize, pairs: bool);
            bilinear_row = pixels::bilinear_row(row: &pixels::BilinearRow);
            depthwise_row = depthwise::depthwise_row(forward: &depthwise::Forward);
            depthwise_back_row = depthwise::depthwise_back_row(back: &depthwise::Back);
            sums = maps::sums(summed: &maps::Summed);
            activate = maps::activate(x: *mut f32, pixels: usize, channels: usize, normed: usize,
                centre: *const f32, scale: *const f32, floor: f32);
            gate = maps::gate(heat: *const f32, point: *const f32, stride: usize, pixels: usize, channels: usize,
                gate: *mut f32);
            gate_backward = maps::gate_backward(backward: &maps::GateBackward);
            sigmoid_backward = maps::sigmoid_backward(s: *const f32, count: usize, d: *mut f32);
            heat_backward = maps::heat_backward(backward: &maps::HeatBackward);
            row_moments = maps::row_moments(f: *const f32, stride: usize, width: usize, channels: usize, first: f32,
                step: f32, out: *mut f32);
            outer = gradients::outer(outer: &gradients::Outer);
            winograd_gradient = winograd_gradient::gradient(gradient: &winograd_gradient::TileGradient);
            winograd_weights = winograd_gradient::weights(weights: &winograd_gradient::TileWeights);
            mask = gradients::mask(masked: &gradients::Masked);
            norm_backward = gradients::norm_backward(norm: &gradients::NormBackward);
            add = gradients::add(sum: *mut f32, more: *const f32, count: usize, pairs: bool);
            max_pool_back_row = gradients::max_pool_back_row(x: *const f32, d: *const f32, width: usize, floats: usize,
                pairs: bool, dx: *mut f32);
            upsample_back_row = gradients::upsample_back_row(d: *const f32, width: usize, floats: usize, pairs: bool,
                out: *mut f32);
        }
    };
}

/// As [`each_kernel`], the products of narrow numbers, which tiles do in their own way.
macro_rules! each_narrow_product {
    ($then:ident! $with:tt) => {
        $then! { $with
            strip_bf16 = gemm::strip_bf16(strip: &gemm::Strip);
            direct = gemm::direct(direct: &gemm::Direct);
            strip_int8 = gemm::strip_int8(strip: &gemm::Strip, scale: *const f32);
            outer_bf16 = gradients::outer_bf16(outer: &gradients::Outer);
        }
    };
}

/// Methods that are the kernels over a [`Simd`], each compiled inside a function with the given attributes.
macro_rules! compiled {
    ({ $features:tt $simd:ty } $($name:ident = $module:ident :: $function:ident $arguments:tt;)*) => {
        $(compiled! { # $features $simd; $name = $module :: $function $arguments })*
    };
    (# [$(#[$features:meta])*] $simd:ty; $name:ident = $module:ident :: $function:ident
        ($($argument:ident: $type:ty),*)) => {
        unsafe fn $name(&self, $($argument: $type),*) {
            $(#[$features])*
            unsafe fn compiled($($argument: $type),*) {
                $module::$function::<$simd>($($argument),*)
            }
            compiled($($argument),*)
        }
    };
}

/// Methods that are another's.
#[cfg(target_arch = "x86_64")]
macro_rules! delegated {
    ({ $to:expr } $($name:ident = $module:ident :: $function:ident ($($argument:ident: $type:ty),*);)*) => {
        $(unsafe fn $name(&self, $($argument: $type),*) {
            $to.$name($($argument),*)
        })*
    };
}

/// Implements [`Kernels`] for a [`Simd`].
macro_rules! kernels {
    ($(#[$features:meta])* $simd:ty) => {
        impl Kernels for $simd {
            fn lanes(&self) -> usize {
                <$simd as Simd>::LANES
            }

            fn pixels(&self) -> usize {
                <$simd as Simd>::PIXELS
            }

            fn has_tiles(&self) -> bool {
                false
            }

            each_kernel! { compiled! { [$(#[$features])*] $simd } }
            each_narrow_product! { compiled! { [$(#[$features])*] $simd } }
        }
    };
}

kernels! { portable::Portable }
#[cfg(target_arch = "x86_64")]
kernels! { #[target_feature(enable = "avx2,fma")] avx2::Avx2 }
#[cfg(target_arch = "x86_64")]
kernels! { #[target_feature(enable = "avx512f")] avx512::Avx512<false> }
#[cfg(target_arch = "x86_64")]
kernels! { #[target_feature(enable = "avx512f,avx512bf16,avx512vnni")] avx512::Avx512<true> }
#[cfg(target_arch = "aarch64")]
kernels! { #[target_feature(enable = "neon")] neon::Neon }

#[cfg(target_arch = "x86_64")]
impl Kernels for amx::Amx {
    fn lanes(&self) -> usize {
        avx512::Avx512::<true>.lanes()
    }

    fn pixels(&self) -> usize {
        avx512::Avx512::<true>.pixels()
    }

    fn has_tiles(&self) -> bool {
        true
    }

    each_kernel! { delegated! { avx512::Avx512::<true> } }

    unsafe fn strip_bf16(&self, strip: &gemm::Strip) {
        amx::strip_bf16(strip);
    }

    unsafe fn direct(&self, direct: &gemm::Direct) {
        amx::direct(direct);
    }

    unsafe fn strip_int8(&self, strip: &gemm::Strip, scale: *const f32) {
        amx::strip_int8(strip, scale);
    }

    unsafe fn outer_bf16(&self, outer: &gradients::Outer) {
        amx::outer(outer);
    }
}
