//! The two sweeps over one map: seven sums, and the gradient.
//!
//! Sums are kept in f64 over pixel offsets from the middle of the map: for f32 maps every product but `h^2 x^2` is exact. The
//! loops are written in lanes that the compiler turns into vectors, and compiled three times: for any machine, for AVX2 with FMA
//! and for AVX-512, chosen when the program runs.

/// A float that maps are stored in.
pub(crate) trait Real:
    Copy + Send + Sync + PartialOrd + std::ops::Neg<Output = Self> + 'static
{
    const ZERO: Self;
    /// Largest finite number.
    const LIMIT: f64;
    /// Masses up to this count as 0 in the gradient's last term, where they are nothing beside the others: a product with a
    /// subnormal number takes some hundred cycles, and the tails of a Gaussian map are full of them.
    const TINY: Self;
    fn wide(self) -> f64;
    fn narrow(x: f64) -> Self;
    fn times(self, by: Self) -> Self;
    /// `self * by + add`, rounded once if `FMA`.
    fn times_add<const FMA: bool>(self, by: Self, add: Self) -> Self;
}

macro_rules! real {
    ($t:ty, $tiny:literal) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const LIMIT: f64 = <$t>::MAX as f64;
            const TINY: Self = $tiny;
            #[inline(always)]
            fn wide(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn narrow(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn times(self, by: Self) -> Self {
                self * by
            }
            #[inline(always)]
            fn times_add<const FMA: bool>(self, by: Self, add: Self) -> Self {
                if FMA { self.mul_add(by, add) } else { self * by + add }
            }
        }
    };
}
real!(f32, 1e-30);
real!(f64, 1e-290);

/// Raw sums over one map, `x` and `y` in pixels from its middle.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) mass: f64,
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) xx: f64,
    pub(crate) xy: f64,
    pub(crate) yy: f64,
    pub(crate) squares: f64,
}

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

/// Which instructions the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    pub(crate) fn detect() -> Self {
        Self::all().pop().unwrap_or(Self::Portable)
    }

    /// Every level this machine can run, the best last.
    pub(crate) fn all() -> Vec<Self> {
        let mut levels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let fma =
                std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
            if fma {
                levels.push(Self::Avx2);
            }
            if fma && std::arch::is_x86_feature_detected!("avx512f") {
                levels.push(Self::Avx512);
            }
        }
        levels
    }
}

/// Offsets of the pixels of an axis from its middle.
pub(crate) fn offsets(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64 - crate::grid::middle(n)).collect()
}

#[inline(always)]
fn sums_in_lanes<T: Real, const RELU: bool, const LANES: usize, const FMA: bool>(
    map: &[T],
    xs: &[f64],
    ys: &[f64],
) -> Sums {
    let width = xs.len();
    let [mut mass, mut x, mut y, mut xx, mut xy, mut yy, mut squares] = [[0f64; LANES]; 7];
    let mut tail = Sums::default();
    for (row, v) in map.chunks_exact(width).zip(ys) {
        let (mut row_mass, mut row_x) = ([0f64; LANES], [0f64; LANES]);
        let (cells, us) = (row.chunks_exact(LANES), xs.chunks_exact(LANES));
        let (last_cells, last_us) = (cells.remainder(), us.remainder());
        for (cells, us) in cells.zip(us) {
            for lane in 0..LANES {
                let h = positive::<T, RELU>(cells[lane]);
                let hu = h * us[lane];
                row_mass[lane] += h;
                row_x[lane] += hu;
                xx[lane] = hu.times_add::<FMA>(us[lane], xx[lane]);
                squares[lane] = h.times_add::<FMA>(h, squares[lane]);
            }
        }
        for lane in 0..LANES {
            mass[lane] += row_mass[lane];
            x[lane] += row_x[lane];
            y[lane] = row_mass[lane].times_add::<FMA>(*v, y[lane]);
            yy[lane] = (row_mass[lane] * v).times_add::<FMA>(*v, yy[lane]);
            xy[lane] = row_x[lane].times_add::<FMA>(*v, xy[lane]);
        }
        // Apart from the lanes: an index into them would put them into memory.
        for (h, u) in last_cells.iter().zip(last_us) {
            let h = positive::<T, RELU>(*h);
            let hu = h * u;
            tail.mass += h;
            tail.x += hu;
            tail.y += h * v;
            tail.xx += hu * u;
            tail.xy += hu * v;
            tail.yy += h * v * v;
            tail.squares += h * h;
        }
    }
    let total = |lanes: [f64; LANES]| lanes.iter().sum::<f64>();
    Sums {
        mass: total(mass) + tail.mass,
        x: total(x) + tail.x,
        y: total(y) + tail.y,
        xx: total(xx) + tail.xx,
        xy: total(xy) + tail.xy,
        yy: total(yy) + tail.yy,
        squares: total(squares) + tail.squares,
    }
}

#[inline(always)]
fn positive<T: Real, const RELU: bool>(h: T) -> f64 {
    let h = h.wide();
    if RELU && h < 0.0 { 0.0 } else { h }
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
            let polynomial = dx.times_add::<FMA>(dx.times_add::<FMA>(kxx, linear), constant);
            let mass = if *h > T::TINY || *h < -T::TINY { *h } else { T::ZERO };
            let g = kp.times_add::<FMA>(mass.times(scale), polynomial);
            *out = if RELU && *h <= T::ZERO { T::ZERO } else { g };
        }
    }
}

