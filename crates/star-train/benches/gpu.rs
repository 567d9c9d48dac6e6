//! What a CUDA card takes for the loss, a training step, inference and a sum over ranks: `tools/gpu/check.sh` runs it beside PyTorch.
//!
//! `cargo bench -p star-train --features cuda,cudnn,nccl --bench gpu -- [--small] loss | step f32|tf32|bf16 |
//! profile f32|tf32|bf16 | inference f32|tf32|bf16 | folder PHOTOGRAPHS | ranks`
//! prints a line `NAME VALUE UNIT` a figure. `--small` takes sizes at which nothing is measured, to see that all of it runs.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should stop")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use star_data::images::Depth;
use star_data::warp::warp;
use star_data::{FaceBox, decode};
use star_loss::moments::soft_argmax;
use star_loss::{Reduction, StarLoss, StarLossConfig};
use star_model::checkpoint::Architecture;
use star_model::{LandmarkModel, Parameters, StackedHourglassConfig, TrainingOptions};
use star_predict::parallel::map_ordered;
use star_predict::{Predictor, tensors};
use star_train::{Adam, Gradients, Optimizer};

/// Sizes of everything.
struct Sizes {
    /// Of maps of the loss.
    maps: [usize; 4],
    stacks: usize,
    levels: usize,
    channels: usize,
    image: usize,
    batch: usize,
    inference: [usize; 2],
    rounds: usize,
}

const FULL: Sizes = Sizes {
    maps: [32, 98, 64, 64],
    stacks: 4,
    levels: 4,
    channels: 256,
    image: 256,
    batch: 32,
    inference: [1, 64],
    rounds: 15,
};

const SMALL: Sizes = Sizes {
    maps: [1, 3, 16, 16],
    stacks: 2,
    levels: 2,
    channels: 8,
    image: 32,
    batch: 2,
    inference: [1, 2],
    rounds: 2,
};

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let sizes = if words.first().is_some_and(|word| word == "--small") {
        words.remove(0);
        SMALL
    } else {
        FULL
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let card = star_model::cuda::open(0).unwrap();
    match words[..] {
        ["loss"] => loss(&card, &sizes),
        ["step", precision] => step(&card, &sizes, precision, false),
        ["profile", precision] => step(&card, &sizes, precision, true),
        ["inference", precision] => inference(&card, &sizes, precision),
        ["folder", photographs] => folder(&card, &sizes, Path::new(photographs)),
        ["ranks"] => ranks(&card, &sizes),
        _ => {
            panic!(
                "expected loss, step or profile PRECISION, inference PRECISION, folder PATH or ranks, got {words:?}"
            )
        }
    }
}

