//! What rank 0 has read, on every rank: states and weights need no folder that all machines see.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};

use super::Collective;
use crate::state::{Position, State};

/// Parts of a state by the beginning of their tensors' names.
const PARTS: [&str; 3] = ["model", "ema", "optimizer"];

/// Bytes sent at a time: engines count in 32 bits.
const PIECE: usize = 1 << 28;

impl dyn Collective {
    /// Rank 0's `bytes`, whatever the others give.
    fn bytes_from_first(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let mut length = (bytes.len() as u64).to_le_bytes();
        self.broadcast(&mut length)?;
        let length = u64::from_le_bytes(length) as usize;
        let mut bytes = if self.leads() { bytes } else { vec![0; length] };
        bytes.chunks_mut(PIECE).try_for_each(|piece| self.broadcast(piece))?;
        Ok(bytes)
    }

    /// Rank 0's tensors, on the CPU; `None` where it has none.
    pub(crate) fn tensors_from_first(
        &self,
        tensors: Option<BTreeMap<String, Tensor>>,
    ) -> Result<Option<BTreeMap<String, Tensor>>> {
        if self.ranks() == 1 {
            return Ok(tensors);
        }
        let bytes = match &tensors {
            Some(tensors) if self.leads() => safetensors::serialize(on_the_cpu(tensors)?, None)?,
            _ => Vec::new(),
        };
        let bytes = self.bytes_from_first(bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?;
        Ok(Some(tensors.into_iter().collect()))
    }

    /// Rank 0's state; `None` where it has none.
    pub(crate) fn state_from_first(&self, state: Option<State>) -> Result<Option<State>> {
        if self.ranks() == 1 {
            return Ok(state);
        }
        let position = match &state {
            Some(state) if self.leads() => serde_json::to_vec(&state.position)?,
            _ => Vec::new(),
        };
        let position = self.bytes_from_first(position)?;
        let joined = state.map(|state| {
            let parts = PARTS.into_iter().zip([state.model, state.ema, state.optimizer]);
            parts
                .flat_map(|(part, tensors)| {
                    tensors.into_iter().map(move |(name, t)| (format!("{part}/{name}"), t))
                })
                .collect()
        });
        let Some(joined) = self.tensors_from_first(joined)? else { return Ok(None) };
        let position: Position = serde_json::from_slice(&position).context("the state of rank 0")?;
        let [model, ema, optimizer] = PARTS.map(|part| {
            let own = joined.iter().filter_map(|(name, tensor)| {
                let name = name.strip_prefix(part)?.strip_prefix('/')?;
                Some((name.to_string(), tensor.clone()))
            });
            own.collect()
        });
        Ok(Some(State { position, model, ema, optimizer }))
    }
}

fn on_the_cpu(tensors: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), tensor.to_device(&Device::Cpu)?.contiguous()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::threads;
    use super::*;

    #[test]
    fn every_rank_has_the_state_of_the_first_to_the_bit() {
        let tensor = |value: f32| Tensor::new(&[value, -0.0, f32::MIN_POSITIVE], &Device::Cpu).unwrap();
        let one = |value: f32| BTreeMap::from([("w.weight".to_string(), tensor(value))]);
        let states: Vec<State> = std::thread::scope(|scope| {
            let rank = |collective: std::sync::Arc<dyn Collective>| {
                let state = State {
                    position: Position { step: 7, ..Default::default() },
                    model: one(1.0),
                    ema: one(2.0),
                    optimizer: BTreeMap::new(),
                };
                let state = (collective.rank() == 0).then_some(state);
                move || collective.state_from_first(state).unwrap().unwrap()
            };
            let running: Vec<_> = threads(3).into_iter().map(|c| scope.spawn(rank(c))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for state in &states {
            assert_eq!(state.position.step, 7);
            let bits =
                |t: &Tensor| t.to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&state.model["w.weight"]), bits(&tensor(1.0)));
            assert_eq!(bits(&state.ema["w.weight"]), bits(&tensor(2.0)));
            assert!(state.optimizer.is_empty());
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        std::thread::scope(|scope| {
            for collective in threads(2) {
                scope.spawn(move || assert!(collective.state_from_first(None).unwrap().is_none()));
            }
        });
    }
}
