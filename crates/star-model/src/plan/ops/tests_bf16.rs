//! Operations whose values lie in memory as pairs in bf16, and windows in bf16 done directly, against candle's own on rounded numbers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use candle_core::Tensor;

use super::super::fold::Numbers;
use super::super::kernels::pixels::{Bytes, pair, to_bf16, unpair};
use super::Stored;
use super::pointwise::{Cells, Pointwise, Residual, ScaleRelu, Source};
use super::spatial;
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
    pairs.iter().flat_map(|&pair| unpair(pair)).collect()
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
        // two panels, and a block that begins with the short end of a row
        (3, 37, 32, 37, 3, 1),
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
        let y = y.broadcast_add(&tensor(&bias, &[1, outputs, 1, 1])).unwrap();
        let (y, higher) = (y.relu().unwrap(), (&y + 1.0).unwrap().relu().unwrap());
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
                window.run_bf16(Stored { input, output }, None, machine, &mut out);
                let name = format!(
                    "{name}: {h}x{w} {inputs} to {outputs}, {kernel}x{kernel} by {stride}, {stored:?}"
                );
                if output {
                    assert_close(&name, &unpaired(&out), &expected, LAST_BIT);
                } else {
                    assert_close(&name, &out, &expected, SUMS);
                }
            }
            // relu(y + 1), by way of ones that lie elsewhere or in the output, there in pairs too
            let (expected, ones) = (channels_last(&higher, to), vec![1.0; expected.len()]);
            let (activation, stored) = (Activation::Relu, Stored::default());
            let within =
                |out: &[f32]| out.chunks(to).flat_map(|p| &p[..outputs]).copied().collect::<Vec<_>>();
            for (residual, mut out) in
                [(Residual::Other(&ones), vec![f32::NAN; ones.len()]), (Residual::InPlace, ones.clone())]
            {
                let input = &floats[..];
                Window { input, height, width, channels, kernel, stride, panels, residual, activation }
                    .run_bf16(stored, None, machine, &mut out);
                assert_close(&format!("{name}: added"), &within(&out), &within(&expected), SUMS);
            }
            let (input, residual, stored) =
                (&pairs[..], Residual::InPlace, Stored { input: true, output: true });
            let mut out = paired(&ones);
            Window { input, height, width, channels, kernel, stride, panels, residual, activation }
                .run_bf16(stored, None, machine, &mut out);
            let out = unpaired(&out);
            assert_close(&format!("{name}: added in pairs"), &within(&out), &within(&expected), LAST_BIT);
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
                let inputs = sources
                    .map(|source| [source.len, cells.count(source.len, cells.in_place(source.pairs, false))]);
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
fn a_product_prepares_pairs_and_adds_pairs() {
    let (pixels, inputs, outputs) = (97, 48, 40);
    let a = rounded(&values(&[pixels, inputs], 11));
    let (scale, shift) = (values(&[inputs], 12), values(&[inputs], 13));
    let prepared = |(i, x): (usize, &f32)| x.mul_add(scale[i % inputs], shift[i % inputs]).max(0.0);
    let x = rounded(&a.iter().enumerate().map(prepared).collect::<Vec<_>>());
    let weights: Vec<f32> =
        values(&[outputs, inputs], 14).iter().map(|w| w / (inputs as f32).sqrt()).collect();
    let (weights, bias) = (rounded(&weights), values(&[outputs], 15));
    let added = rounded(&values(&[pixels, outputs], 16));
    let y = tensor(&x, &[pixels, inputs]).matmul(&tensor(&weights, &[outputs, inputs]).t().unwrap()).unwrap();
    let y = y.broadcast_add(&tensor(&bias, &[outputs])).unwrap();
    let y = (y + tensor(&added, &[pixels, outputs])).unwrap();
    let maps = |values: &Tensor| values.t().unwrap().reshape((1, outputs, 1, pixels)).unwrap();
    everywhere(|name, machine| {
        let lanes = machine.kernels.lanes();
        let channels = padded(outputs, machine.kernels);
        let plain = channels_last(&maps(&y), channels);
        let addend = channels_last(&maps(&tensor(&added, &[pixels, outputs])), channels);
        let prepare = ScaleRelu { scale: scale.clone(), shift: shift.clone() };
        let cells = &Cells::Bf16 { filled: machine.kernels.has_tiles() };
        let panels = &numbers(&weights, &bias, inputs, 1)
            .pack_bf16(&[[inputs, cells.count(inputs, cells.in_place(true, true))]], lanes);
        let halves = paired(&a);
        let sources = &[Source { values: &halves, stride: inputs / 2, len: inputs, pairs: true }];
        let other = paired(&addend);
        for (in_place, activation) in [
            (false, Activation::None),
            (true, Activation::None),
            (false, Activation::Relu),
            (true, Activation::Relu),
        ] {
            let relu = |y: f32| if activation.is_relu() { y.max(0.0) } else { y };
            let expected: Vec<f32> = plain.iter().map(|&y| relu(y)).collect();
            let residual = if in_place { Residual::InPlace } else { Residual::Other(&other) };
            let mut out = if in_place { other.clone() } else { vec![f32::NAN; other.len()] };
            let (prepare, pairs) = (Some(&prepare), true);
            Pointwise { pixels, sources, prepare, panels, residual, activation, cells, pairs }
                .run(machine, &mut out);
            let name = format!("{name}, {in_place} {activation:?}");
            assert_close(&name, &unpaired(&out), &expected, 2.0 * LAST_BIT);
        }
    });
}