macro_rules! compiled_for {
    ($sums:ident, $gradient:ident, $lanes:literal, $features:literal) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        fn $sums<T: Real, const RELU: bool>(map: &[T], xs: &[f64], ys: &[f64]) -> Sums {
            sums_in_lanes::<T, RELU, $lanes, true>(map, xs, ys)
        }

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
compiled_for!(sums_avx2, gradient_avx2, 8, "avx2,fma");
compiled_for!(sums_avx512, gradient_avx512, 16, "avx512f,avx2,fma");

/// Sums over one map `[H, W]` with the column and row offsets `xs` and `ys`; with `RELU` negative values count as 0.
pub(crate) fn sums<T: Real, const RELU: bool>(level: Level, map: &[T], xs: &[f64], ys: &[f64]) -> Sums {
    match level {
        Level::Portable => sums_in_lanes::<T, RELU, 4, false>(map, xs, ys),
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "this level is only detected on machines with these instructions")]
        Level::Avx2 => unsafe { sums_avx2::<T, RELU>(map, xs, ys) },
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "this level is only detected on machines with these instructions")]
        Level::Avx512 => unsafe { sums_avx512::<T, RELU>(map, xs, ys) },
    }
}

/// Copies past the caches, for outputs that are larger than these: a plain store would first read what it overwrites.
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "stores that bypass the cache exist as intrinsics alone; sizes and alignment are checked here"
)]
pub(crate) fn stream<T: Real>(from: &[T], to: &mut [T]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    const WIDTH: usize = size_of::<__m128i>();
    let aligned = to.as_ptr().cast::<u8>().align_offset(WIDTH) == 0;
    if from.len() != to.len() || !size_of_val(from).is_multiple_of(WIDTH) || !aligned {
        return to.copy_from_slice(from);
    }
    let vectors = size_of_val(from) / WIDTH;
    let (from, to) = (from.as_ptr().cast::<__m128i>(), to.as_mut_ptr().cast::<__m128i>());
    // SAFETY: both slices hold `vectors` whole vectors of plain floats, `to` is aligned, SSE2 is part of x86-64, and the fence
    // orders these stores before what other threads do next.
    unsafe {
        for i in 0..vectors {
            _mm_stream_si128(to.add(i), _mm_loadu_si128(from.add(i)));
        }
        _mm_sfence();
    }
}

/// Plain copy where the machine has no such stores.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn stream<T: Real>(from: &[T], to: &mut [T]) {
    to.copy_from_slice(from);
}

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
    let q = &q.within(T::LIMIT, xs.len(), ys.len());
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

#[cfg(test)]
mod tests {
    use super::{Level, Quadratic, Sums, gradient, offsets, stream, sums};

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
    }

    fn map(area: usize) -> Vec<f32> {
        (0..area).map(|i| (0.7 * i as f32).sin()).collect()
    }

    #[test]
    fn the_sums_of_a_3x2_map_are_those_by_hand() {
        // Columns at -1/2, 1/2; rows at -1, 0, 1.
        let map = [1f32, 2., 0., 0., 4., 0.];
        let by_hand = Sums { mass: 7., x: -1.5, y: 1., xx: 1.75, xy: -2.5, yy: 7., squares: 21. };
        for level in Level::all() {
            assert_eq!(sums::<f32, false>(level, &map, &offsets(2), &offsets(3)), by_hand, "{level:?}");
        }
    }

    #[test]
    fn every_level_of_instructions_gives_the_same_sums_and_gradient() {
        for (h, w) in [(1, 1), (3, 7), (5, 16), (4, 33), (64, 64)] {
            let (map, xs, ys) = (map(h * w), offsets(w), offsets(h));
            let q = Quadratic {
                mean: [0.3, -0.2],
                k: 0.1,
                kx: 0.2,
                ky: -0.3,
                kxx: 0.4,
                kxy: 0.5,
                kyy: -0.6,
                kp: 0.7,
                scale: 0.8,
            };
            let run = |level| {
                let mut out = vec![0f32; h * w];
                gradient::<f32, true>(level, &map, &q, [&xs, &ys], &mut Vec::new(), &mut out);
                (sums::<f32, true>(level, &map, &xs, &ys), out)
            };
            let (expected, gradient) = run(Level::Portable);
            for level in Level::all() {
                let (got, out) = run(level);
                assert!(
                    close(got.mass, expected.mass)
                        && close(got.xx, expected.xx)
                        && close(got.squares, expected.squares)
                );
                assert!(
                    (got.xy - expected.xy).abs() <= 1e-12 * expected.xx.max(expected.yy),
                    "{level:?} {h}x{w}"
                );
                let error = out.iter().zip(&gradient).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                let size = gradient.iter().fold(0f32, |m, g| m.max(g.abs()));
                assert!(error <= 1e-6 * size, "{level:?} {h}x{w}: {error} of {size}");
            }
        }
    }

    #[test]
    fn a_gradient_that_would_overflow_is_shrunk_as_a_whole() {
        let q = Quadratic { kx: 1e300, k: 1e299, ..Default::default() };
        let mut out = vec![0f32; 4];
        gradient::<f32, false>(
            Level::Portable,
            &[1.0; 4],
            &q,
            [&offsets(4), &offsets(1)],
            &mut Vec::new(),
            &mut out,
        );
        assert!(out.iter().all(|g| g.is_finite()));
        assert!(out[0] < out[1] && out[1] < out[2] && out[2] < out[3]);
    }

    #[test]
    fn streaming_copies_aligned_and_unaligned_slices() {
        let from = map(64);
        for start in 0..5 {
            for end in [start, start + 3, start + 32] {
                let mut to = vec![0f32; 64];
                stream(&from[start..end], &mut to[start..end]);
                assert_eq!(&to[start..end], &from[start..end]);
                assert!(to[end..].iter().all(|t| *t == 0.0));
            }
        }
    }
}
