//! Where to compute, by name.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use candle_core::Device;
use serde::{Deserialize, Serialize};

/// `cpu`, `cuda`, `cuda:N` or `metal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// A CUDA card by its number.
    Cuda(usize),
    /// Apple's graphics.
    Metal,
}

impl DeviceName {
    /// Opens the device. A CUDA card is opened once in the life of a process and has one stream.
    ///
    /// # Errors
    /// When this build or this machine does not have it.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => {
                bail!("device {self}: this build has no CUDA: build it with --features cuda")
            }
            Self::Metal if !cfg!(feature = "metal") => {
                bail!("device {self}: this build has no Metal: build it with --features metal")
            }
            Self::Cuda(number) => open_cuda(number).with_context(|| format!("device {self}")),
            Self::Metal => Device::new_metal(0).with_context(|| format!("device {self}")),
        }
    }
}

impl DeviceName {
    /// The device of the process that is number `local` on its machine: of several CUDA cards, each has one, counted from the one
    /// named.
    #[must_use]
    pub fn of_rank(self, local: usize) -> Self {
        match self {
            Self::Cuda(first) => Self::Cuda(first + local),
            other => other,
        }
    }
}

/// A card, the same device every time: what runs on it keeps to the order of one stream.
#[cfg(feature = "cuda")]
fn open_cuda(number: usize) -> candle_core::Result<Device> {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    static OPENED: Mutex<BTreeMap<usize, Device>> = Mutex::new(BTreeMap::new());
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = opened.get(&number) {
        return Ok(device.clone());
    }
    let device = star_model::cuda::open(number)?;
    opened.insert(number, device.clone());
    Ok(device)
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(number: usize) -> candle_core::Result<Device> {
    Device::new_cuda(number)
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            None if text == "metal" => Ok(Self::Metal),
            Some(("cuda", number)) if number.parse::<usize>().is_ok() => {
                Ok(Self::Cuda(number.parse().unwrap_or_default()))
            }
            _ => Err(format!("no device `{text}`: expected cpu, cuda, cuda:N or metal")),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl TryFrom<String> for DeviceName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike_and_others_refused() {
        for name in ["cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceName::Cuda(0)));
        assert_eq!(
            (DeviceName::Cuda(1).of_rank(2), DeviceName::Cpu.of_rank(2)),
            (DeviceName::Cuda(3), DeviceName::Cpu)
        );
        for name in ["gpu", "cuda:", "cuda:x", "cpu:1", ""] {
            assert!(name.parse::<DeviceName>().unwrap_err().contains("cuda:N"), "{name}");
        }
    }

    #[test]
    fn a_device_that_the_build_lacks_says_how_to_get_it() {
        if !cfg!(feature = "cuda") {
            let message = DeviceName::Cuda(0).open().unwrap_err().to_string();
            assert!(message.contains("--features cuda"), "{message}");
        }
    }
}
