//! Edge maps: a smooth curve through the keypoints of an edge, one pixel wide.

use super::{Ends, spline, taps};

/// The reference draws on a grid finer by this factor, at whole pixels of it.
const FINE: usize = 4;

/// Fine pixels up to this far from the curve are drawn. A line 4 fine pixels wide, drawn by OpenCV with round ends, comes out so:
/// the maps of the golden faces then have the reference's sum to within a hundredth.
const RADIUS: f32 = 2.5;

/// Which of the fine pixels that one map pixel is the mean of are on the curve: a row of them to a byte.
type Cell = u64;

/// Draws the edge through `points` (pixels of the `size x size` image) into `map` (`map_size x map_size`, zeroed), values 0 to 1.
///
/// The reference draws the curve on a grid four times as fine, takes means and resamples bilinearly, so that a map pixel is the
/// share of curve in the middle two image pixels of its block along each axis: only those are drawn here. An edge of fewer than two
/// known points leaves the map empty. `size` is a multiple of `map_size`.
pub fn edgemap(points: &[[f32; 2]], ends: Ends, size: usize, map: &mut [f32], map_size: usize) {
    let curve = spline::through(points, ends);
    let far = 8.0 * size as f32;
    if curve.iter().flatten().any(|v| v.abs() > far) {
        // Nothing of use is left of a face this far outside; curves through such points only cost time.
        return;
    }
    let mut canvas = Canvas::new(size, map_size);
    let last = size as f32 - 1.0;
    let mut knots = curve.iter().map(|p| p.map(|v| (v.clamp(0.0, last) * FINE as f32).round()));
    let Some(mut from) = knots.next() else { return };
    for to in knots {
        canvas.line(from, to);
        from = to;
    }
    canvas.read(map);
}

/// The fine pixels that count, and the box of map pixels that something was drawn in.
struct Canvas {
    cells: Vec<Cell>,
    side: usize,
    factor: usize,
    /// Fine pixels along an axis of a cell.
    span: usize,
    rows: [usize; 2],
    columns: [usize; 2],
}

impl Canvas {
    fn new(size: usize, side: usize) -> Self {
        let factor = size / side;
        let [first, last] = taps(0, factor);
        let span = (last - first + 1) * FINE;
        Self { cells: vec![0; side * side], side, factor, span, rows: [side, 0], columns: [side, 0] }
    }

    /// First fine pixel of map pixel `m` along an axis.
    fn start(&self, m: usize) -> i32 {
        (taps(m, self.factor)[0] * FINE) as i32
    }

    /// The map pixels whose fine pixels may lie in `low..=high`.
    fn cells_about(&self, low: i32, high: i32) -> std::ops::Range<usize> {
        let block = (self.factor * FINE) as i32;
        let first = (low / block).max(0) as usize;
        first..((high / block + 1).max(0) as usize).min(self.side)
    }

    /// Draws every fine pixel within [`RADIUS`] of the line from `a` to `b`.
    fn line(&mut self, a: [f32; 2], b: [f32; 2]) {
        let low = (a[1].min(b[1]) - RADIUS).max(0.0).ceil() as i32;
        let high = (a[1].max(b[1]) + RADIUS).floor() as i32;
        let capsule = Capsule::new(a, b);
        for row in self.cells_about(low, high) {
            let start = self.start(row);
            for y in low.max(start)..=high.min(start + self.span as i32 - 1) {
                let (x0, x1) = capsule.across(y as f32);
                if x0 <= x1 {
                    self.rows = [self.rows[0].min(row), self.rows[1].max(row + 1)];
                    self.fill(row, 8 * (y - start) as u32, x0 as i32, x1 as i32);
                }
            }
        }
    }

    /// Sets the fine pixels `x0..=x1` of one fine row, whose bits begin at `shift`.
    fn fill(&mut self, row: usize, shift: u32, x0: i32, x1: i32) {
        for column in self.cells_about(x0, x1) {
            let start = self.start(column);
            let (first, last) = ((x0 - start).max(0), (x1 - start).min(self.span as i32 - 1));
            if first <= last {
                let bits = (0xff >> (7 - last)) & (0xff << first) & 0xff;
                self.cells[row * self.side + column] |= bits << shift;
                self.columns = [self.columns[0].min(column), self.columns[1].max(column + 1)];
            }
        }
    }

