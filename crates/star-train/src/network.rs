//! The network of a run, with its variables by name.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor, Var};
use star_data::Scheme;
use star_model::checkpoint::{Architecture, Tensors};
use star_model::{LandmarkModel, Parameters, TrainingOptions};
use star_predict::device::DeviceName;

use crate::collective::{Collective, Statistics};
use crate::settings::{Precision, Settings};

const BF16_ON_CPU: &str =
    "precision: bf16 on \"cpu\" is for networks that the run builds; of this one expected \"f32\" or \"f64\"";

/// What a run trains.
pub(crate) enum Source {
    /// A network that is there already, and its variables where it does not name them itself.
    Built { model: Arc<dyn LandmarkModel>, variables: Option<Vec<(String, Var)>> },
    /// One of star-model's networks, which the run builds: on its device, in its precision, from its seed.
    Architecture(Architecture),
}

/// Values that the variables start from.
pub(crate) enum Start<'a> {
    /// Those of a network that is built already, or drawn from the seed.
    Fresh,
    /// Those of other weights, as far as they fit, and what these are called.
    From(String, Tensors),
    /// Those of an earlier part of the run.
    Saved(&'a Tensors),
}

/// A network in training.
pub(crate) struct Network {
    pub(crate) model: Arc<dyn LandmarkModel>,
    /// Parameters and buffers.
    pub(crate) parameters: Parameters,
    /// Those of them that a gradient moves.
    pub(crate) trainable: Vec<(String, Var)>,
    /// `None` where the network is not one of star-model's.
    pub(crate) architecture: Option<Architecture>,
    /// Whether it predicts pointmaps and edgemaps.
    pub(crate) has_aux: bool,
    pub(crate) device: Device,
    /// The type of parameters, maps and losses.
    pub(crate) dtype: DType,
    /// The type of images and activations.
    pub(crate) activations: DType,
}

impl Network {
    /// Builds the network of a run on `scheme`; also what should be said of its weights.
    ///
    /// # Errors
    /// When it cannot be built, has no variables, does not predict the scheme's keypoints, or values do not fit.
    pub(crate) fn new(
        source: Source,
        settings: &Settings,
        scheme: &Scheme,
        start: Start<'_>,
        collective: &Arc<dyn Collective>,
    ) -> Result<(Self, Option<String>)> {
        match source {
            Source::Architecture(architecture) => {
                Self::from_architecture(architecture, settings, scheme, start, collective)
            }
            Source::Built { model, variables } => {
                Self::built(model, variables, settings, scheme, start, collective)
            }
        }
    }

    fn from_architecture(
        architecture: Architecture,
        settings: &Settings,
        scheme: &Scheme,
        start: Start<'_>,
        collective: &Arc<dyn Collective>,
    ) -> Result<(Self, Option<String>)> {
        check_architecture(settings, &architecture)?;
        let keypoints = architecture.keypoints();
        ensure!(
            keypoints == scheme.keypoints,
            "the network predicts {keypoints} keypoints, scheme `{}` has {}",
            scheme.name,
            scheme.keypoints
        );
        let device = settings.device.unwrap_or_default().of_rank(collective.local_rank()).open()?;
        let precision = settings.precision.unwrap_or_default();
        let dtype = precision.dtype();
        let (parameters, note) = match start {
            Start::Fresh => (Parameters::new(settings.seed), None),
            Start::Saved(tensors) => {
                (Parameters::from_tensors(tensors, dtype, &device, settings.seed)?, None)
            }
            Start::From(name, tensors) => {
                let (taken, drawn) = architecture.start_from(tensors).with_context(|| name.clone())?;
                let note = started_from(&name, taken.len(), &drawn);
                (Parameters::from_tensors(&taken, dtype, &device, settings.seed)?, Some(note))
            }
        };
        let process_group = (collective.ranks() > 1).then(|| Arc::new(Statistics(collective.clone())) as _);
        precision.say(&device);
        let bf16 = precision == Precision::Bf16;
        let options = TrainingOptions { process_group, recompute: settings.recompute, bf16 };
        let model = architecture.build_for_training(parameters.var_builder(dtype, &device), &options)?;
        let network = Self {
            model: Arc::from(model),
            trainable: parameters.trainable(),
            parameters,
            has_aux: architecture.edges().is_some(),
            architecture: Some(architecture),
            activations: precision.activations(&device),
            device,
            dtype,
        };
        Ok((network, note))
    }

    fn built(
        model: Arc<dyn LandmarkModel>,
        variables: Option<Vec<(String, Var)>>,
        settings: &Settings,
        scheme: &Scheme,
        start: Start<'_>,
        collective: &Arc<dyn Collective>,
    ) -> Result<(Self, Option<String>)> {
        let parameters = Parameters::from_variables(variables.unwrap_or_else(|| model.variables()))?;
        let all = parameters.all();
        let Some((first, var)) = all.first() else {
            bail!(
                "the network names no variables, so there is nothing to train: implement LandmarkModel::variables for it, or \
                 give them to Trainer::variables (a candle_nn::VarMap holds them in `data()`)"
            )
        };
        let (dtype, device) = (var.dtype(), var.device().clone());
        for (name, var) in &all {
            ensure!(
                matches!(var.dtype(), DType::F32 | DType::F64) && var.dtype() == dtype,
                "variable {name}: expected f32 or f64, the same for all, got {:?} beside {dtype:?} of {first}",
                var.dtype()
            );
            ensure!(var.device().same_device(&device), "variable {name}: on another device than {first}");
        }
        let activations = check_built(settings, dtype, &device)?;
        let note = match start {
            Start::Saved(tensors) => {
                set_all(&parameters, tensors)?;
                None
            }
            Start::From(name, tensors) => Some(set_fitting(&parameters, &name, &tensors)?),
            Start::Fresh => None,
        };
        // Every process has drawn its own weights.
        if let Some(tensors) =
            collective.tensors_from_first((collective.ranks() > 1).then(|| parameters.tensors()))?
        {
            set_all(&parameters, &tensors)?;
        }
        let has_aux = probe(model.as_ref(), scheme, activations, &device)?;
        let trainable = parameters.trainable();
        Ok((
            Self { model, parameters, trainable, architecture: None, has_aux, device, dtype, activations },
            note,
        ))
    }
}

