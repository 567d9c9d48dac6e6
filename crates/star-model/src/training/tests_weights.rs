//! Gradients of weights against sums in f64, on every instruction set of this CPU.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use candle_core::DType;

use super::Maps;
use super::linear::Input;
use super::memory::Memory;
use super::pixels::Pixels;
use super::tests::{bare, paired, unpaired};
use super::tile_gradient::tile_gradient;
use super::weight_gradient::weight_gradient;
use super::window::Window;
use crate::gradient_check::noise;
use crate::plan::Isa;
use crate::plan::ops::pointwise::ScaleRelu;

fn floats(len: usize, seed: u64) -> Vec<f32> {
    noise(&[len], seed).to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

/// Every instruction set, with the registers' lanes.
fn sets() -> impl Iterator<Item = (Isa, usize)> {
    let sets = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    sets.map(|isa| (isa, isa.kernels().unwrap().lanes()))
}

/// A channel at a pixel as a convolution reads it.
fn read(x: &[f32], at: usize, channel: usize, norm: Option<&ScaleRelu>) -> f64 {
    let normed = |norm: &ScaleRelu| x[at].mul_add(norm.scale[channel], norm.shift[channel]).max(0.0);
    f64::from(norm.map_or(x[at], normed))
}

/// Tiles: sides that are no whole ones, channels that are no whole groups, several blocks and slices.
const WINDOWS: [(Maps, usize, usize); 6] = [
    (Maps { images: 3, height: 9, width: 14 }, 64, 72),
    (Maps { images: 1, height: 8, width: 5 }, 100, 64),
    (Maps { images: 2, height: 50, width: 47 }, 80, 130),
    (Maps { images: 2, height: 48, width: 47 }, 17, 24),
    (Maps { images: 2, height: 1, width: 3 }, 5, 1),
    // More slices than rows fill.
    (Maps { images: 1, height: 5, width: 400 }, 5, 3),
];

#[test]
fn the_gradient_by_a_windows_weights_is_that_of_the_sums_by_tiles_and_tap_by_tap() {
    for (maps, inputs, outputs) in WINDOWS {
        for (isa, lanes) in sets() {
            let memory = Memory::default();
            let [pitch, depth] = [inputs, outputs].map(|channels: usize| channels.next_multiple_of(lanes));
            let (x, d) = (floats(maps.pixels() * pitch, 3), floats(maps.pixels() * depth, 4));
            let norm = ScaleRelu { scale: floats(pitch, 5), shift: floats(pitch, 6) };
            let window = Window { from: maps, to: maps, inputs, outputs, kernel: 3, stride: 1, weight: &[] };
            for norm in [None, Some(&norm)] {
                let (x_of, d_of) = (Pixels::floats(&x, pitch), Pixels::floats(&d, depth));
                let (input, passes) = (Input { norm, ..Input::all(x_of) }, bare(isa, &memory, false));
                let by_tiles = tile_gradient(&passes, maps, &input, d_of, outputs);
                let by_taps = window.tap_gradient(&passes, &input, d_of);
                let corners = [(0, 0, 0), (outputs - 1, inputs - 1, 8), (outputs / 2, inputs / 3, 4)];
                for (o, i, tap) in
                    corners.into_iter().chain([(outputs / 3, inputs / 2, 2), (0, inputs - 1, 3)])
                {
                    let mut expected = 0.0;
                    for pixel in 0..maps.pixels() {
                        let (row, column) = (pixel / maps.width, pixel % maps.width);
                        let (y, to) = (row % maps.height + tap / 3, column + tap % 3);
                        if (1..=maps.height).contains(&y) && (1..=maps.width).contains(&to) {
                            let from = pixel + tap / 3 * maps.width + tap % 3 - maps.width - 1;
                            expected += f64::from(d[pixel * depth + o]) * read(&x, from * pitch + i, i, norm);
                        }
                    }
                    for ours in [&by_tiles, &by_taps] {
                        let error = (f64::from(ours[(tap * outputs + o) * pitch + i]) - expected).abs();
                        let bar = 1e-5 * (maps.pixels() as f64).sqrt();
                        assert!(error < bar, "{} {maps:?} {o} {i} {tap}: {error:e}", isa.name());
                    }
                }
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit_of_gradients_by_weights() {
    let (maps, inputs, outputs) = WINDOWS[2];
    for (isa, lanes) in sets() {
        let [pitch, depth] = [inputs, outputs].map(|channels: usize| channels.next_multiple_of(lanes));
        let (x, d) = (floats(maps.pixels() * pitch, 3), floats(maps.pixels() * depth, 4));
        let bits = |threads: usize| -> Vec<u32> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let memory = Memory::default();
                let (x, d) = (Pixels::floats(&x, pitch), Pixels::floats(&d, depth));
                let (passes, input) = (bare(isa, &memory, false), Input::all(x));
                let window = tile_gradient(&passes, maps, &input, d, outputs);
                let (product, _) = weight_gradient(&passes, d, &input).part(0..outputs, 0..inputs);
                window.iter().chain(&product).map(|value| value.to_bits()).collect()
            })
        };
        let one = bits(1);
        assert!(one == bits(2) && one == bits(5), "{}", isa.name());
    }
}

#[test]
fn the_gradient_by_the_weights_of_a_1x1_convolution_is_that_of_the_sums() {
    // Pixels for several slices, the last block of them one pixel; channels that are copied side by side and such that are not, all of a
    // pixel's and the first of them.
    // 3848: the last slice is empty.
    for (pixels, (inputs, more, outputs, bf16, pairs, bar)) in
        [1057, 1057, 1057, 1057, 1057, 1057, 1057, 1057, 3848, 3848].into_iter().zip([
            (200, 0, 72, false, false, 1e-5),
            (200, 30, 72, false, false, 1e-5),
            (20, 0, 72, false, false, 1e-5),
            (200, 0, 9, false, false, 1e-5),
            (200, 30, 72, true, false, 1e-2),
            (20, 0, 9, true, false, 1e-2),
            (200, 30, 72, true, true, 1e-2),
            (20, 0, 9, true, true, 1e-2),
            (20, 0, 9, false, false, 1e-5),
            (20, 0, 9, true, true, 1e-2),
        ])
    {
        for (isa, lanes) in sets() {
            let memory = Memory::default();
            let pitch = usize::next_multiple_of(inputs + more, lanes);
            let depth = usize::next_multiple_of(outputs, lanes);
            let (x, d) = (floats(pixels * pitch, 3), floats(pixels * depth, 4));
            let norm = ScaleRelu { scale: floats(pitch, 5), shift: floats(pitch, 6) };
            let (narrow_x, narrow_d) = (paired(&x), paired(&d));
            // What lies in memory.
            let (x, d) = if pairs { (unpaired(&narrow_x), unpaired(&narrow_d)) } else { (x, d) };
            for norm in [None, Some(&norm)] {
                let (x_of, d_of) = if pairs { (&narrow_x, &narrow_d) } else { (&x, &d) };
                let x_of = Pixels { values: x_of, channels: pitch, pairs };
                let d_of = Pixels { values: d_of, channels: depth, pairs };
                let input = Input { norm, len: inputs, ..Input::all(x_of) };
                let (ours, bias) =
                    weight_gradient(&bare(isa, &memory, bf16), d_of, &input).part(0..outputs, 0..inputs);
                let scale = (pixels as f64).sqrt();
                for (o, i) in [(0, 0), (outputs - 1, inputs - 1), (5, 17), (8, 3)] {
                    let column = |p: usize| f64::from(d[p * depth + o]);
                    let expected: f64 =
                        (0..pixels).map(|p| column(p) * read(&x, p * pitch + i, i, norm)).sum();
                    let error = (f64::from(ours[o * inputs + i]) - expected).abs();
                    assert!(error < bar * scale, "{} {inputs} {outputs} {bf16}: {error:e}", isa.name());
                    let expected: f64 = (0..pixels).map(column).sum();
                    assert!((f64::from(bias[o]) - expected).abs() < 1e-5 * scale, "{}", isa.name());
                }
            }
        }
    }
}
