//! Against the same network by candle's convolutions.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::gradient_check::noise;
use crate::interpolate::{max_pool_2x2, upsample_add};

/// Weights of the shape of the published ones.
fn weights() -> HashMap<String, Tensor> {
    let mut tensors = HashMap::new();
    let mut seed = 0;
    let mut add = |name: String, shape: &[usize], scale: f64| {
        seed += 1;
        let tensor = (noise(shape, seed).affine(scale, 0.0)).unwrap().to_dtype(DType::F32).unwrap();
        tensors.insert(name, tensor);
    };
    add("backbone.model0.pw.weight".to_string(), &[FRONT, 3, 3, 3], 0.002);
    add("backbone.model0.pw.bias".to_string(), &[FRONT], 0.1);
    let mut unit = |place: &str, inputs: usize, outputs: usize| {
        add(format!("{place}.pw.weight"), &[outputs, inputs, 1, 1], 1.5 / (inputs as f64).sqrt());
        add(format!("{place}.pw.bias"), &[outputs], 0.1);
        add(format!("{place}.dw.weight"), &[outputs, 1, 3, 3], 0.5);
        add(format!("{place}.dw.bias"), &[outputs], 0.1);
    };
    unit("backbone.model0.dp", FRONT, FRONT);
    for (block, [inputs, outputs]) in [[16, 32], [32, 64], [64, 64], [64, 64], [64, 64]].iter().enumerate() {
        unit(&format!("backbone.model{}.dp1", block + 1), *inputs, *inputs);
        unit(&format!("backbone.model{}.dp2", block + 1), *inputs, *outputs);
    }
    for level in 0..3 {
        unit(&format!("neck.lateral_convs.{level}"), WIDE, WIDE);
        for (part, outputs) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
            unit(&format!("bbox_head.multi_level_{part}.{level}"), WIDE, outputs);
        }
    }
    tensors
}

/// A network by candle's operations.
struct Oracle(HashMap<String, Tensor>);

impl Oracle {
    fn conv(&self, x: &Tensor, place: &str, stride: usize, groups: usize) -> Tensor {
        let (weight, bias) = (&self.0[&format!("{place}.weight")], &self.0[&format!("{place}.bias")]);
        let y = x.conv2d(weight, weight.dim(2).unwrap() / 2, stride, 1, groups).unwrap();
        y.broadcast_add(&bias.reshape((1, (), 1, 1)).unwrap()).unwrap()
    }

    fn linear(&self, x: &Tensor, place: &str) -> Tensor {
        let y = self.conv(x, &format!("{place}.pw"), 1, 1);
        self.conv(&y, &format!("{place}.dw"), 1, y.dim(1).unwrap())
    }

    fn unit(&self, x: &Tensor, place: &str) -> Tensor {
        self.linear(x, place).relu().unwrap()
    }

    fn block(&self, x: &Tensor, block: usize) -> Tensor {
        let x = self.unit(x, &format!("backbone.model{block}.dp1"));
        self.unit(&x, &format!("backbone.model{block}.dp2"))
    }

    /// Maps `[1, 16, H, W]`, the finest first.
    fn maps(&self, image: &Tensor) -> Vec<Tensor> {
        let pool = |x: &Tensor| max_pool_2x2(x).unwrap();
        let x = self.conv(image, "backbone.model0.pw", 2, 1).relu().unwrap();
        let x = pool(&self.unit(&x, "backbone.model0.dp"));
        let x = self.block(&self.block(&x, 1), 2);
        let mut levels = vec![self.block(&pool(&x), 3)];
        for block in [4, 5] {
            levels.push(self.block(&pool(levels.last().unwrap()), block));
        }
        let mut above: Option<Tensor> = None;
        let mut maps = Vec::new();
        for (level, x) in levels.iter().enumerate().rev() {
            let x = above.map_or_else(|| x.clone(), |low| upsample_add(x, &low).unwrap());
            let joined = self.unit(&x, &format!("neck.lateral_convs.{level}"));
            let parts = ["cls", "obj", "bbox", "kps"]
                .map(|part| self.linear(&joined, &format!("bbox_head.multi_level_{part}.{level}")));
            maps.insert(0, Tensor::cat(&parts, 1).unwrap());
            above = Some(joined);
        }
        maps
    }
}

/// An image of RGB bytes and the tensor that the network reads of it.
fn image(height: usize, width: usize) -> (Vec<u8>, Tensor) {
    let noise: Vec<f64> = noise(&[height * width * 3], 3).to_vec1().unwrap();
    let rgb: Vec<u8> = noise.iter().map(|v| (128.0 + 60.0 * v).clamp(0.0, 255.0) as u8).collect();
    let tensor = Tensor::from_slice(&rgb, (height, width, 3), &Device::Cpu).unwrap();
    let tensor = tensor.to_dtype(DType::F32).unwrap().permute((2, 0, 1)).unwrap();
    let tensor = tensor.contiguous().unwrap().flip(&[0]).unwrap();
    let beside = |side: usize| side.next_multiple_of(STEP) - side;
    let tensor = tensor.pad_with_zeros(1, 0, beside(height)).unwrap();
    (rgb, tensor.pad_with_zeros(2, 0, beside(width)).unwrap().unsqueeze(0).unwrap())
}

#[test]
fn maps_are_those_of_the_same_convolutions_by_candle_for_any_size_and_instruction_set() {
    let tensors = weights();
    let oracle = Oracle(tensors.clone());
    // More rows than a band of the front, an odd size, fewer pixels than the coarsest stride.
    for (height, width) in [(160, 96), (75, 130), (1, 9)] {
        let (rgb, tensor) = image(height, width);
        let wanted = oracle.maps(&tensor);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let network = YuNet::for_isa(&tensors, isa).unwrap();
            // The second call works in memory that the first has left.
            for _ in 0..2 {
                let maps = network.maps(&rgb, height, width).unwrap();
                for ((maps, wanted), stride) in maps.iter().zip(&wanted).zip(STRIDES) {
                    let (_, channels, h, w) = wanted.dims4().unwrap();
                    assert_eq!(
                        (maps.stride, maps.height, maps.width, FaceMaps::CHANNELS),
                        (stride, h, w, channels)
                    );
                    let wanted: Vec<f32> =
                        wanted.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                    let largest = wanted.iter().fold(0f32, |most, v| most.max(v.abs()));
                    assert!(largest > 0.05, "{largest}");
                    for (a, b) in maps.values.iter().zip(&wanted) {
                        assert!((a - b).abs() < 1e-4 * largest, "{isa:?} {height}x{width}: {a} {b}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let good = weights();
    let refused = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let mut tensors = good.clone();
        change(&mut tensors);
        YuNet::new(&tensors).err().unwrap().to_string()
    };
    let name = "neck.lateral_convs.1.dw.bias";
    assert!(refused(&|t| drop(t.remove(name))).contains(name));
    let name = "bbox_head.multi_level_kps.0.pw.weight";
    let of = |range: Range<usize>| Tensor::zeros((range.len(), WIDE - 1, 1, 1), DType::F32, &Device::Cpu);
    assert!(refused(&|t| drop(t.insert(name.to_string(), of(0..10).unwrap()))).contains(name));
    let network = YuNet::new(&good).unwrap();
    for (bytes, height, width) in [(0, 0, 0), (11, 2, 2)] {
        let message = network.maps(&vec![0; bytes], height, width).unwrap_err().to_string();
        assert!(message.contains("expected") && message.contains(&format!("{bytes} bytes")), "{message}");
    }
}