#[test]
fn a_product_stays_the_same_to_the_bit_however_many_pixels_it_is_of_and_keeps_a_nan() {
    let (pixels, inputs, outputs) = (97, 130, 70);
    let mut a = values(&[pixels, inputs], 21);
    // in the second block, whose end is done beside the third
    a[40 * inputs] = f32::NAN;
    let (weights, bias) = (values(&[outputs, inputs], 22), values(&[outputs], 23));
    let bytes = Bytes { inverse: 40.0, zero: 128.0 };
    everywhere(|name, machine| {
        let lanes = machine.kernels.lanes();
        let of = numbers(&weights, &bias, inputs, 1);
        let bf16 = Cells::Bf16 { filled: machine.kernels.has_tiles() };
        let int8 = Cells::Int8(vec![bytes]);
        for (cells, pairs) in [(&bf16, false), (&bf16, true), (&int8, false), (&int8, true)] {
            let panels = &if matches!(cells, Cells::Int8(_)) {
                of.pack_int8(&[(inputs, bytes)], lanes)
            } else {
                of.pack_bf16(&[[inputs, cells.count(inputs, false)]], lanes)
            };
            let stride = panels.channels / if pairs { 2 } else { 1 };
            let added = rounded(&values(&[pixels, panels.channels], 24));
            let added = if pairs { paired(&added) } else { added };
            let mut run = |first: usize, count: usize| {
                let values = &a[first * inputs..(first + count) * inputs];
                let sources = &[Source { values, stride: inputs, len: inputs, pairs: false }];
                let mut out = added[first * stride..(first + count) * stride].to_vec();
                let (prepare, residual, activation) = (None, Residual::InPlace, Activation::Relu);
                Pointwise { pixels: count, sources, prepare, panels, residual, activation, cells, pairs }
                    .run(machine, &mut out);
                out
            };
            let whole = run(0, pixels);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            for first in 0..pixels {
                let one = run(first, 1);
                assert_eq!(
                    bits(&one),
                    bits(&whole[first * stride..][..stride]),
                    "{name}, {pairs}: pixel {first}"
                );
            }
            if matches!(cells, Cells::Bf16 { .. }) {
                let line = &whole[40 * stride..][..stride];
                let line = if pairs { unpaired(line) } else { line.to_vec() };
                assert!(line[..outputs].iter().all(|y| y.is_nan()), "{name}, {pairs}: {line:?}");
            }
        }
    });
}

