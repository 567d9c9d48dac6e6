//! Seeded, named, sorted parameters: what an optimiser, an average or a checkpoint walks over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};

/// Endings of tensors that are state, not parameters: they move with the data, not with a gradient.
const STATISTICS: [&str; 2] = ["running_mean", "running_var"];

/// The variables of a network by name, sorted; new ones are drawn from (seed, name) and so do not depend on the
/// order in which layers are built.
///
/// ```
/// use candle_core::{DType, Device};
/// use star_model::{Parameters, StackedHourglass, StackedHourglassConfig};
///
/// let config = StackedHourglassConfig {
///     stacks: 1, levels: 1, channels: 8, image_size: 32,
///     ..StackedHourglassConfig::reference(2, vec![vec![0, 1]])
/// };
/// let parameters = Parameters::new(7);
/// let _model = StackedHourglass::new(&config, parameters.var_builder(DType::F32, &Device::Cpu))?;
/// let (name, weight) = &parameters.trainable()[0];
/// assert_eq!((name.as_str(), weight.dims()), ("features.0.0.bn1.bias", &[8][..]));
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Parameters {
    seed: u64,
    vars: Arc<Mutex<BTreeMap<String, Var>>>,
}

impl Parameters {
    /// No variables yet; building a network on [`Parameters::var_builder`] draws them from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, vars: Arc::default() }
    }

    /// Starts from given tensors; what a network asks for beyond them is drawn from `seed`.
    ///
    /// # Errors
    /// When a tensor cannot be copied to `device`.
    pub fn from_tensors(
        tensors: &BTreeMap<String, Tensor>,
        dtype: DType,
        device: &Device,
        seed: u64,
    ) -> Result<Self> {
        let parameters = Self::new(seed);
        for (name, tensor) in tensors {
            let var = Var::from_tensor(&tensor.to_device(device)?.to_dtype(dtype)?.force_contiguous()?)?;
            parameters.lock().insert(name.clone(), var);
        }
        Ok(parameters)
    }

    /// Variables that are there already, such as those of a network of one's own; clones share their storage.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn from_variables(variables: Vec<(String, Var)>) -> Result<Self> {
        let parameters = Self::new(0);
        for (name, var) in variables {
            if parameters.lock().insert(name.clone(), var).is_some() {
                bail!("{name}: two variables of this name")
            }
        }
        Ok(parameters)
    }

    /// A builder whose tensors are these variables.
    pub fn var_builder(&self, dtype: DType, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), dtype, device.clone())
    }

    /// The variable `name`, if there is one. Clones share their storage.
    pub fn get(&self, name: &str) -> Option<Var> {
        self.lock().get(name).cloned()
    }

    /// Every variable, sorted by name: parameters and running statistics.
    pub fn all(&self) -> Vec<(String, Var)> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The variables that a gradient moves, sorted by name: all but the running statistics.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        self.all().into_iter().filter(|(name, _)| !is_statistic(name)).collect()
    }

    /// The values of every variable, detached, sharing storage with the variables.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        // A panic elsewhere cannot leave the map half-written: inserts are single calls.
        self.vars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimpleBackend for Parameters {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut vars = self.lock();
        if let Some(var) = vars.get(name) {
            if var.shape() != &shape {
                bail!("{name}: expected {:?}, got {:?}", shape.dims(), var.dims())
            }
            return Ok(var.as_tensor().clone());
        }
        let var = Var::from_tensor(&draw(shape, name, init, self.seed)?.to_dtype(dtype)?.to_device(device)?)?;
        vars.insert(name.to_string(), var.clone());
        Ok(var.as_tensor().clone())
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        match self.get(name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => bail!("{name}: no such parameter"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }
}

/// Whether `name` is that of a running statistic, which no gradient moves.
pub(crate) fn is_statistic(name: &str) -> bool {
    STATISTICS.iter().any(|statistic| name.ends_with(statistic))
}

/// FNV-1a: a stable hash, so that a seed means the same weights on every machine and release.
fn hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn draw(shape: Shape, name: &str, init: Init, seed: u64) -> Result<Tensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ hash(name));
    let count = shape.elem_count();
    let values = match init {
        Init::Const(value) => vec![value; count],
        Init::Uniform { lo, up } => uniform(&mut rng, count, lo, up)?,
        Init::Randn { mean, stdev } => normal(&mut rng, count, mean, stdev),
        // What candle's own layers ask for.
        Init::Kaiming { dist, fan, non_linearity } => {
            let stdev = non_linearity.gain() / (fan.for_shape(&shape) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => normal(&mut rng, count, 0.0, stdev),
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * stdev;
                    uniform(&mut rng, count, -bound, bound)?
                }
            }
        }
    };
    Tensor::from_vec(values, shape, &Device::Cpu)
}

