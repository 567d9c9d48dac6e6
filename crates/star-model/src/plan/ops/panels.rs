//! Weights in the order in which the kernels read them, packed once.

use super::super::kernels::pixels::pair;
use super::super::kernels::winograd::POSITIONS;
use super::super::memory::{Buffer, aligned};
use super::shared::part;

/// Weights and bias of one convolution, in panels of two registers of output channels.
pub(crate) struct Panels {
    values: Buffer,
    bias: Buffer,
    /// What makes floats of sums of bytes, one value an output channel.
    scale: Option<Buffer>,
    /// Length of the inner loop, of each position.
    pub(crate) depth: usize,
    /// Output channels, padded with zeros to a multiple of the lanes.
    pub(crate) channels: usize,
    /// 1, or the 36 positions of a Winograd tile.
    positions: usize,
    lanes: usize,
}

impl Panels {
    /// Packs a matrix `[outputs, depth]`, row-major, with one bias an output.
    pub(crate) fn pack(weights: &[f32], bias: &[f32], depth: usize, lanes: usize) -> Self {
        let rows: Vec<&[f32]> = weights.chunks_exact(depth.max(1)).collect();
        Self::fill(bias, depth, 1, lanes, |panel, first, width| {
            for (k, line) in panel.chunks_exact_mut(width).enumerate() {
                for (value, row) in line.iter_mut().zip(&rows[first.min(rows.len())..]) {
                    *value = row[k];
                }
            }
        })
    }

    /// Transforms and packs 3x3 weights `[outputs, inputs, 3, 3]` for Winograd's F(4x4, 3x3), with `bf16` in pairs; `padded` is `inputs`
    /// padded to an even number.
    pub(crate) fn winograd(
        weights: &[f32],
        bias: &[f32],
        inputs: usize,
        padded: usize,
        lanes: usize,
        bf16: bool,
    ) -> Self {
        let rows: Vec<&[f32]> = weights.chunks_exact(9 * inputs.max(1)).collect();
        let each = if bf16 { 2 } else { 1 };
        let depth = padded / each;
        Self::fill(bias, depth, POSITIONS, lanes, |panel, first, width| {
            for (n, row) in rows[first.min(rows.len())..].iter().take(width).enumerate() {
                for (k, taps) in row.chunks(9 * each).enumerate() {
                    let (one, other) = taps.split_at(9);
                    let one = transform(one);
                    let other = if other.is_empty() { [0.0; POSITIONS] } else { transform(other) };
                    for (position, (one, other)) in one.into_iter().zip(other).enumerate() {
                        let value = if bf16 { pair(one, other) } else { one };
                        panel[(position * depth + k) * width + n] = value;
                    }
                }
            }
        })
    }

    /// Packs the matrix whose value for an output and a place `k` of the inner loop is `value(output, k)`.
    pub(crate) fn gathered(
        bias: &[f32],
        depth: usize,
        lanes: usize,
        value: impl Fn(usize, usize) -> f32 + Sync,
    ) -> Self {
        let outputs = bias.len();
        Self::fill(bias, depth, 1, lanes, |panel, first, width| {
            for (k, line) in panel.chunks_exact_mut(width).enumerate() {
                for (n, to) in line.iter_mut().take(outputs.saturating_sub(first)).enumerate() {
                    *to = value(first + n, k);
                }
            }
        })
    }

    /// Packs `weight(output, input)` of inputs side by side in pairs for products in bf16: for each, how many there are and how many pairs
    /// they take up. An odd one is paired with 0, and what is left of the pairs is 0.
    pub(crate) fn pairs(
        bias: &[f32],
        inputs: &[[usize; 2]],
        lanes: usize,
        weight: impl Fn(usize, usize) -> f32 + Sync,
    ) -> Self {
        let mut places = Vec::new();
        let mut first = 0;
        for &[len, pairs] in inputs {
            places.extend((0..pairs).map(|i| (first + 2 * i, len.saturating_sub(2 * i))));
            first += len;
        }
        Self::gathered(bias, places.len(), lanes, |output, k| {
            let (input, left) = places[k];
            let at = |i: usize| if i < left { weight(output, input + i) } else { 0.0 };
            pair(at(0), at(1))
        })
    }

    /// [`Panels::winograd`] for weights that are used once: `tap(output, input, tap)` of `inputs`, an even number with `bf16`.
    pub(crate) fn winograd_of(
        bias: &[f32],
        inputs: usize,
        lanes: usize,
        bf16: bool,
        tap: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        assert!(!bf16 || inputs.is_multiple_of(2), "winograd: pairs of an odd number of inputs");
        let depth = if bf16 { inputs / 2 } else { inputs };
        let values = Buffer::brief(POSITIONS * depth * bias.len().next_multiple_of(lanes));
        Self::fill_in(values, bias, depth, POSITIONS, lanes, |panel, first, width| {
            // Outputs side by side, so that the transform is done on registers full of them.
            let transformed = |input: usize| {
                let mut taps = [[0.0; WIDEST]; 9];
                for (t, line) in taps.iter_mut().enumerate() {
                    line.iter_mut()
                        .take(width)
                        .enumerate()
                        .for_each(|(n, to)| *to = tap(first + n, input, t));
                }
                transform_wide(&taps)
            };
            for k in 0..depth {
                let mut lines = if bf16 { transformed(2 * k) } else { transformed(k) };
                if bf16 {
                    let others = transformed(2 * k + 1);
                    let both = lines.as_flattened_mut().iter_mut().zip(others.as_flattened());
                    both.for_each(|(one, other)| *one = pair(*one, *other));
                }
                for (position, line) in lines.iter().enumerate() {
                    panel[(position * depth + k) * width..][..width].copy_from_slice(&line[..width]);
                }
            }
        })
    }

