//! Operations whose values lie in memory as pairs in bf16, and windows in bf16 done directly, against candle's own on rounded numbers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use candle_core::Tensor;

use super::super::fold::Numbers;
use super::super::kernels::pixels::{pair, to_bf16};
use super::Stored;
use super::pointwise::{Cells, Pointwise, Residual, Source};
use super::stem::{self, Stem};
use super::tests::{SUMS, assert_close, channels_last, everywhere, padded, tensor, values};
use super::window::Window;
use crate::activation::Activation;

/// A sum just between two numbers in bf16 may be rounded to either: the last of eight bits, of values up to 4.
const LAST_BIT: f32 = 4.0 / 128.0;

fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&x| f32::from_bits(to_bf16(x) & 0xffff_0000)).collect()
}

/// Floats as pairs, and back.
fn paired(values: &[f32]) -> Vec<f32> {
    values.chunks_exact(2).map(|two| pair(two[0], two[1])).collect()
}

fn unpaired(pairs: &[f32]) -> Vec<f32> {
    let both = |pair: &f32| [pair.to_bits() << 16, pair.to_bits() & 0xffff_0000].map(f32::from_bits);
    pairs.iter().flat_map(both).collect()
}

fn numbers(weights: &[f32], bias: &[f32], inputs: usize, kernel: usize) -> Numbers {
    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect();
    Numbers { weights: wide(weights), bias: wide(bias), inputs, kernel }
}

#[test]
fn a_window_in_bf16_is_that_of_rounded_numbers_however_its_values_lie() {
    // height, width, inputs, outputs, kernel, stride: rows that fill tiles, that do not, and such as are laid side by side
    let shapes = [
        (3, 17, 20, 37, 3, 1),
        (5, 40, 64, 48, 3, 2),
        (8, 8, 96, 40, 3, 1),
        (1, 1, 3, 5, 3, 1),
        (9, 70, 33, 16, 5, 1),
    ];
    for (h, w, inputs, outputs, kernel, stride) in shapes {
        let scale = 1.0 / ((inputs * kernel * kernel) as f32).sqrt();
        let x = rounded(&values(&[1, inputs, h, w], 1));
        let weights: Vec<f32> =
            values(&[outputs, inputs, kernel, kernel], 2).iter().map(|w| w * scale).collect();
        let (weights, bias) = (rounded(&weights), values(&[outputs], 3));
        let x = tensor(&x, &[1, inputs, h, w]);
        let kernels_shape = [outputs, inputs, kernel, kernel];
        let y = x.conv2d(&tensor(&weights, &kernels_shape), kernel / 2, stride, 1, 1).unwrap();
        let y = y.broadcast_add(&tensor(&bias, &[1, outputs, 1, 1])).unwrap().relu().unwrap();
        everywhere(|name, machine| {
            let (from, to) = (padded(inputs, machine.kernels), padded(outputs, machine.kernels));
            let panels = &numbers(&weights, &bias, inputs, kernel).pack_direct(from, machine.kernels.lanes());
            let (floats, expected) = (channels_last(&x, from), channels_last(&y, to));
            let pairs = paired(&floats);
            let (height, width, channels) = (h, w, from);
            for stored in [[false, false], [true, false], [false, true], [true, true]] {
                let [input, output] = stored;
                let (residual, activation) = (Residual::None, Activation::Relu);
                let from = if input { &pairs[..] } else { &floats };
                let window = Window {
                    input: from,
                    height,
                    width,
                    channels,
                    kernel,
                    stride,
                    panels,
                    residual,
                    activation,
                };
                let mut out = vec![f32::NAN; expected.len() / if output { 2 } else { 1 }];
                window.run_bf16(Stored { input, output }, machine, &mut out);
                let name = format!(
                    "{name}: {h}x{w} {inputs} to {outputs}, {kernel}x{kernel} by {stride}, {stored:?}"
                );
                if output {
                    assert_close(&name, &unpaired(&out), &expected, LAST_BIT);
                } else {
                    assert_close(&name, &out, &expected, SUMS);
                }
            }
            // 1 more, by way of an output that is 1 already
            let mut out = vec![1.0; expected.len()];
            let (input, residual, activation) = (&floats[..], Residual::InPlace, Activation::None);
            Window { input, height, width, channels, kernel, stride, panels, residual, activation }.run_bf16(
                Stored::default(),
                machine,
                &mut out,
            );
            let more: Vec<f32> = out.iter().map(|y| (y - 1.0).max(0.0)).collect();
            assert_close(&format!("{name}: added"), &more, &expected, SUMS);
        });
    }
}

