//! Random streams: what is drawn follows from seed and index alone.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a random stream is for: streams of one face never meet.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Figure,
    Paint,
    Label,
    /// Of a whole set: what its annotators do in every image. No image has so high an index.
    Habit,
}

/// One of the random streams of an image.
pub(super) fn stream(seed: u64, index: usize, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(match purpose {
        Purpose::Habit => u64::MAX - index as u64,
        _ => 4 * index as u64 + purpose as u64,
    });
    rng
}
