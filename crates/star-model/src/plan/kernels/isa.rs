//! Which instruction sets there are and which this CPU has: the only place of this crate that asks it.

use std::sync::OnceLock;

use candle_core::{Result, bail};

use super::Kernels;
#[cfg(target_arch = "x86_64")]
use super::{amx::Amx, avx512::Avx512};

/// An instruction set that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// No special instructions: any CPU.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512F.
    Avx512,
    /// x86-64 with AVX-512 and AMX, which Linux has to allow: products in bf16 and of bytes by registers of tiles.
    Amx,
    /// 64-bit ARM.
    Neon,
}

impl Isa {
    /// Every instruction set, slowest first.
    pub const ALL: [Self; 5] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512, Self::Amx];

    /// Whether this CPU has it.
    pub fn is_available(self) -> bool {
        self.kernels().is_ok()
    }

    /// The fastest one that this CPU has.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
        })
    }

    /// A short name, such as `avx2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
            Self::Neon => "neon",
        }
    }

    /// Whether this CPU has instructions for products in bf16 and of bytes that the kernels use (AVX512-BF16 and VNNI).
    pub fn has_bf16() -> bool {
        #[cfg(target_arch = "x86_64")]
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512vnni");
        #[cfg(not(target_arch = "x86_64"))]
        let has = false;
        has
    }

    /// Whether products in bf16 are faster with it than in `f32` on this CPU. By AVX512-BF16 they are on AMD's (Zen 5: 0.56 of the time) and are
    /// not on Intel's (Emerald Rapids: 1.5 of it), where it takes [`Isa::Amx`]; other CPUs of either were not measured.
    pub fn gains_by_bf16(self) -> bool {
        match self {
            Self::Amx => self.is_available(),
            Self::Avx512 => Self::has_bf16() && !is_intel(),
            _ => false,
        }
    }

    /// The kernels compiled for it.
    pub(crate) fn kernels(self) -> Result<&'static dyn Kernels> {
        match self {
            Self::Portable => return Ok(&super::portable::Portable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => {
                return Ok(&super::avx2::Avx2);
            }
            #[cfg(target_arch = "x86_64")]
            Self::Amx if Self::has_bf16() && has_tiles() => return Ok(&Amx),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if Self::has_bf16() => return Ok(&Avx512::<true>),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if is_x86_feature_detected!("avx512f") => {
                return Ok(&Avx512::<false>);
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon if std::arch::is_aarch64_feature_detected!("neon") => return Ok(&super::neon::Neon),
            _ => {}
        }
        bail!("instruction set {}: this CPU does not have it", self.name())
    }
}

/// Whether Intel has made this CPU.
fn is_intel() -> bool {
    #[cfg(target_arch = "x86_64")]
    let intel = std::arch::x86_64::__cpuid(0).ebx == u32::from_le_bytes(*b"Genu");
    #[cfg(not(target_arch = "x86_64"))]
    let intel = false;
    intel
}

/// Whether this CPU has tiles with products in bf16 and of bytes, and the kernel lets this process use them.
#[cfg(target_arch = "x86_64")]
fn has_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        // Intel's manual, volume 2A, CPUID leaf 7: bits 22, 24 and 25 are AMX-BF16, AMX-TILE and AMX-INT8.
        const AMX: u32 = 1 << 22 | 1 << 24 | 1 << 25;
        __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & AMX == AMX && ask_for_tiles()
    })
}

/// Asks Linux for the tiles' place in the state of this process's threads, which it does not give unasked.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn ask_for_tiles() -> bool {
    // From the kernel's arch/x86/include/uapi/asm/prctl.h, and the number of the tiles' data in the extended state.
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call reads no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// Whether other systems allow tiles is not known.
#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn ask_for_tiles() -> bool {
    false
}