#[test]
fn a_product_reads_and_writes_pairs_as_it_does_floats() {
    for (pixels, first, second, outputs) in [(1, 16, 3, 5), (97, 48, 5, 40), (200, 64, 2, 130)] {
        let (a, b) = (rounded(&values(&[pixels, first], 7)), rounded(&values(&[pixels, second], 8)));
        let scale = 1.0 / ((first + second) as f32).sqrt();
        let weights: Vec<f32> = values(&[outputs, first + second], 9).iter().map(|w| w * scale).collect();
        let (weights, bias) = (rounded(&weights), values(&[outputs], 10));
        let x = Tensor::cat(&[&tensor(&a, &[pixels, first]), &tensor(&b, &[pixels, second])], 1).unwrap();
        let y = x.matmul(&tensor(&weights, &[outputs, first + second]).t().unwrap()).unwrap();
        let y = y.broadcast_add(&tensor(&bias, &[outputs])).unwrap();
        let y = y.t().unwrap().reshape((1, outputs, 1, pixels)).unwrap();
        everywhere(|name, machine| {
            let lanes = machine.kernels.lanes();
            let cells = &Cells::Bf16 { filled: machine.kernels.has_tiles() };
            let expected = channels_last(&y, padded(outputs, machine.kernels));
            let halves = paired(&a);
            for (input, output) in [(true, false), (true, true), (false, true)] {
                let values = if input { &halves[..] } else { &a };
                let stride = if input { first / 2 } else { first };
                let sources = &[
                    Source { values, stride, len: first, pairs: input },
                    Source { values: &b, stride: second, len: second, pairs: false },
                ];
                let inputs = sources.map(|source| [source.len, cells.count(source.len, source.pairs)]);
                let panels = &numbers(&weights, &bias, first + second, 1).pack_bf16(&inputs, lanes);
                let (prepare, residual, activation) = (None, Residual::None, Activation::None);
                let product = Pointwise {
                    pixels,
                    sources,
                    prepare,
                    panels,
                    residual,
                    activation,
                    cells,
                    pairs: output,
                };
                let mut out = vec![f32::NAN; expected.len() / if output { 2 } else { 1 }];
                product.run(machine, &mut out);
                let name = format!("{name}: {pixels} pixels, {input} {output}");
                if output {
                    assert_close(&name, &unpaired(&out), &expected, LAST_BIT);
                } else {
                    assert_close(&name, &out, &expected, SUMS);
                }
            }
        });
    }
}

#[test]
fn the_stem_in_bf16_is_that_of_rounded_numbers() {
    let (size, outputs, kernel, stride) = (34, 37, 7, 2);
    let x = rounded(&values(&[1, 3, size, size], 4));
    let weights = rounded(&values(&[outputs, 3, kernel, kernel], 5));
    let y = tensor(&x, &[1, 3, size, size]);
    let y = y.conv2d(&tensor(&weights, &[outputs, 3, kernel, kernel]), 3, stride, 1, 1).unwrap();
    let padding = size + 6;
    let mut input = vec![f32::NAN; padding * padding * 3];
    super::image::interleave(&x, size, 3, &mut input);
    everywhere(|name, machine| {
        let line = stem::line(kernel, 3);
        let panels =
            &numbers(&weights, &vec![0.0; outputs], 3, kernel).pack_rows(line, machine.kernels.lanes());
        let expected = channels_last(&y, padded(outputs, machine.kernels));
        let mut out = vec![f32::NAN; expected.len()];
        let (input, size, constant, activation) = (&input[..], [padding; 2], None, Activation::None);
        Stem { input, size, channels: 3, kernel, stride, panels, constant, activation }
            .run_bf16(machine, &mut out);
        assert_close(name, &out, &expected, SUMS);
    });
}