fn uniform(rng: &mut ChaCha8Rng, count: usize, lo: f64, up: f64) -> Result<Vec<f64>> {
    let uniform = Uniform::new_inclusive(lo, up).map_err(candle_core::Error::wrap)?;
    Ok((0..count).map(|_| uniform.sample(rng)).collect())
}

fn normal(rng: &mut ChaCha8Rng, count: usize, mean: f64, stdev: f64) -> Vec<f64> {
    let mut standard = || -> f64 { StandardNormal.sample(rng) };
    (0..count).map(|_| mean + stdev * standard()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw_pair(seed: u64, first: &str, second: &str) -> [Vec<f64>; 2] {
        let parameters = Parameters::new(seed);
        let vb = parameters.var_builder(DType::F64, &Device::Cpu);
        for name in [first, second] {
            vb.get_with_hints(5, name, Init::Uniform { lo: -1.0, up: 1.0 }).unwrap();
        }
        ["a", "b"].map(|name| parameters.get(name).unwrap().to_vec1().unwrap())
    }

    #[test]
    fn weights_depend_on_seed_and_name_and_not_on_the_order_of_layers() {
        assert_eq!(draw_pair(1, "a", "b"), draw_pair(1, "b", "a"));
        let [a, b] = draw_pair(1, "a", "b");
        assert_ne!(a, b);
        assert_ne!(a, draw_pair(2, "a", "b")[0]);
        assert!(a.iter().all(|v| v.abs() <= 1.0));
    }

    #[test]
    fn layers_of_candle_are_drawn_from_the_seed_with_their_own_spread() {
        // fan in 3 * 5 * 5 = 75, gain sqrt 2: a standard deviation of sqrt(2 / 75)
        let parameters = Parameters::new(3);
        let vb = parameters.var_builder(DType::F64, &Device::Cpu);
        candle_nn::conv2d_no_bias(3, 64, 5, Default::default(), vb.pp("conv")).unwrap();
        let weights: Vec<f64> =
            parameters.get("conv.weight").unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let deviation = (weights.iter().map(|w| w * w).sum::<f64>() / weights.len() as f64).sqrt();
        // 4800 draws: within 5 % at six standard errors.
        assert!((deviation / (2.0f64 / 75.0).sqrt() - 1.0).abs() < 0.05, "{deviation}");
    }

    #[test]
    fn given_variables_share_their_storage_and_their_names_are_unique() {
        let var = Var::new(&[1.0f32], &Device::Cpu).unwrap();
        let parameters = Parameters::from_variables(vec![("a".to_string(), var.clone())]).unwrap();
        var.set(&Tensor::new(&[2.0f32], &Device::Cpu).unwrap()).unwrap();
        assert_eq!(parameters.tensors()["a"].to_vec1::<f32>().unwrap(), [2.0]);
        let twice = vec![("a".to_string(), var.clone()), ("a".to_string(), var)];
        assert!(Parameters::from_variables(twice).err().unwrap().to_string().contains("a: two"));
    }

    #[test]
    fn running_statistics_are_not_trained() {
        let parameters = Parameters::new(0);
        let vb = parameters.var_builder(DType::F32, &Device::Cpu);
        for name in ["bn.weight", "bn.running_var", "bn.running_mean"] {
            vb.get(1, name).unwrap();
        }
        assert_eq!(
            parameters.trainable().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["bn.weight"]
        );
        assert_eq!(parameters.all().len(), 3);
    }
}