/// Milliseconds of one of `calls` calls, the median of some rounds after a warm-up; the card is waited for at each end.
fn time(card: &Device, sizes: &Sizes, calls: usize, mut f: impl FnMut()) -> f64 {
    (0..3).for_each(|_| f());
    let mut times: Vec<f64> = (0..sizes.rounds)
        .map(|_| {
            card.synchronize().unwrap();
            let start = Instant::now();
            (0..calls).for_each(|_| f());
            card.synchronize().unwrap();
            1e3 * start.elapsed().as_secs_f64() / calls as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Values that look random, from -1 to 1.
fn values(shape: &[usize], dtype: DType, card: &Device) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> =
        (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0).collect();
    Tensor::from_vec(values, shape, card).unwrap().to_dtype(dtype).unwrap()
}

/// Bumps cut off as a ReLU does, as the peer has them.
fn bumps(shape: [usize; 4], seed: usize, card: &Device) -> Tensor {
    let [b, k, h, w] = shape;
    let centre = |i: usize| (((i + seed) * 7919 % 1000) as f64 / 1000.0 * 0.75 + 0.125) * w as f64;
    let maps = (0..b * k).flat_map(|m| {
        (0..h * w).map(move |i| {
            let (x, y) = ((i % w) as f64 - centre(2 * m), (i / w) as f64 - centre(2 * m + 1));
            ((-x * x / 8.0 - y * y / 3.0).exp() - 1e-4).max(0.0) as f32
        })
    });
    Tensor::from_vec(maps.collect::<Vec<_>>(), shape.to_vec(), card).unwrap()
}

fn loss(card: &Device, sizes: &Sizes) {
    let [b, k, h, w] = sizes.maps;
    let loss = StarLoss::new(StarLossConfig::default()).unwrap();
    let targets = (values(&[b, k, 2], DType::F32, card) * 0.8).unwrap();
    // Several sets, so that the cache holds none of them.
    let sets: Vec<Tensor> = (0..6).map(|seed| bumps(sizes.maps, seed, card)).collect();
    let bytes = (b * k * h * w * 4) as f64;
    // Reads a set and writes it: the rate at which the card moves memory.
    let mut turn = 0;
    let copy = time(card, sizes, 24, || {
        turn += 1;
        drop(sets[turn % 6].copy().unwrap());
    });
    println!("copy_rate {:.1} GB/s", 2.0 * bytes / copy / 1e6);
    // Reading the maps twice and writing once.
    println!("loss_floor {:.4} ms", 1.5 * copy);
    for dtype in [DType::F32, DType::BF16] {
        let sets: Vec<Tensor> = sets.iter().map(|set| set.to_dtype(dtype).unwrap()).collect();
        let gradients: Vec<Tensor> = sets.iter().map(|set| set.copy().unwrap()).collect();
        let at_once = time(card, sizes, 24, || {
            turn += 1;
            let (maps, gradient) = (&sets[turn % 6], &gradients[turn % 6]);
            loss.loss_and_gradient_into(maps, &targets, None, Reduction::Mean, gradient).unwrap();
        });
        println!("loss_at_once_{} {at_once:.4} ms", dtype.as_str());
    }
    let vars: Vec<_> = sets.iter().map(|set| candle_core::Var::from_tensor(set).unwrap()).collect();
    let by_graph = time(card, sizes, 6, || {
        turn += 1;
        let terms = loss.forward(&vars[turn % 6], &targets).unwrap();
        terms.reduce(None, Reduction::Mean).unwrap().backward().unwrap();
    });
    println!("loss_by_graph_f32 {by_graph:.4} ms");
}

fn architecture(sizes: &Sizes) -> Architecture {
    let edges = (0..9).map(|e| (11 * e..11 * e + 10).filter(|k| *k < 98).collect()).collect();
    Architecture::StackedHourglass(StackedHourglassConfig {
        stacks: sizes.stacks,
        levels: sizes.levels,
        channels: sizes.channels,
        image_size: sizes.image,
        ..StackedHourglassConfig::reference(98, edges)
    })
}

/// Parameters, the network in training and the type of its activations.
fn network(card: &Device, sizes: &Sizes, precision: &str) -> (Parameters, Box<dyn LandmarkModel>, DType) {
    let activations = match precision {
        "f32" | "tf32" => DType::F32,
        "bf16" => DType::BF16,
        other => panic!("expected f32, tf32 or bf16, got {other}"),
    };
    candle_core::cuda::set_gemm_reduced_precision_f32(precision == "tf32");
    let parameters = Parameters::new(0);
    let vb = parameters.var_builder(DType::F32, card);
    let options = TrainingOptions::default();
    let model = architecture(sizes).build_for_training(vb, &options).unwrap();
    (parameters, model, activations)
}

/// The network for inference: its tensors are no variables, so that nothing is kept for a backward pass.
fn trained(card: &Device, sizes: &Sizes, precision: &str) -> (Box<dyn LandmarkModel>, DType) {
    let (parameters, _, dtype) = network(card, sizes, precision);
    let tensors = parameters.tensors().into_iter().map(|(name, tensor)| (name, tensor.detach())).collect();
    let vb = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, card);
    (architecture(sizes).build(vb).unwrap(), dtype)
}

/// Forward, the mean square of every stage's maps, backward, and a step of Adam.
fn step(card: &Device, sizes: &Sizes, precision: &str, profiled: bool) {
    let (parameters, model, dtype) = network(card, sizes, precision);
    let images = values(&[sizes.batch, 3, sizes.image, sizes.image], dtype, card);
    let trainable = parameters.trainable();
    let mut adam = Optimizer::new(&Adam::default().into(), trainable.clone()).unwrap();
    let forward = || {
        let mut loss = Tensor::new(0f32, card).unwrap();
        for stage in model.forward_t(&images, true).unwrap() {
            let aux = stage.aux.into_iter().flat_map(|aux| [aux.pointmaps, aux.edgemaps]);
            for maps in aux.chain([stage.heatmaps]) {
                // Map by map first: candle sums a whole tensor by one block.
                let squares = maps.sqr().unwrap().flatten_from(2).unwrap().mean(2).unwrap();
                loss = (loss + squares.mean_all().unwrap()).unwrap();
            }
        }
        loss
    };
    let whole = |adam: &mut Optimizer| {
        let mut gradients = Gradients::default();
        gradients.add(&trainable, forward().backward().unwrap()).unwrap();
        adam.step(&gradients, 1e-4, 1.0).unwrap();
    };
    if profiled {
        // One step, for a profiler that is told when.
        whole(&mut adam);
        card.synchronize().unwrap();
        let profiler = candle_core::cuda::cudarc::driver::Profiler::new();
        whole(&mut adam);
        card.synchronize().unwrap();
        drop(profiler);
        return;
    }
    let rounds = Sizes { rounds: sizes.rounds.min(8), ..*sizes };
    let only = time(card, &rounds, 1, || drop(forward()));
    println!("forward_{precision} {only:.2} ms");
    let both = time(card, &rounds, 1, || drop(forward().backward().unwrap()));
    println!("forward_backward_{precision} {both:.2} ms");
    let took = time(card, &rounds, 1, || whole(&mut adam));
    println!("step_{precision} {took:.2} ms");
}

fn inference(card: &Device, sizes: &Sizes, precision: &str) {
    let (model, dtype) = trained(card, sizes, precision);
    for batch in sizes.inference {
        let images = values(&[batch, 3, sizes.image, sizes.image], dtype, card);
        let calls = if batch == 1 { 10 } else { 2 };
        let took = time(card, sizes, calls, || {
            let stages = model.forward_t(&images, false).unwrap();
            soft_argmax(&stages.last().unwrap().heatmaps).unwrap();
        });
        println!("inference_{precision}_{batch} {took:.3} ms");
    }
}

/// Images a second from photographs in a folder to landmarks: decoded and cut out by threads, 16 at a time through the network.
fn folder(card: &Device, sizes: &Sizes, photographs: &Path) {
    const BATCH: usize = 16;
    let (model, dtype) = trained(card, sizes, "tf32");
    let predictor = Predictor::new(model, dtype, card).with_batch_size(BATCH);
    let crop = tensors::crop(predictor.input());
    let paths = star_data::images::list(&[photographs.into()], Depth::Folder).unwrap().images;
    let cut = |_: usize, path: PathBuf| {
        let image = decode::decode_oriented(&path)?;
        let (width, height) = (image.width() as f32, image.height() as f32);
        let side = 0.75 * width.min(height);
        let face = FaceBox { x: (width - side) / 2.0, y: (height - side) / 2.0, width: side, height: side };
        let map = crop.transform(&face)?;
        Ok((warp(&image, &map, crop.size)?.into_raw(), map))
    };
    let workers = std::thread::available_parallelism().unwrap().get().saturating_sub(2).max(1);
    // The first batch loads the kernels.
    let all = |paths: &[PathBuf]| {
        let (mut pixels, mut maps, mut faces) = (Vec::new(), Vec::new(), 0);
        let mut flush = |pixels: &mut Vec<u8>, maps: &mut Vec<_>| {
            faces += predictor.predict_crops(pixels, maps).unwrap().len();
            pixels.clear();
            maps.clear();
        };
        map_ordered(paths.iter().cloned().map(Ok), workers, cut, |cut: star_data::Result<_>| {
            let (bytes, map) = cut.unwrap();
            pixels.extend(bytes);
            maps.push(map);
            if maps.len() == BATCH {
                flush(&mut pixels, &mut maps);
            }
            Ok::<(), anyhow::Error>(())
        })
        .unwrap();
        if !maps.is_empty() {
            flush(&mut pixels, &mut maps);
        }
        assert_eq!(faces, paths.len());
    };
    all(&paths[..paths.len().min(BATCH)]);
    let start = Instant::now();
    all(&paths);
    println!("folder {:.1} images/s", paths.len() as f64 / start.elapsed().as_secs_f64());
}

/// The sum of gradients over one rank by NCCL, which is what they were.
#[cfg(feature = "nccl")]
fn ranks(card: &Device, sizes: &Sizes) {
    use star_train::collective::{Alone, Collective, Nccl};
    let alone = Nccl::over(Alone);
    let count = 13_000_000 / 512 * sizes.image.min(512);
    let vector = values(&[count], DType::F32, card);
    let sums = alone.all_reduce_tensor(&vector).unwrap();
    let worst = (&sums - &vector).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    println!("nccl_difference {worst:e} absolute");
    println!("nccl_sum {:.3} ms", time(card, sizes, 4, || drop(alone.all_reduce_tensor(&vector).unwrap())));
}

#[cfg(not(feature = "nccl"))]
fn ranks(_: &Device, _: &Sizes) {
    panic!("ranks: build this with the feature nccl")
}
