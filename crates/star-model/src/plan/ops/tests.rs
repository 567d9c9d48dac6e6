//! Every operation on every instruction set of this CPU against candle's own, on odd shapes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use candle_core::{DType, Device, Tensor};

use super::super::fold::Numbers;
use super::super::kernels::pixels::{Bytes, to_bf16};
use super::super::kernels::{Isa, Kernels};
use super::depthwise::Windows;
use super::heads::{self, Layout};
use super::panels::Panels;
use super::pointwise::{Cells, Pointwise, Residual, ScaleRelu, Source};
use super::spatial::Bilinear;
use super::stem::Stem;
use super::team::Team;
use super::window::Window;
use super::winograd::Winograd;
use super::{Machine, image, spatial};
use crate::HeatmapActivation;
use crate::activation::Activation;
use crate::gradient_check::noise;

/// Largest difference allowed of sums in another order, values being of the order of 1 and sums of some hundreds.
pub(super) const SUMS: f32 = 1e-4;

/// Winograd's transforms cost another digit.
const WINOGRAD: f32 = 1e-3;

/// Root mean square, as a share of the result's, with eight bits of each transformed number.
const WINOGRAD_BF16: f32 = 0.03;

pub(super) fn values(shape: &[usize], seed: u64) -> Vec<f32> {
    noise(shape, seed).to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub(super) fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

/// `[1, C, H, W]` as channels-last pixels, `stride` floats apart.
pub(super) fn channels_last(x: &Tensor, stride: usize) -> Vec<f32> {
    let (_, c, h, w) = x.dims4().unwrap();
    let x: Vec<f32> =
        x.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let mut out = vec![0.0; h * w * stride];
    out.chunks_exact_mut(stride).zip(x.chunks_exact(c)).for_each(|(to, from)| to[..c].copy_from_slice(from));
    out
}

pub(super) fn assert_close(name: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{name}: largest difference {worst:e}");
}

/// Calls `test` with every instruction set, and teams of one and of three.
pub(super) fn everywhere(test: impl Fn(&str, &mut Machine) + Sync) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for isa in Isa::ALL {
        let Ok(kernels) = isa.kernels() else { continue };
        for threads in [1, 3] {
            pool.install(|| {
                let mut team = Team::new(threads);
                test(&format!("{} x {threads}", isa.name()), &mut Machine { kernels, team: &mut team });
            });
        }
    }
}

pub(super) fn padded(channels: usize, kernels: &dyn Kernels) -> usize {
    channels.next_multiple_of(kernels.lanes())
}

/// `[outputs, inputs, k, k]` as rows of `[k, k, inputs padded]`.
fn rows(weights: &Tensor, stride: usize) -> Vec<f32> {
    let (outputs, ..) = weights.dims4().unwrap();
    (0..outputs).flat_map(|o| channels_last(&weights.narrow(0, o, 1).unwrap(), stride)).collect()
}

