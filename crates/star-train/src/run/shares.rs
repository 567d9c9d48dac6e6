//! How much of a batch's loss falls to each rank.

use anyhow::Result;
use star_data::loader::Batch;

use crate::collective::Collective;
use crate::objective::Share;

/// This rank's share of each batch; `None` for a batch of which some rank has no sample that could be read, and which all pass over:
/// batch norms need every rank.
pub(super) fn shares(collective: &dyn Collective, group: &[Batch]) -> Result<Vec<Option<Share>>> {
    if collective.ranks() == 1 {
        return Ok(vec![Some(Share::WHOLE); group.len()]);
    }
    let mass = |batch: &Batch| batch.weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
    let own: Vec<[f64; 3]> = group
        .iter()
        .map(|batch| [mass(batch), batch.batch as f64, f64::from(u8::from(batch.batch == 0))])
        .collect();
    let mut all = own.concat();
    collective.all_reduce(&mut all)?;
    let share = |([mass, samples, _], all): (&[f64; 3], &[f64])| {
        // Where no landmark has a weight the loss is 0, whatever its share.
        let landmarks = if all[0] > 0.0 { mass / all[0] } else { 1.0 };
        (all[2] == 0.0).then(|| Share { landmarks, maps: samples / all[1] })
    };
    Ok(own.iter().zip(all.chunks_exact(3)).map(share).collect())
}