    /// With what makes floats of an output's sums of bytes.
    pub(crate) fn scaled(mut self, scale: &[f32]) -> Self {
        let mut padded = scale.to_vec();
        padded.resize(self.channels, 0.0);
        self.scale = Some(aligned(&padded));
        self
    }

    /// Calls `pack` with each panel `[positions, depth, width]`, its first output and its width.
    fn fill(
        bias: &[f32],
        depth: usize,
        positions: usize,
        lanes: usize,
        pack: impl Fn(&mut [f32], usize, usize) + Sync,
    ) -> Self {
        Self::fill_in(Buffer::default(), bias, depth, positions, lanes, pack)
    }

    fn fill_in(
        mut values: Buffer,
        bias: &[f32],
        depth: usize,
        positions: usize,
        lanes: usize,
        pack: impl Fn(&mut [f32], usize, usize) + Sync,
    ) -> Self {
        use rayon::prelude::*;
        let channels = bias.len().next_multiple_of(lanes);
        let mut padded = bias.to_vec();
        padded.resize(channels, 0.0);
        let width = 2 * lanes;
        values
            .take(positions * depth * channels)
            .par_chunks_mut((positions * depth * width).max(1))
            .enumerate()
            .for_each(|(p, panel)| pack(panel, p * width, width.min(channels - p * width)));
        Self { values, bias: aligned(&padded), scale: None, depth, channels, positions, lanes }
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        self.channels.div_ceil(2 * self.lanes)
    }

    /// First output channel of panel `panel`, which may be one beyond the last.
    pub(crate) fn first(&self, panel: usize) -> usize {
        (panel * 2 * self.lanes).min(self.channels)
    }

    /// Weights and bias of `panels`.
    pub(crate) fn pointers(&self, panels: &std::ops::Range<usize>) -> (*const f32, *const f32) {
        let (from, to) = (self.first(panels.start), self.first(panels.end));
        let each = self.positions * self.depth;
        let values = self.values.get(each * self.channels);
        (part(values, each * from, each * (to - from)), part(self.bias.get(self.channels), from, to - from))
    }

    /// What makes floats of the sums of bytes of `panels`, where they have it.
    pub(crate) fn scale(&self, panels: &std::ops::Range<usize>) -> Option<*const f32> {
        let (from, to) = (self.first(panels.start), self.first(panels.end));
        self.scale.as_ref().map(|scale| part(scale.get(self.channels), from, to - from))
    }

    /// Whether its weights are bytes.
    pub(crate) fn is_scaled(&self) -> bool {
        self.scale.is_some()
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.values.bytes() + self.bias.bytes() + self.scale.as_ref().map_or(0, Buffer::bytes)
    }
}

/// Outputs of the widest panel.
const WIDEST: usize = 32;

/// [`transform`] of [`WIDEST`] outputs at once.
fn transform_wide(taps: &[[f32; WIDEST]; 9]) -> [[f32; WIDEST]; POSITIONS] {
    /// `G` times three rows.
    fn line(g: [&[f32; WIDEST]; 3]) -> [[f32; WIDEST]; 6] {
        let mut out = [[0.0; WIDEST]; 6];
        for n in 0..WIDEST {
            let (a, b, c) = (g[0][n], g[1][n], g[2][n]);
            let (even, odd) = (a + c, b);
            let (wide, twice) = (a + 4.0 * c, 2.0 * b);
            out[0][n] = a / 4.0;
            out[1][n] = (even + odd) * (-1.0 / 6.0);
            out[2][n] = (even - odd) * (-1.0 / 6.0);
            out[3][n] = (wide + twice) * (1.0 / 24.0);
            out[4][n] = (wide - twice) * (1.0 / 24.0);
            out[5][n] = c;
        }
        out
    }
    let columns = [0, 1, 2].map(|j| line([&taps[j], &taps[3 + j], &taps[6 + j]]));
    let mut out = [[0.0; WIDEST]; POSITIONS];
    for i in 0..6 {
        for (j, value) in line([&columns[0][i], &columns[1][i], &columns[2][i]]).into_iter().enumerate() {
            out[i * 6 + j] = value;
        }
    }
    out
}

/// Winograd's weight transform `G g G^T` of nine taps into 36 positions.
fn transform(g: &[f32]) -> [f32; POSITIONS] {
    const G: [[f64; 3]; 6] = [
        [0.25, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    let mut columns = [[0.0; 3]; 6];
    for (line, g_row) in columns.iter_mut().zip(&G) {
        for (j, value) in line.iter_mut().enumerate() {
            *value = (0..3).map(|k| g_row[k] * f64::from(g[k * 3 + j])).sum::<f64>();
        }
    }
    let mut out = [0.0; POSITIONS];
    for (i, line) in columns.iter().enumerate() {
        for (j, g_row) in G.iter().enumerate() {
            out[i * 6 + j] = (0..3).map(|k| line[k] * g_row[k]).sum::<f64>() as f32;
        }
    }
    out
}
