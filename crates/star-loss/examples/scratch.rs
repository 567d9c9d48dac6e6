#![allow(unsafe_code, missing_docs, clippy::all)]
use candle_core::*;
use star_loss::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::time::Instant;
struct C;
static CUR: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
unsafe impl GlobalAlloc for C {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 {
        let c = CUR.fetch_add(l.size(), SeqCst) + l.size();
        PEAK.fetch_max(c, SeqCst);
        unsafe { System.alloc(l) }
    }
    unsafe fn alloc_zeroed(&self, l: Layout) -> *mut u8 {
        let c = CUR.fetch_add(l.size(), SeqCst) + l.size();
        PEAK.fetch_max(c, SeqCst);
        unsafe { System.alloc_zeroed(l) }
    }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) {
        CUR.fetch_sub(l.size(), SeqCst);
        unsafe { System.dealloc(p, l) }
    }
}
#[global_allocator]
static A: C = C;
fn naive(h: &Tensor, t: &Tensor) -> Result<Tensor> {
    let (b, k, hh, ww) = h.dims4()?;
    let d = h.device();
    let ax = |n: usize| {
        Tensor::from_vec((0..n).map(|i| 2.0 * i as f32 / (n - 1) as f32 - 1.0).collect::<Vec<_>>(), n, d)
    };
    let x = ax(ww)?.reshape((1, 1, 1, ww))?;
    let y = ax(hh)?.reshape((1, 1, hh, 1))?;
    let s = h.sum_keepdim((2, 3))?;
    let p = h.broadcast_div(&s)?;
    let mx = p.broadcast_mul(&x)?.sum_keepdim((2, 3))?;
    let my = p.broadcast_mul(&y)?.sum_keepdim((2, 3))?;
    let dx = x.broadcast_sub(&mx)?;
    let dy = y.broadcast_sub(&my)?;
    let v1 = (p.sum_keepdim((2, 3))? + 1e-5)?;
    let v2 = (p.sqr()?.sum_keepdim((2, 3))? + 1e-5)?;
    let den = (&v1 - (v2 / &v1)?)?;
    let pdx = p.broadcast_mul(&dx)?;
    let pdy = p.broadcast_mul(&dy)?;
    let xx = (pdx.broadcast_mul(&dx)?.sum_keepdim((2, 3))? / &den)?;
    let xy = (pdx.broadcast_mul(&dy)?.sum_keepdim((2, 3))? / &den)?;
    let yy = (pdy.broadcast_mul(&dy)?.sum_keepdim((2, 3))? / &den)?;
    fin(b, k, mx, my, xx, xy, yy, t)
}
fn fin(
    b: usize,
    k: usize,
    mx: Tensor,
    my: Tensor,
    xx: Tensor,
    xy: Tensor,
    yy: Tensor,
    t: &Tensor,
) -> Result<Tensor> {
    let r = |t: Tensor| t.reshape((b, k, 1));
    let m = Tensor::cat(&[r(mx)?, r(my)?], 2)?;
    let c = Tensor::cat(&[r(xx)?, r(xy.clone())?, r(xy)?, r(yy)?], 2)?.reshape((b, k, 2, 2))?;
    StarLoss::new(StarLossConfig::default())?
        .composed()
        .forward_moments(&m, &c, t)?
        .reduce(None, Reduction::Mean)
}
fn mono(h: &Tensor, t: &Tensor) -> Result<Tensor> {
    let (b, k, hh, ww) = h.dims4()?;
    let n = b * k;
    let d = h.device();
    let mut g = Vec::new();
    for i in 0..hh {
        for j in 0..ww {
            let x = 2.0 * j as f32 / (ww - 1) as f32 - 1.0;
            let y = 2.0 * i as f32 / (hh - 1) as f32 - 1.0;
            g.extend([1.0, x, y, x * x, x * y, y * y]);
        }
    }
    let g = Tensor::from_vec(g, (hh * ww, 6), d)?;
    let f = h.reshape((n, hh * ww))?;
    let s = f.matmul(&g)?;
    let c = |i| s.narrow(1, i, 1);
    let mass = c(0)?;
    let mx = (c(1)? / &mass)?;
    let my = (c(2)? / &mass)?;
    let sq = (f.sqr()?.sum_keepdim(1)? / mass.sqr()?)?;
    let v1 = 1.00001;
    let den = ((sq + 1e-5)?.affine(-1.0 / v1, v1))?;
    let xx = (((c(3)? / &mass)? - mx.sqr()?)? / &den)?;
    let xy = (((c(4)? / &mass)? - (&mx * &my)?)? / &den)?;
    let yy = (((c(5)? / &mass)? - my.sqr()?)? / &den)?;
    fin(b, k, mx, my, xx, xy, yy, t)
}
fn main() -> Result<()> {
    let (b, k, h, w) = (32, 98, 64, 64);
    let vals: Vec<f32> = (0..b * k)
        .flat_map(|n| {
            let (mx, my) = (8.0 + (n * 7 % 48) as f32, 8.0 + (n * 13 % 48) as f32);
            (0..h * w).map(move |i| {
                let (dx, dy) = ((i % w) as f32 - mx, (i / w) as f32 - my);
                ((-(dx * dx) / 8.0 - dy * dy / 3.0).exp() - 1e-4).max(0.0)
            })
        })
        .collect();
    let hm = Var::from_vec(vals, (b, k, h, w), &Device::Cpu)?;
    let t = Tensor::from_vec(
        (0..2 * b * k).map(|i| (i as f32 * 0.37).sin() * 0.8).collect::<Vec<f32>>(),
        (b, k, 2),
        &Device::Cpu,
    )?;
    let ours = |h: &Tensor, t: &Tensor| {
        StarLoss::new(StarLossConfig::default())?.composed().forward(h, t)?.reduce(None, Reduction::Mean)
    };
    let fs: [(&str, &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>); 3] =
        [("broadcast", &naive), ("ours", &ours), ("monomials", &mono)];
    let mut ts = vec![vec![]; 3];
    for r in 0..6 {
        for (i, (name, f)) in fs.iter().enumerate() {
            let base = CUR.load(SeqCst);
            PEAK.store(base, SeqCst);
            let s = Instant::now();
            let l = f(&hm, &t)?;
            let g = l.backward()?;
            let e = s.elapsed().as_secs_f64() * 1e3;
            if r > 0 {
                ts[i].push(e);
            }
            if r == 0 {
                println!(
                    "{name} loss {} gradnorm {} peak {} MiB",
                    l.to_scalar::<f32>()?,
                    g.get(&hm).unwrap().sqr()?.sum_all()?.to_scalar::<f32>()?.sqrt(),
                    (PEAK.load(SeqCst) - base) >> 20
                );
            }
            drop(g);
        }
    }
    for (i, (name, _)) in fs.iter().enumerate() {
        ts[i].sort_by(f64::total_cmp);
        println!("{name}: {:.0} ms", ts[i][2]);
    }
    Ok(())
}