#[test]
fn convolutions_agree_with_candles() {
    // height, width, inputs, outputs, kernel, stride
    let shapes = [
        (13, 17, 20, 37, 3, 1),
        (4, 4, 16, 16, 3, 1),
        (1, 1, 3, 5, 3, 1),
        (1, 9, 16, 33, 3, 1),
        (64, 64, 40, 48, 3, 1),
        (9, 7, 18, 36, 3, 2),
        (8, 8, 3, 10, 7, 2),
        (5, 6, 4, 7, 1, 1),
        // few pixels and much work: the panels are shared out
        (4, 4, 160, 200, 3, 1),
    ];
    for (h, w, inputs, outputs, kernel, stride) in shapes {
        let x = tensor(&values(&[1, inputs, h, w], 1), &[1, inputs, h, w]);
        let scale = 1.0 / ((inputs * kernel * kernel) as f64).sqrt();
        let weights =
            tensor(&values(&[outputs, inputs, kernel, kernel], 2), &[outputs, inputs, kernel, kernel]);
        let weights = (weights * scale).unwrap();
        let bias = values(&[outputs], 3);
        let y = x.conv2d(&weights, kernel / 2, stride, 1, 1).unwrap();
        let y = y.broadcast_add(&tensor(&bias, &[1, outputs, 1, 1])).unwrap();
        let (y, shifted) = (y.relu().unwrap(), (&y + 1.0).unwrap().relu().unwrap());
        everywhere(|name, machine| {
            let kernels = machine.kernels;
            let (from, to) = (padded(inputs, kernels), padded(outputs, kernels));
            let (input, expected) = (channels_last(&x, from), channels_last(&y, to));
            let name = format!("{name}: {h}x{w} {inputs} to {outputs}, {kernel}x{kernel} by {stride}");
            let panels = Panels::pack(&rows(&weights, from), &bias, kernel * kernel * from, kernels.lanes());
            let mut out = vec![f32::NAN; expected.len()];
            let (height, width, channels, activation) = (h, w, from, Activation::Relu);
            let (input, residual) = (&input[..], Residual::None);
            Window { input, height, width, channels, kernel, stride, panels: &panels, residual, activation }
                .run(machine, &mut out);
            assert_close(&name, &out, &expected, SUMS);
            // relu(y + bias + 1) by way of an output that is 1 already
            let one = channels_last(&shifted, to);
            let mut out = channels_last(&y.ones_like().unwrap(), to);
            let residual = Residual::InPlace;
            Window { input, height, width, channels, kernel, stride, panels: &panels, residual, activation }
                .run(machine, &mut out);
            assert_close(&name, &out, &one, SUMS);
            if (kernel, stride) == (3, 1) {
                let flat: Vec<f32> = weights.flatten_all().unwrap().to_vec1().unwrap();
                let run = |bf16: bool, residual: Residual, machine: &mut Machine| {
                    let panels = &Panels::winograd(&flat, &bias, inputs, from, kernels.lanes(), bf16);
                    let mut out = vec![f32::NAN; expected.len()];
                    Winograd { input, height, width, channels, panels, residual, activation, bf16 }
                        .run(machine, &mut out);
                    out
                };
                let out = run(false, Residual::None, machine);
                assert_close(&format!("{name} by Winograd"), &out, &expected, WINOGRAD);
                let ones = channels_last(&y.ones_like().unwrap(), to);
                let out = run(false, Residual::Other(&ones), machine);
                assert_close(&format!("{name} by Winograd"), &out, &one, WINOGRAD);
                let out = run(true, Residual::None, machine);
                let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
                let off = squares(&mut out.iter().zip(&expected).map(|(a, b)| a - b));
                let share = (off / squares(&mut expected.iter().copied()).max(1e-3)).sqrt();
                assert!(share < WINOGRAD_BF16, "{name} by Winograd in bf16: off by {share} of it");
            }
        });
    }
}

