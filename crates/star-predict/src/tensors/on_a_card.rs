//! Batches on a CUDA card against those on the CPU.

use candle_core::{DType, Device, Tensor};
use star_data::affine::Affine;
use star_data::loader::Batch;
use star_model::{ChannelOrder, InputSpec};

use super::{BatchTensors, Target, Uploader, batch, images};

fn card() -> Option<Device> {
    match star_model::cuda::open(0) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("no card, so this test is skipped: {error}");
            None
        }
    }
}

fn inputs(size: usize) -> [InputSpec; 2] {
    let imagenet = InputSpec {
        order: ChannelOrder::Rgb,
        mean: [123.675, 116.28, 103.53],
        std: [58.395, 57.12, 57.375],
        ..InputSpec::reference(size)
    };
    [InputSpec::reference(size), imagenet]
}

/// Samples, keypoints, edges, side of images, side of maps.
fn loaded([b, k, e, s, m]: [usize; 5], maps: bool, seed: usize) -> Batch {
    let bytes = |count: usize| (0..count).map(|i| ((i + seed) * 47 % 256) as u8).collect();
    let floats = |count: usize, step: f32| -> Vec<f32> {
        (0..count).map(|i| ((i + seed) as f32 * step).sin()).collect()
    };
    Batch {
        images: bytes(b * s * s * 3),
        points: floats(b * k * 2, 0.7),
        weights: floats(b * k, 0.9),
        pointmaps: maps.then(|| floats(b * k * m * m, 0.3)),
        edgemaps: maps.then(|| floats(b * e * m * m, 0.2)),
        crops: vec![Affine::IDENTITY; b],
        indices: (0..b).collect(),
        batch: b,
        size: s,
        keypoints: k,
        edges: e,
        map_size: m,
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn parts(tensors: &BatchTensors) -> Vec<&Tensor> {
    let maps = tensors.maps.iter().flat_map(|maps| [&maps.pointmaps, &maps.edgemaps]);
    [&tensors.images, &tensors.points, &tensors.weights].into_iter().chain(maps).collect()
}

fn assert_same(card: &BatchTensors, cpu: &BatchTensors) {
    assert_eq!(parts(card).len(), parts(cpu).len());
    for (card, cpu) in parts(card).into_iter().zip(parts(cpu)) {
        assert_eq!((card.dims(), card.dtype()), (cpu.dims(), cpu.dtype()));
        assert!(numbers(card) == numbers(cpu), "{:?} in {:?}", card.dims(), card.dtype());
    }
}

/// Two are always under way, of sizes that make memory grow and leave it larger than is needed.
#[test]
fn batches_on_a_card_have_the_bits_of_those_on_the_cpu() {
    let Some(device) = card() else { return };
    for input in inputs(24) {
        for (dtype, of_images) in
            [(DType::F32, DType::F32), (DType::F64, DType::F64), (DType::F32, DType::BF16)]
        {
            let target = |device: &Device| Target {
                input: input.clone(),
                images: of_images,
                dtype,
                device: device.clone(),
            };
            let mut there = Uploader::new(target(&device)).unwrap();
            let mut here = Uploader::new(target(&Device::Cpu)).unwrap();
            assert!(there.is_ahead() && !here.is_ahead());
            let batches: Vec<Batch> = [3, 1, 40, 2, 70, 5, 3, 1]
                .into_iter()
                .enumerate()
                .map(|(i, b)| loaded([b, 5, 3, 24, 12], i != 3, i))
                .collect();
            let mut under_way = Some(there.send(&batches[0]).unwrap());
            let mut kept = Vec::new();
            for (i, batch) in batches.iter().enumerate() {
                let sent = under_way.take().unwrap();
                under_way = batches.get(i + 1).map(|next| there.send(next).unwrap());
                kept.push(there.receive(sent, batch).unwrap());
                if i == 5 {
                    // Some that nobody asks for any more, one of them empty.
                    drop(there.send(batch).unwrap());
                    drop(there.send(&loaded([0, 5, 3, 24, 12], true, i)).unwrap());
                }
            }
            // Compared at last: nothing may have been written over them.
            for (card, batch) in kept.iter().zip(&batches) {
                let sent = here.send(batch).unwrap();
                assert_same(card, &here.receive(sent, batch).unwrap());
            }
        }
    }
}

#[test]
fn images_on_a_card_have_the_bits_of_those_on_the_cpu() {
    let Some(device) = card() else { return };
    for input in inputs(7) {
        let batch = loaded([5, 1, 0, 7, 1], false, 3);
        for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
            let [card, cpu] = [&device, &Device::Cpu]
                .map(|device| images(&batch.images, 7, &input, dtype, device).unwrap());
            assert_eq!((card.dims(), card.dtype()), (cpu.dims(), cpu.dtype()));
            assert_eq!(numbers(&card), numbers(&cpu));
        }
    }
}

#[test]
fn a_batch_that_is_not_what_it_says_is_refused() {
    let Some(device) = card() else { return };
    let input = InputSpec::reference(8);
    let target = Target { input: input.clone(), images: DType::F32, dtype: DType::F32, device };
    let mut uploader = Uploader::new(target).unwrap();
    let mut cut = loaded([2, 3, 1, 8, 4], true, 0);
    cut.points.pop();
    let message = uploader.send(&cut).err().unwrap().to_string();
    assert!(message.contains("points") && message.contains("11"), "{message}");
    let other = loaded([2, 3, 1, 9, 4], true, 0);
    assert!(uploader.send(&other).err().unwrap().to_string().contains("got 9 px"));
    // As the CPU has it.
    assert!(batch(&cut, &input, DType::F32, &Device::Cpu).is_err());
}