    /// Writes each map pixel's share of drawn fine pixels.
    fn read(&self, map: &mut [f32]) {
        let scale = 1.0 / (self.span * self.span) as f32;
        for row in self.rows[0]..self.rows[1] {
            for column in self.columns[0]..self.columns[1] {
                let at = row * self.side + column;
                map[at] = self.cells[at].count_ones() as f32 * scale;
            }
        }
    }
}

/// All points within [`RADIUS`] of a line.
struct Capsule {
    ends: [[f32; 2]; 2],
    /// From the line to its sides.
    side: [f32; 2],
}

impl Capsule {
    fn new(a: [f32; 2], b: [f32; 2]) -> Self {
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let scale = RADIUS / dx.hypot(dy).max(f32::MIN_POSITIVE);
        Self { ends: [a, b], side: [-dy * scale, dx * scale] }
    }

    /// First and last whole `x` at `y`; the first is the greater where there is none.
    fn across(&self, y: f32) -> (f32, f32) {
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        let mut reach = |x: f32, half: f32| {
            low = low.min(x - half);
            high = high.max(x + half);
        };
        for end in self.ends {
            let square = RADIUS * RADIUS - (y - end[1]) * (y - end[1]);
            if square >= 0.0 {
                reach(end[0], square.sqrt());
            }
        }
        let [[ax, ay], [bx, by]] = self.ends;
        for [sx, sy] in [self.side, self.side.map(|v| -v)] {
            // How far along the side `y` lies; a level side is inside the discs at its ends.
            let along = (y - ay - sy) / (by - ay);
            if (0.0..=1.0).contains(&along) {
                reach(ax + sx + along * (bx - ax), 0.0);
            }
        }
        (low.ceil(), high.floor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_pixel_is_the_share_of_curve_in_the_middle_of_its_block() {
        let mut map = vec![0.0; 16 * 16];
        edgemap(&[[10.0, 30.0], [50.0, 30.0]], Ends::Open, 64, &mut map, 16);
        // Fine row 120 give or take 2.5 is fine rows 118 to 122; block row 7 counts fine rows 116 to 123: 5 of 8.
        assert!((map[7 * 16 + 6] - 5.0 / 8.0).abs() < 1e-6, "{}", map[7 * 16 + 6]);
        assert!(map.iter().enumerate().all(|(i, &v)| i / 16 == 7 || v == 0.0));
    }

    #[test]
    fn every_fine_pixel_within_the_radius_is_drawn_and_no_other() {
        for (a, b) in [([9.0, 9.0], [40.0, 21.0]), ([20.0, 30.0], [20.0, 30.0]), ([33.0, 5.0], [30.0, 41.0])]
        {
            let capsule = Capsule::new(a, b);
            for i in 0..48 * 48 {
                let (x, y) = ((i % 48) as f32, (i / 48) as f32);
                let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
                let along = ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy).max(1e-9);
                let along = along.clamp(0.0, 1.0);
                let distance = (x - a[0] - along * dx).hypot(y - a[1] - along * dy);
                let (low, high) = capsule.across(y);
                // f32 decides either way on the rim itself
                if (distance - RADIUS).abs() > 1e-4 {
                    assert_eq!((low..=high).contains(&x), distance < RADIUS, "{a:?} {b:?}: {x} {y}");
                }
            }
        }
    }

    #[test]
    fn maps_as_fine_as_the_image_and_of_odd_blocks_are_drawn_too() {
        for (size, map_size) in [(64, 64), (63, 21), (20, 4)] {
            let mut map = vec![0.0; map_size * map_size];
            let far = size as f32 - 1.0;
            edgemap(&[[0.0, 0.0], [far, far]], Ends::Open, size, &mut map, map_size);
            assert!((0..map_size).all(|i| map[i * map_size + i] > 0.3), "{map:?}");
            assert!(map.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}