#[test]
fn channels_convolved_by_themselves_agree_with_candles_grouped_convolution() {
    for (channels, kernel, stride, side) in
        [(5, 3, 1, 7), (19, 3, 2, 12), (33, 5, 1, 23), (16, 7, 2, 6), (3, 5, 1, 1)]
    {
        let x = tensor(&values(&[1, channels, side, side], 4), &[1, channels, side, side]);
        let (weights, bias) = (values(&[channels, kernel * kernel], 5), values(&[channels], 6));
        let by = tensor(&weights, &[channels, 1, kernel, kernel]);
        let y = x.conv2d(&by, kernel / 2, stride, 1, channels).unwrap();
        let y = y.broadcast_add(&tensor(&bias, &[1, channels, 1, 1])).unwrap();
        // what the weights' gradient is of an output's gradient that is the output
        let taps = channels * kernel * kernel;
        let by = candle_core::Var::from_tensor(&by).unwrap();
        let half = x.conv2d(&by, kernel / 2, stride, 1, channels).unwrap();
        let half = half.broadcast_add(&tensor(&bias, &[1, channels, 1, 1])).unwrap();
        let gradients = (half.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap().backward().unwrap();
        let wanted: Vec<f32> = gradients.get(&by).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        everywhere(|name, machine| {
            let (area, stride_of) = (kernel * kernel, padded(channels, machine.kernels));
            let numbers = Numbers {
                weights: weights.iter().map(|&weight| f64::from(weight)).collect(),
                bias: bias.iter().map(|&bias| f64::from(bias)).collect(),
                inputs: 1,
                kernel,
            };
            let packed = numbers.pack_depthwise(stride_of);
            let input = channels_last(&x, stride_of);
            let windows =
                Windows { input: &input, height: side, width: side, channels: stride_of, kernel, stride };
            let mut out = vec![f32::NAN; channels_last(&y, stride_of).len()];
            let name = format!("{name}, {channels} channels, {kernel}/{stride}, {side} px");
            windows.run(machine, packed.get((area + 1) * stride_of), Activation::Relu, &mut out);
            assert_close(&name, &out, &channels_last(&y.relu().unwrap(), stride_of), SUMS);
            let mut gradient = vec![0.0; area * stride_of];
            windows.weight_gradient(machine.kernels, &channels_last(&y, stride_of), &mut gradient);
            let ours: Vec<f32> = (0..taps).map(|i| gradient[i % area * stride_of + i / area]).collect();
            let scale = wanted.iter().fold(1.0f32, |most, value| most.max(value.abs()));
            assert_close(&name, &ours, &wanted, SUMS * scale);
        });
    }
}

#[test]
fn the_stem_agrees_with_candles_convolution_and_adds_its_constant() {
    let (size, outputs) = (22, 19);
    let planes = values(&[3, size, size], 4);
    let weights = tensor(&values(&[outputs, 3, 7, 7], 5), &[outputs, 3, 7, 7]);
    let y = tensor(&planes, &[1, 3, size, size]).conv2d(&weights, 3, 2, 1, 1).unwrap();
    let constant = tensor(&values(&[1, outputs, size / 2, size / 2], 6), &[1, outputs, size / 2, size / 2]);
    let y = (y + &constant).unwrap().relu().unwrap();
    let padding = size + 6;
    let mut input = vec![f32::NAN; padding * padding * 3];
    image::interleave(&planes, size, 3, &mut input);
    everywhere(|name, machine| {
        let lanes = machine.kernels.lanes();
        let to = padded(outputs, machine.kernels);
        let panels = Panels::pack(&rows(&weights, 3), &vec![0.0; outputs], 7 * 7 * 3, lanes);
        let constant = channels_last(&constant, to);
        let (kernel, stride) = (7, 2);
        let stem = Stem {
            input: &input,
            size: [padding; 2],
            channels: 3,
            kernel,
            stride,
            panels: &panels,
            constant: Some(&constant),
            activation: Activation::Relu,
            pairs: false,
        };
        let expected = channels_last(&y, to);
        let mut out = vec![f32::NAN; expected.len()];
        stem.run(machine, &mut out);
        assert_close(name, &out, &expected, SUMS);
    });
}

#[test]
fn a_1x1_convolution_prepares_its_first_source_joins_others_and_adds_a_residual() {
    for (pixels, first, second, outputs) in [(1, 3, 2, 5), (97, 33, 5, 40), (1000, 64, 9, 130)] {
        let (a, b) = (values(&[pixels, first], 7), values(&[pixels, second], 8));
        let (weights, bias) = (values(&[outputs, first + second], 9), values(&[outputs], 10));
        let (scale, shift) = (values(&[first], 11), values(&[first], 12));
        let residual = values(&[pixels, outputs], 13);
        let prepared = tensor(&a, &[pixels, first]).broadcast_mul(&tensor(&scale, &[first])).unwrap();
        let prepared = prepared.broadcast_add(&tensor(&shift, &[first])).unwrap().relu().unwrap();
        let x = Tensor::cat(&[&prepared, &tensor(&b, &[pixels, second])], 1).unwrap();
        let y = x.matmul(&tensor(&weights, &[outputs, first + second]).t().unwrap()).unwrap();
        let y = y.broadcast_add(&tensor(&bias, &[outputs])).unwrap();
        let y = (y + tensor(&residual, &[pixels, outputs])).unwrap();
        let y = y.t().unwrap().reshape((1, outputs, 1, pixels)).unwrap();
        everywhere(|name, machine| {
            let kernels = machine.kernels;
            let (stride, to) = (padded(first, kernels), padded(outputs, kernels));
            let spread = |values: &[f32], channels: usize, stride: usize| -> Vec<f32> {
                let pixels = values.chunks_exact(channels);
                pixels
                    .flat_map(|pixel| pixel.iter().copied().chain((channels..stride).map(|_| 0.0)))
                    .collect()
            };
            let pad = |values: &[f32]| spread(values, first, stride);
            let a = pad(&a);
            let prepare = ScaleRelu { scale: pad(&scale), shift: pad(&shift) };
            let panels = Panels::pack(&weights, &bias, first + second, kernels.lanes());
            let sources = [
                Source { values: &a, stride, len: first, pairs: false },
                Source { values: &b, stride: second, len: second, pairs: false },
            ];
            let residual = spread(&residual, outputs, to);
            for activation in [Activation::None, Activation::Relu] {
                let y = if activation.is_relu() { y.relu().unwrap() } else { y.clone() };
                let expected = channels_last(&y, to);
                for residual_in_place in [false, true] {
                    let mut out =
                        if residual_in_place { residual.clone() } else { vec![f32::NAN; expected.len()] };
                    let residual =
                        if residual_in_place { Residual::InPlace } else { Residual::Other(&residual) };
                    Pointwise {
                        pixels,
                        sources: &sources,
                        prepare: Some(&prepare),
                        panels: &panels,
                        residual,
                        activation,
                        cells: &Cells::F32,
                        pairs: false,
                    }
                    .run(machine, &mut out);
                    assert_close(&format!("{name}: {pixels} pixels"), &out, &expected, 10.0 * SUMS);
                }
            }
        });
    }
}

#[test]
fn a_product_in_bf16_is_that_of_rounded_numbers_in_f32() {
    // an odd number of channels behind a prepared source, and one more source
    for (pixels, first, second, outputs) in [(1, 3, 2, 5), (97, 33, 5, 40)] {
        let (a, b) = (values(&[pixels, first], 7), values(&[pixels, second], 8));
        let (weights, bias) = (values(&[outputs, first + second], 9), values(&[outputs], 10));
        let (scale, shift) = (values(&[first], 11), values(&[first], 12));
        let round = |x: f32| f32::from_bits(to_bf16(x) & 0xffff_0000);
        let rounded = |x: &[f32]| x.iter().map(|&x| round(x)).collect::<Vec<_>>();
        let prepared: Vec<f32> =
            a.iter().enumerate().map(|(i, x)| (x * scale[i % first] + shift[i % first]).max(0.0)).collect();
        let x = Tensor::cat(
            &[tensor(&rounded(&prepared), &[pixels, first]), tensor(&rounded(&b), &[pixels, second])],
            1,
        );
        let y = x.unwrap().matmul(&tensor(&rounded(&weights), &[outputs, first + second]).t().unwrap());
        let y = y.unwrap().broadcast_add(&tensor(&bias, &[outputs])).unwrap();
        let y = y.t().unwrap().reshape((1, outputs, 1, pixels)).unwrap();
        everywhere(|name, machine| {
            let lanes = machine.kernels.lanes();
            let linear = Numbers {
                weights: weights.iter().map(|&w| f64::from(w)).collect(),
                bias: bias.iter().map(|&b| f64::from(b)).collect(),
                inputs: first + second,
                kernel: 1,
            };
            let filled = machine.kernels.has_tiles();
            let cells = Cells::Bf16 { filled };
            let panels = linear.pack_bf16(&[first, second].map(|len| [len, cells.count(len, false)]), lanes);
            let sources = [
                Source { values: &a, stride: first, len: first, pairs: false },
                Source { values: &b, stride: second, len: second, pairs: false },
            ];
            let prepare = ScaleRelu { scale: scale.clone(), shift: shift.clone() };
            let expected = channels_last(&y, padded(outputs, machine.kernels));
            let mut out = vec![f32::NAN; expected.len()];
            let product = Pointwise {
                pixels,
                sources: &sources,
                prepare: Some(&prepare),
                panels: &panels,
                residual: Residual::None,
                activation: Activation::None,
                cells: &cells,
                pairs: false,
            };
            product.run(machine, &mut out);
            assert_close(&format!("{name}: {pixels} pixels"), &out, &expected, 10.0 * SUMS);
        });
    }
    // a NaN behind a prepared source stays one
    everywhere(|name, machine| {
        let linear = Numbers { weights: vec![1.0; 2], bias: vec![0.0], inputs: 2, kernel: 1 };
        let panels = linear.pack_bf16(&[[2, 1]], machine.kernels.lanes());
        let mut out = vec![0.0; padded(1, machine.kernels)];
        let product = Pointwise {
            pixels: 1,
            sources: &[Source { values: &[f32::NAN, 1.0], stride: 2, len: 2, pairs: false }],
            prepare: Some(&ScaleRelu { scale: vec![1.0; 2], shift: vec![0.0; 2] }),
            panels: &panels,
            residual: Residual::None,
            activation: Activation::None,
            cells: &Cells::Bf16 { filled: false },
            pairs: false,
        };
        product.run(machine, &mut out);
        assert!(out[0].is_nan(), "{name}: {}", out[0]);
    });
    // ties to even: 1 + 2^-8 lies between 1 and 1 + 2^-7, 1 + 3 * 2^-8 between that and 1 + 2^-6
    for (x, expected) in [
        (1.0 + 0.5f32.powi(8), 1.0),
        (1.0 + 3.0 * 0.5f32.powi(8), 1.015_625),
        (-0.0, -0.0),
        (f32::INFINITY, f32::INFINITY),
    ] {
        assert_eq!(f32::from_bits(to_bf16(x) & 0xffff_0000), expected);
    }
    assert!(f32::from_bits(to_bf16(f32::NAN) & 0xffff_0000).is_nan());
}

#[test]
fn a_product_of_bytes_is_that_of_rounded_numbers() {
    for (pixels, first, second, outputs) in [(1, 3, 2, 5), (97, 33, 6, 40)] {
        let (a, b) = (values(&[pixels, first], 7), values(&[pixels, second], 8));
        let (weights, bias) = (values(&[outputs, first + second], 9), values(&[outputs], 10));
        let (scale, shift) = (values(&[first], 11), values(&[first], 12));
        // The first source is never below 0, and its largest values lie beyond the range.
        let ways = [Bytes { inverse: 255.0 / 1.5, zero: 0.0 }, Bytes { inverse: 127.0 / 3.0, zero: 128.0 }];
        let x = |pixel: usize, k: usize| {
            let (value, way) = if k < first {
                ((a[pixel * first + k] * scale[k] + shift[k]).max(0.0), ways[0])
            } else {
                (b[pixel * second + k - first], ways[1])
            };
            let byte = (value * way.inverse + way.zero).round_ties_even().clamp(0.0, 255.0);
            f64::from((byte - way.zero) / way.inverse)
        };
        let inverse = |k: usize| f64::from(ways[usize::from(k >= first)].inverse);
        let w = |output: usize, k: usize| {
            let row = &weights[output * (first + second)..][..first + second];
            let step = |k: usize| f64::from(row[k]) / inverse(k);
            let most = (0..row.len()).map(|k| step(k).abs()).fold(0.0, f64::max) / 127.0;
            (step(k) / most).round() * most * inverse(k)
        };
        let product = |pixel: usize, output: usize| {
            (0..first + second).map(|k| x(pixel, k) * w(output, k)).sum::<f64>() + f64::from(bias[output])
        };
        everywhere(|name, machine| {
            let linear = Numbers {
                weights: weights.iter().map(|&w| f64::from(w)).collect(),
                bias: bias.iter().map(|&b| f64::from(b)).collect(),
                inputs: first + second,
                kernel: 1,
            };
            let panels = linear.pack_int8(&[(first, ways[0]), (second, ways[1])], machine.kernels.lanes());
            let to = padded(outputs, machine.kernels);
            let mut out = vec![f32::NAN; pixels * to];
            let sources = [
                Source { values: &a, stride: first, len: first, pairs: false },
                Source { values: &b, stride: second, len: second, pairs: false },
            ];
            Pointwise {
                pixels,
                sources: &sources,
                prepare: Some(&ScaleRelu { scale: scale.clone(), shift: shift.clone() }),
                panels: &panels,
                residual: Residual::None,
                activation: Activation::None,
                cells: &Cells::Int8(ways.to_vec()),
                pairs: false,
            }
            .run(machine, &mut out);
            let ours: Vec<f32> = out.chunks(to).flat_map(|pixel| &pixel[..outputs]).copied().collect();
            let expected: Vec<f32> =
                (0..pixels * outputs).map(|i| product(i / outputs, i % outputs) as f32).collect();
            // Where the prepared value lies between two bytes, its rounding may go either way.
            assert_close(&format!("{name}: {pixels} pixels"), &ours, &expected, 0.02);
            let off = ours.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
            assert!(off * 50 <= ours.len(), "{name}: {off} of {} outputs are others", ours.len());
        });
    }
}

#[test]
fn pooling_and_upsampling_agree_with_the_layers() {
    let (h, w, channels) = (6, 10, 21);
    let x = tensor(&values(&[1, channels, h, w], 14), &[1, channels, h, w]);
    let pooled = crate::interpolate::max_pool_2x2(&x).unwrap();
    let smooth = crate::interpolate::upsample_bilinear(&x, 4).unwrap();
    let smooth_sum = (&smooth + smooth.sqr().unwrap()).unwrap().relu().unwrap();
    let added = crate::interpolate::upsample_add(&x, &pooled).unwrap();
    everywhere(|name, machine| {
        let stride = padded(channels, machine.kernels);
        let mut out = vec![f32::NAN; h * w * stride / 4];
        let mut base = channels_last(&x, stride);
        spatial::max_pool(machine, &base, (h / 2, w / 2, stride), false, &mut out);
        assert_close(name, &out, &channels_last(&pooled, stride), 0.0);
        spatial::upsample_add(machine, &mut base, &out, (h / 2, w / 2, stride), false);
        assert_close(name, &base, &channels_last(&added, stride), 0.0);
        let low = channels_last(&x, stride);
        let mut out = channels_last(&smooth.sqr().unwrap(), stride);
        let (height, width, channels, base) = (h, w, stride, Residual::InPlace);
        Bilinear { low: &low, height, width, channels, factor: 4, base, activation: Activation::Relu }
            .run(machine, &mut out);
        assert_close(name, &out, &channels_last(&smooth_sum, stride), SUMS);
    });
}

#[test]
fn the_heads_activations_keep_their_digits_under_a_large_offset() {
    let (points, edges, pixels) = (5, 3, 150);
    everywhere(|name, machine| {
        let layout = Layout::new(points, Some(edges), machine.kernels.lanes());
        let mut maps = vec![0.0; pixels * layout.channels];
        for (p, pixel) in maps.chunks_exact_mut(layout.channels).enumerate() {
            // heatmaps of mean about 4096 and variance 1/4; point and edge maps from -100 to 100
            pixel[..points].fill(4096.0 + (p % 2) as f32);
            pixel[layout.heat..layout.used()].fill(p as f32 * 200.0 / 149.0 - 100.0);
        }
        heads::activate(machine, &layout, HeatmapActivation::InstanceNormRelu, &mut maps);
        for (p, pixel) in maps.chunks_exact(layout.channels).enumerate() {
            // (x - mean) / sqrt(1/4 + 1e-5) is +-1 less 2e-5; the ReLU takes the lower one
            let expected = if p % 2 == 0 { 0.0 } else { 0.5 / (0.25f32 + 1e-5).sqrt() };
            assert!((pixel[0] - expected).abs() < 1e-5, "{name}: {}", pixel[0]);
            assert!(pixel[points..layout.heat].iter().all(|&v| v == 0.0), "{name}: padding");
            let x = p as f64 * 200.0 / 149.0 - 100.0;
            let sigmoid = 1.0 / (1.0 + (-x).exp());
            assert!((f64::from(pixel[layout.heat]) - sigmoid).abs() < 1e-6, "{name}: sigmoid of {x}");
        }
    });
}
