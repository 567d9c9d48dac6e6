//! Where golden numbers are compared.

use candle_core::Device;

/// The CPU, and a CUDA card where this build and this machine have one.
pub(crate) fn devices() -> Vec<Device> {
    #[cfg_attr(not(feature = "cuda"), expect(unused_mut, reason = "there is no card to add"))]
    let mut devices = vec![Device::Cpu];
    #[cfg(feature = "cuda")]
    match star_model::cuda::open(0) {
        Ok(card) => devices.push(card),
        Err(error) => println!("skipped on a card: {error}"),
    }
    devices
}
