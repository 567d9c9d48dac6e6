//! In which order an epoch goes through a data set, and where its random numbers come from.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::LoaderConfig;
use crate::Dataset;

/// The random numbers of one sample in one epoch.
pub(super) fn stream(seed: u64, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch << 32 | (index & 0xffff_ffff));
    rng
}

/// The samples in the order of `epoch`: as they lie, or shuffled.
///
/// Samples that lie in several shards are shuffled by shard, and then within a buffer that runs over the shards: what is read at a
/// time lies in a few of them.
pub(super) fn order(dataset: &impl Dataset, config: &LoaderConfig, epoch: u64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..dataset.len()).collect();
    if !config.shuffle {
        return all;
    }
    let mut rng = stream(config.seed, epoch, u64::from(u32::MAX));
    let mut shards = dataset.shards();
    if shards.len() < 2 || shards.iter().sum::<usize>() != all.len() {
        all.shuffle(&mut rng);
        return all;
    }
    let mut start = 0;
    let mut ranges: Vec<_> = shards
        .drain(..)
        .map(|count| {
            (start, {
                start += count;
                start
            })
        })
        .collect();
    ranges.shuffle(&mut rng);
    let coming = ranges.into_iter().flat_map(|(start, end)| start..end);
    buffered(coming, config.shuffle_buffer, &mut rng)
}

/// Every item is drawn from the `size` that come next.
fn buffered(mut coming: impl Iterator<Item = usize>, size: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut buffer: Vec<usize> = coming.by_ref().take(size).collect();
    let mut order = Vec::new();
    for next in coming {
        let at = rng.random_range(0..buffer.len());
        order.push(std::mem::replace(&mut buffer[at], next));
    }
    buffer.shuffle(rng);
    order.extend(buffer);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffered_order_holds_every_item_once_and_none_before_its_buffer() {
        let order = buffered(0..1000, 50, &mut ChaCha8Rng::seed_from_u64(1));
        assert!(order.iter().enumerate().all(|(place, &item)| item < place + 50));
        assert!(order.windows(2).filter(|pair| pair[1] == pair[0] + 1).count() < 100);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(order, buffered(0..1000, 50, &mut ChaCha8Rng::seed_from_u64(2)));
    }

    #[test]
    fn a_buffer_of_one_is_no_shuffle_and_a_large_one_holds_everything() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(buffered(0..9, 1, &mut rng), (0..9).collect::<Vec<_>>());
        assert_eq!(buffered(0..9, 100, &mut rng).len(), 9);
        assert!(buffered(0..0, 5, &mut rng).is_empty());
    }
}