#[test]
fn bytes_are_made_of_pairs_as_of_floats() {
    let (pixels, inputs, outputs) = (70, 48, 32);
    let a = rounded(&values(&[pixels, inputs], 17));
    let (weights, bias) = (values(&[outputs, inputs], 18), values(&[outputs], 19));
    let bytes = Bytes { inverse: 40.0, zero: 128.0 };
    everywhere(|_, machine| {
        let panels =
            &numbers(&weights, &bias, inputs, 1).pack_int8(&[(inputs, bytes)], machine.kernels.lanes());
        let cells = &Cells::Int8(vec![bytes]);
        let halves = paired(&a);
        let mut run = |values: &[f32], stride: usize, pairs: bool| {
            let sources = &[Source { values, stride, len: inputs, pairs }];
            let mut out = vec![f32::NAN; pixels * panels.channels];
            let (prepare, residual, activation) = (None, Residual::None, Activation::None);
            Pointwise { pixels, sources, prepare, panels, residual, activation, cells, pairs: false }
                .run(machine, &mut out);
            out
        };
        assert_eq!(run(&a, inputs, false), run(&halves, inputs / 2, true));
    });
}

#[test]
fn pairs_are_pooled_and_upsampled_as_floats_are() {
    let (h, w, channels) = (6, 10, 32);
    let x = rounded(&values(&[h, w, channels], 20));
    everywhere(|name, machine| {
        let halves = paired(&x);
        let (size, mut pooled) = ((h / 2, w / 2), vec![f32::NAN; x.len() / 4]);
        spatial::max_pool(machine, &x, (size.0, size.1, channels), false, &mut pooled);
        let mut of_pairs = vec![f32::NAN; halves.len() / 4];
        spatial::max_pool(machine, &halves, (size.0, size.1, channels / 2), true, &mut of_pairs);
        assert_eq!(unpaired(&of_pairs), pooled, "{name}");
        let (mut sum, mut sum_of_pairs) = (x.clone(), halves.clone());
        spatial::upsample_add(machine, &mut sum, &pooled, (size.0, size.1, channels), false);
        spatial::upsample_add(machine, &mut sum_of_pairs, &of_pairs, (size.0, size.1, channels / 2), true);
        assert_eq!(unpaired(&sum_of_pairs), rounded(&sum), "{name}");
    });
}

#[test]
fn the_stem_in_bf16_is_that_of_rounded_numbers() {
    let (size, outputs, kernel, stride) = (34, 37, 7, 2);
    let x = rounded(&values(&[1, 3, size, size], 4));
    let weights: Vec<f32> = values(&[outputs, 3, kernel, kernel], 5).iter().map(|w| w / 12.0).collect();
    let (weights, constant) = (rounded(&weights), rounded(&values(&[1, outputs, 17, 17], 6)));
    let constant = tensor(&constant, &[1, outputs, 17, 17]);
    let y = tensor(&x, &[1, 3, size, size]);
    let y = y.conv2d(&tensor(&weights, &[outputs, 3, kernel, kernel]), 3, stride, 1, 1).unwrap();
    let y = (y + &constant).unwrap();
    let padding = size + 6;
    let mut input = vec![f32::NAN; padding * padding * 3];
    super::image::interleave(&x, size, 3, &mut input);
    everywhere(|name, machine| {
        let line = stem::line(kernel, 3);
        let panels =
            &numbers(&weights, &vec![0.0; outputs], 3, kernel).pack_rows(line, machine.kernels.lanes());
        let channels = padded(outputs, machine.kernels);
        let (expected, constant) = (channels_last(&y, channels), channels_last(&constant, channels));
        let halves = paired(&constant);
        for pairs in [false, true] {
            let mut out = vec![f32::NAN; expected.len() / if pairs { 2 } else { 1 }];
            let (input, size, activation) = (&input[..], [padding; 2], Activation::None);
            let constant = Some(if pairs { &halves[..] } else { &constant });
            Stem { input, size, channels: 3, kernel, stride, panels, constant, activation, pairs }
                .run_bf16(machine, &mut out);
            if pairs {
                assert_close(&format!("{name}, pairs"), &unpaired(&out), &expected, 2.0 * LAST_BIT);
            } else {
                assert_close(name, &out, &expected, SUMS);
            }
        }
    });
}
