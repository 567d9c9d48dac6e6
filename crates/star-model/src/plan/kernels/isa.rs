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
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512vnni");
        #[cfg(not(target_arch = "x86_64"))]
        let has = false;
        has
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
            Self::Amx if Self::has_bf16() && Amx::is_allowed() => return Ok(&Amx),
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
