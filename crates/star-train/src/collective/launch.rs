//! Which engine connects this process to others, by name and by what the launcher left in the environment.

use std::sync::Arc;

use anyhow::Result;

use super::{Alone, Collective};

/// Engines between the ranks of a training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// MPI where mpirun or srun started several processes, none otherwise.
    #[default]
    Auto,
    /// This process alone, whoever started it.
    None,
    /// MPI, over the host's memory (needs a build with the feature `mpi`).
    Mpi,
    /// NCCL for gradients on CUDA cards (needs a build with the feature `nccl`); for the rest MPI, which several processes need a build
    /// with the feature `mpi` for.
    Nccl,
}

/// Where MPI launchers say how many processes they started: Open MPI, MPICH and Intel MPI, MVAPICH.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];

/// Connects to the other ranks.
///
/// # Errors
/// When this build lacks the engine, or several processes were started that would not know of each other.
pub fn open(engine: Engine) -> Result<Arc<dyn Collective>> {
    let started = started(|name| std::env::var(name).ok());
    match engine {
        Engine::None => Ok(Arc::new(Alone)),
        Engine::Auto if started == 1 => Ok(Arc::new(Alone)),
        Engine::Auto | Engine::Mpi => mpi(started),
        Engine::Nccl => nccl(started),
    }
}

/// What `srun --mpi=pmix` leaves of its own, which says a rank and no size, and where Slurm says the size.
const PMIX: [&str; 2] = ["PMIX_RANK", "SLURM_STEP_NUM_TASKS"];

/// How many processes an MPI launcher says it started, 1 without one.
fn started(variable: impl Fn(&str) -> Option<String>) -> usize {
    let [rank, size] = PMIX;
    let slurm = variable(rank).and_then(|_| variable(size)?.parse().ok());
    SIZES.iter().find_map(|name| variable(name)?.parse().ok()).or(slurm).unwrap_or(1)
}

#[cfg(feature = "mpi")]
fn mpi(_: usize) -> Result<Arc<dyn Collective>> {
    Ok(Arc::new(super::Mpi::start()?))
}

#[cfg(not(feature = "mpi"))]
fn mpi(started: usize) -> Result<Arc<dyn Collective>> {
    anyhow::bail!(
        "started as one of {started} processes, and this program was built without MPI: build it with --features mpi, \
         or train in this process alone with --engine none"
    )
}

#[cfg(all(feature = "nccl", feature = "mpi"))]
fn nccl(_: usize) -> Result<Arc<dyn Collective>> {
    Ok(Arc::new(super::Nccl::over(super::Mpi::start()?)))
}

#[cfg(all(feature = "nccl", not(feature = "mpi")))]
fn nccl(started: usize) -> Result<Arc<dyn Collective>> {
    anyhow::ensure!(
        started == 1,
        "engine nccl: started as one of {started} processes, which meet by MPI, and this program was built without it: build it with \
         --features nccl,mpi, or train in this process alone with --engine none"
    );
    Ok(Arc::new(super::Nccl::over(Alone)))
}

#[cfg(not(feature = "nccl"))]
fn nccl(_: usize) -> Result<Arc<dyn Collective>> {
    anyhow::bail!(
        "engine nccl: this program was built without it: build it with --features nccl where CUDA is, and for several processes with \
         --features nccl,mpi"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_is_known_by_its_variables() {
        let variable = |name: &str| match name {
            "PMI_SIZE" => Some("8".to_string()),
            _ => None,
        };
        assert_eq!(started(variable), 8);
        assert_eq!(started(|_| None), 1);
        // A Slurm job is no MPI program for it.
        let slurm = |name: &str| (name == "SLURM_STEP_NUM_TASKS").then(|| "4".to_string());
        assert_eq!(started(slurm), 1);
        assert_eq!(started(|name| slurm(name).or_else(|| (name == "PMIX_RANK").then(|| "0".to_string()))), 4);
        assert_eq!(started(|_| Some("many".to_string())), 1);
    }

    #[test]
    fn an_engine_that_the_build_lacks_says_how_to_get_it() {
        if !cfg!(feature = "nccl") {
            let message = open(Engine::Nccl).err().unwrap().to_string();
            assert!(message.contains("--features nccl"), "{message}");
        }
        if !cfg!(feature = "mpi") {
            let message = open(Engine::Mpi).err().unwrap().to_string();
            assert!(message.contains("--features mpi") && message.contains("--engine none"), "{message}");
        }
    }
}
