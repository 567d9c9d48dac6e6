//! What a run leaves on disk: folders of weights, and the state to resume from.

use anyhow::{Context, Result};
use candle_core::DType;
use serde::Serialize;
use star_data::atomic;
use star_model::checkpoint::{self, Folder, FolderConfig, Provenance, Tensors, WEIGHTS_FILE};
use star_model::{CompileOptions, InputSpec};
use star_predict::weights::WRITTEN_BY;
use star_predict::{Predictor, files};

use super::Run;
use crate::network;
use crate::state::State;

/// Description of a network that is not one of star-model's, in a folder of weights.
const INPUT_FILE: &str = "input.json";

/// Which weights of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The weights themselves.
    Net,
    /// Their moving average.
    Ema,
}

/// The contents of `input.json`.
#[derive(Serialize)]
struct Description<'a> {
    scheme: &'a str,
    input: &'a InputSpec,
    provenance: Provenance,
}

impl Run<'_> {
    fn weights(&self, which: Which) -> Tensors {
        match which {
            Which::Net => self.network.parameters.tensors(),
            Which::Ema => self.ema.tensors().clone(),
        }
    }

    /// Calls `work` with a predictor on some weights.
    pub(super) fn with_predictor<R>(
        &self,
        which: Which,
        work: impl FnOnce(&Predictor) -> Result<R>,
    ) -> Result<R> {
        if let Some(predictor) = self.architecture_predictor(which)? {
            return work(&predictor);
        }
        let network = &self.network;
        let predictor = Predictor::new(network.model.clone(), network.activations, &network.device);
        if which == Which::Net {
            return work(&predictor);
        }
        // The network computes with its variables: these are lent to the average meanwhile.
        let copy =
            |(name, tensor): (String, candle_core::Tensor)| -> Result<_> { Ok((name, tensor.copy()?)) };
        let own: Tensors = network.parameters.tensors().into_iter().map(copy).collect::<Result<_>>()?;
        network::set_all(&network.parameters, self.ema.tensors())?;
        let result = work(&predictor);
        network::set_all(&network.parameters, &own)?;
        result
    }

    /// One of star-model's networks on these weights: compiled on a CPU in `f32`, layer by layer elsewhere.
    fn architecture_predictor(&self, which: Which) -> Result<Option<Predictor>> {
        let Some(architecture) = &self.network.architecture else { return Ok(None) };
        let (dtype, device) = (self.network.dtype, &self.network.device);
        if dtype == DType::F32 {
            let folder = Folder::new(self.folder_config(architecture.clone(), which)?, self.weights(which))?;
            return Ok(Some(Predictor::from_folder(&folder, device, &CompileOptions::default())?));
        }
        let vb =
            candle_nn::VarBuilder::from_tensors(self.weights(which).into_iter().collect(), dtype, device);
        Ok(Some(Predictor::new(architecture.build(vb)?, dtype, device)))
    }

    fn provenance(&self, which: Which) -> Provenance {
        Provenance {
            source: format!("trained: epoch {}, seed {}", self.position.epoch + 1, self.settings.seed),
            which: match which {
                Which::Net => "net".to_string(),
                Which::Ema => "net_ema".to_string(),
            },
            written_by: WRITTEN_BY.to_string(),
        }
    }

    fn folder_config(&self, architecture: checkpoint::Architecture, which: Which) -> Result<FolderConfig> {
        let keypoint_scheme = Some(serde_json::to_value(&self.scheme)?);
        let config = FolderConfig::new(architecture, &self.scheme.name, self.provenance(which));
        Ok(FolderConfig { keypoint_scheme, ..config })
    }

    /// Saves weights into the folder `name` of the run's.
    pub(super) fn save_weights(&self, name: &str, which: Which) -> Result<()> {
        let dir = self.out.join(name);
        let save = || -> Result<()> {
            if let Some(architecture) = &self.network.architecture {
                let config = self.folder_config(architecture.clone(), which)?;
                return Ok(Folder::new(config, self.weights(which))?.save(&dir)?);
            }
            files::make_dir(&dir)?;
            checkpoint::save_safetensors(&self.weights(which), &dir.join(WEIGHTS_FILE))?;
            let description = Description {
                scheme: &self.scheme.name,
                input: self.network.model.input(),
                provenance: self.provenance(which),
            };
            let text = serde_json::to_string_pretty(&description)?;
            Ok(atomic::write(&dir.join(INPUT_FILE), text.as_bytes())?)
        };
        save().with_context(|| format!("saving {}", dir.display()))
    }

    /// Saves the state on rank 0; an error there is one on all ranks, which must all be here.
    pub(super) fn save_state(&mut self) -> Result<()> {
        let saved = if self.collective.leads() { self.write_state() } else { Ok(()) };
        self.collective.agree(saved)
    }

    fn write_state(&mut self) -> Result<()> {
        if let Some(log) = &mut self.log {
            log.flush()?;
        }
        if let Some(events) = &mut self.events {
            events.flush()?;
        }
        State {
            position: self.position.clone(),
            model: self.network.parameters.tensors(),
            ema: self.ema.tensors().clone(),
            optimizer: self.optimizer.state(),
        }
        .save(self.out)
    }
}
