//! The first sweep: seven sums over one map.

use super::level::Level;
use super::real::{Real, times_add};

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
                xx[lane] = times_add::<_, FMA>(hu, us[lane], xx[lane]);
                squares[lane] = times_add::<_, FMA>(h, h, squares[lane]);
            }
        }
        for lane in 0..LANES {
            mass[lane] += row_mass[lane];
            x[lane] += row_x[lane];
            y[lane] = times_add::<_, FMA>(row_mass[lane], *v, y[lane]);
            yy[lane] = times_add::<_, FMA>(row_mass[lane] * v, *v, yy[lane]);
            xy[lane] = times_add::<_, FMA>(row_x[lane], *v, xy[lane]);
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
    let h = h.as_();
    if RELU && h < 0.0 { 0.0 } else { h }
}

macro_rules! compiled_for {
    ($sums:ident, $lanes:literal, $features:literal) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        fn $sums<T: Real, const RELU: bool>(map: &[T], xs: &[f64], ys: &[f64]) -> Sums {
            sums_in_lanes::<T, RELU, $lanes, true>(map, xs, ys)
        }
    };
}
compiled_for!(sums_avx2, 8, "avx2,fma");
compiled_for!(sums_avx512, 16, "avx512f,avx2,fma");

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