/// Runs the network on one black image and checks its maps; whether it predicts pointmaps and edgemaps.
fn probe(model: &dyn LandmarkModel, scheme: &Scheme, dtype: DType, device: &Device) -> Result<bool> {
    let input = model.input();
    let image = Tensor::zeros((1, 3, input.image_size, input.image_size), dtype, device)?;
    let stages = model.forward_t(&image, false).context("the network on one image")?;
    ensure!(!stages.is_empty(), "the network returned no stage");
    let (k, e, m) = (scheme.keypoints, scheme.edges.len(), input.map_size);
    for stage in &stages {
        let (_, keypoints, _, _) = stage.heatmaps.dims4().context("heatmaps")?;
        ensure!(
            keypoints == k,
            "the network predicts {keypoints} keypoints, scheme `{}` has {k}",
            scheme.name
        );
        if let Some(aux) = &stage.aux {
            for (name, maps, count) in [("pointmaps", &aux.pointmaps, k), ("edgemaps", &aux.edgemaps, e)] {
                let expected = [1, count, m, m];
                ensure!(maps.dims() == expected, "{name}: expected {expected:?}, got {:?}", maps.dims());
            }
        }
    }
    Ok(stages.iter().any(|stage| stage.aux.is_some()))
}

/// Checks settings against a network that the run is to build.
pub(crate) fn check_architecture(settings: &Settings, architecture: &Architecture) -> Result<()> {
    architecture.validate()?;
    let on_cpu = settings.device.unwrap_or_default() == DeviceName::Cpu;
    let precision = settings.precision.unwrap_or_default();
    ensure!(
        precision != Precision::Tf32 || matches!(settings.device, Some(DeviceName::Cuda(_))),
        "precision \"tf32\": expected device \"cuda\", whose products it is about"
    );
    ensure!(
        !settings.recompute || (precision != Precision::F64 && on_cpu),
        "recompute: expected device \"cpu\" and precision \"f32\" or \"bf16\", which it is written for"
    );
    Ok(())
}

/// Checks settings against a network that is built already; the type of its images.
fn check_built(settings: &Settings, dtype: DType, device: &Device) -> Result<DType> {
    ensure!(!settings.recompute, "recompute: only networks that the run builds can be told to");
    if let Some(name) = settings.device {
        ensure!(
            name.open()?.same_device(device),
            "device: expected {name}, the network's variables are elsewhere: build it there"
        );
    }
    let Some(precision) = settings.precision else { return Ok(dtype) };
    ensure!(precision != Precision::Bf16 || !device.is_cpu(), BF16_ON_CPU);
    ensure!(
        precision.dtype() == dtype,
        "precision: expected variables in {:?}, the network's are in {dtype:?}: build it so",
        precision.dtype()
    );
    precision.say(device);
    Ok(precision.activations(device))
}

/// Sets every variable.
pub(crate) fn set_all(parameters: &Parameters, tensors: &Tensors) -> Result<()> {
    for (name, var) in parameters.all() {
        let tensor = tensors.get(&name).filter(|tensor| tensor.dims() == var.dims());
        let tensor = tensor.with_context(|| {
            let got = tensors.get(&name).map(|tensor| tensor.dims());
            format!("{name}: expected a tensor {:?}, got {got:?}", var.dims())
        })?;
        var.set(&tensor.to_dtype(var.dtype())?.to_device(var.device())?)?;
    }
    Ok(())
}

/// Sets the variables that `tensors` has values for, and says which keep theirs.
fn set_fitting(parameters: &Parameters, from: &str, tensors: &Tensors) -> Result<String> {
    let (mut taken, mut kept) = (0, Vec::new());
    for (name, var) in parameters.all() {
        match tensors.get(&name).filter(|tensor| tensor.dims() == var.dims()) {
            Some(tensor) => {
                var.set(&tensor.to_dtype(var.dtype())?.to_device(var.device())?)?;
                taken += 1;
            }
            None => kept.push(name),
        }
    }
    ensure!(taken > 0, "{from}: no tensor of these weights fits a variable of the network by name and shape");
    Ok(started_from(from, taken, &kept))
}

fn started_from(from: &str, taken: usize, drawn: &[String]) -> String {
    const SHOWN: usize = 4;
    if drawn.is_empty() {
        return format!("{from}: {taken} tensors taken");
    }
    let more = if drawn.len() > SHOWN { ", ..." } else { "" };
    let shown = drawn[..drawn.len().min(SHOWN)].join(", ");
    format!("{from}: {taken} tensors taken; {} drawn anew: {shown}{more}", drawn.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_anew_is_named_and_a_long_list_is_cut() {
        let names = |count: usize| (0..count).map(|i| format!("w{i}")).collect::<Vec<_>>();
        assert_eq!(started_from("w", 7, &[]), "w: 7 tensors taken");
        assert_eq!(started_from("w", 7, &names(2)), "w: 7 tensors taken; 2 drawn anew: w0, w1");
        assert_eq!(started_from("w", 7, &names(9)), "w: 7 tensors taken; 9 drawn anew: w0, w1, w2, w3, ...");
    }
}
