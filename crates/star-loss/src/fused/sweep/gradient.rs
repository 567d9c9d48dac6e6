//! The second sweep: the gradient of one map.

use super::level::Level;
use super::real::{Real, times_add};

/// The gradient of one map: `k + kx dx + ky dy + kxx dx^2 + kxy dx dy + kyy dy^2 + kp p`, with `dx`, `dy` in pixels from the mean
/// and `p = h * scale`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Quadratic {
    pub(crate) mean: [f64; 2],
    pub(crate) k: f64,
    pub(crate) kx: f64,
    pub(crate) ky: f64,
    pub(crate) kxx: f64,
    pub(crate) kxy: f64,
    pub(crate) kyy: f64,
    pub(crate) kp: f64,
    pub(crate) scale: f64,
}

#[inline(always)]
fn gradient_by_rows<T: Real, const RELU: bool, const FMA: bool>(
    map: &[T],
    q: &Quadratic,
    dx: &[T],
    ys: &[f64],
    out: &mut [T],
) {
    let width = dx.len();
    let (kxx, kp, scale) = (T::narrow(q.kxx), T::narrow(q.kp), T::narrow(q.scale));
    // Offsets come from a table: a conversion from integers in this loop waits for the row before.
    for ((row, out), y) in map.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(ys) {
        let dy = y - q.mean[1];
        let constant = T::narrow(q.k + dy * (q.ky + dy * q.kyy));
        let linear = T::narrow(q.kx + dy * q.kxy);
        for ((h, dx), out) in row.iter().zip(dx).zip(out) {
            let polynomial = times_add::<_, FMA>(*dx, times_add::<_, FMA>(*dx, kxx, linear), constant);
            let mass = if *h > T::TINY || *h < -T::TINY { *h } else { T::zero() };
            let g = times_add::<_, FMA>(kp, mass * scale, polynomial);
            *out = if RELU && *h <= T::zero() { T::zero() } else { g };
        }
    }
}

macro_rules! compiled_for {
    ($gradient:ident, $features:literal) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        fn $gradient<T: Real, const RELU: bool>(
            map: &[T],
            q: &Quadratic,
            dx: &[T],
            ys: &[f64],
            out: &mut [T],
        ) {
            gradient_by_rows::<T, RELU, true>(map, q, dx, ys, out);
        }
    };
}
compiled_for!(gradient_avx2, "avx2,fma");
compiled_for!(gradient_avx512, "avx512f,avx2,fma");

/// Writes the gradient of one map; `dx` is scratch of the width of the map.
pub(crate) fn gradient<T: Real, const RELU: bool>(
    level: Level,
    map: &[T],
    q: &Quadratic,
    [xs, ys]: [&[f64]; 2],
    dx: &mut Vec<T>,
    out: &mut [T],
) {
    dx.clear();
    dx.extend(xs.iter().map(|x| T::narrow(x - q.mean[0])));
    let q = &q.within(T::max_value().as_(), xs.len(), ys.len());
    match level {
        Level::Portable => gradient_by_rows::<T, RELU, false>(map, q, dx, ys, out),
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "this level is only detected on machines with these instructions")]
        Level::Avx2 => unsafe { gradient_avx2::<T, RELU>(map, q, dx, ys, out) },
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "this level is only detected on machines with these instructions")]
        Level::Avx512 => unsafe { gradient_avx512::<T, RELU>(map, q, dx, ys, out) },
    }
}

impl Quadratic {
    /// The same, shrunk as a whole if an entry of the gradient could leave the range of its dtype.
    fn within(&self, limit: f64, width: usize, height: usize) -> Self {
        let (x, y) = (width as f64, height as f64);
        let linear = self.kx.abs().max(self.kxx.abs() * x).max(self.kxy.abs() * y);
        let largest = linear * x + self.k.abs() + self.kp.abs() + y * (self.ky.abs() + y * self.kyy.abs());
        let bound = 0.125 * limit;
        if largest <= bound {
            return *self;
        }
        let by = bound / largest.min(f64::MAX);
        let mut shrunk = *self;
        for k in [
            &mut shrunk.k,
            &mut shrunk.kx,
            &mut shrunk.ky,
            &mut shrunk.kxx,
            &mut shrunk.kxy,
            &mut shrunk.kyy,
            &mut shrunk.kp,
        ] {
            *k *= by;
        }
        shrunk
    }
}
