//! Which coordinates the pixels of a map have: the only place of this crate that knows.

/// Coordinates of the pixel centres `0..n` of one axis of a heatmap. Targets must be given on the same grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grid {
    /// `2 i / (n - 1) - 1`: -1 and 1 are the centres of the outer pixels (`align_corners = true`). What the reference decodes on;
    /// it then compares with targets made on [`Grid::PixelCentres`], and its published numbers carry that.
    #[default]
    CornerAligned,
    /// `(2 i + 1) / n - 1`: -1 and 1 are the outer edges of the outer pixels (`align_corners = false`). Right for maps that are a
    /// plain reduction of the image.
    PixelCentres,
    /// `i`, in pixels of the map. Distances and `eps` are then in pixels too: choose a smooth-L1 scale near 0.3.
    Pixels,
}

impl Grid {
    /// Coordinate of the pixel position `pixel` on an axis of `n` pixels; an axis of one pixel is at the middle.
    #[must_use]
    pub fn coordinate(self, pixel: f64, n: usize) -> f64 {
        let axis = self.axis(n);
        axis.centre + axis.step * (pixel - middle(n))
    }

    /// Pixel position of a coordinate: the inverse of [`Grid::coordinate`].
    #[must_use]
    pub fn pixel(self, coordinate: f64, n: usize) -> f64 {
        let axis = self.axis(n);
        middle(n) + (coordinate - axis.centre) / axis.step
    }

    pub(crate) fn axis(self, n: usize) -> GridAxis {
        match self {
            // The only pixel of a short axis has offset 0; a step of 0 would cut the map from candle's graph.
            Self::CornerAligned => {
                GridAxis { centre: 0.0, step: if n > 1 { 2.0 / (n - 1) as f64 } else { 1.0 } }
            }
            Self::PixelCentres => GridAxis { centre: 0.0, step: 2.0 / n as f64 },
            Self::Pixels => GridAxis { centre: middle(n), step: 1.0 },
        }
    }
}

/// One axis: the coordinate of its middle and the length of a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GridAxis {
    pub(crate) centre: f64,
    pub(crate) step: f64,
}

/// Pixel position of the middle of an axis.
pub(crate) fn middle(n: usize) -> f64 {
    0.5 * (n as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::Grid;

    #[test]
    fn the_ends_of_a_64_wide_axis_are_where_each_grid_says() {
        assert_eq!(
            [Grid::CornerAligned.coordinate(0.0, 64), Grid::CornerAligned.coordinate(63.0, 64)],
            [-1.0, 1.0]
        );
        // (2 * 0 + 1) / 64 - 1 and (2 * 63 + 1) / 64 - 1
        assert_eq!(
            [Grid::PixelCentres.coordinate(0.0, 64), Grid::PixelCentres.coordinate(63.0, 64)],
            [-0.984375, 0.984375]
        );
        assert_eq!([Grid::Pixels.coordinate(0.0, 64), Grid::Pixels.coordinate(63.0, 64)], [0.0, 63.0]);
    }

    #[test]
    fn a_pixel_position_comes_back() {
        for grid in [Grid::CornerAligned, Grid::PixelCentres, Grid::Pixels] {
            for (pixel, n) in [(0.0, 2), (3.25, 20), (70.0, 64), (0.0, 1)] {
                assert!(
                    (grid.pixel(grid.coordinate(pixel, n), n) - pixel).abs() < 1e-12,
                    "{grid:?} {pixel} of {n}"
                );
            }
        }
    }
}
