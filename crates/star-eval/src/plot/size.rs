//! How large a plot is, and its letters.

/// Size of a plot and of what is written in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Width and height, SVG pixels.
    pub(crate) pixels: (u32, u32),
    /// Height of letters; tick labels are a little smaller.
    pub(crate) text: u32,
    /// Ticks wished for on each axis.
    pub(crate) ticks: usize,
    /// Whether the plot is a file of its own, with a title and colours for light and dark; a page has both.
    pub(crate) titled: bool,
}

impl Size {
    /// For files of their own.
    pub(crate) const PRINT: Self = Self { pixels: (800, 500), text: 16, ticks: 10, titled: true };
    /// For a page on a wide screen.
    pub(crate) const WIDE: Self = Self { pixels: (880, 420), text: 17, ticks: 8, titled: false };
    /// For a page on a phone.
    pub(crate) const NARROW: Self = Self { pixels: (360, 300), text: 16, ticks: 5, titled: false };

    /// The same with another height.
    pub(crate) const fn high(self, height: u32) -> Self {
        Self { pixels: (self.pixels.0, height), ..self }
    }

    /// The same on half the width, with letters as large as beside it.
    pub(crate) const fn half(self) -> Self {
        Self { pixels: (self.pixels.0 / 2, 340), ticks: 5, ..self }
    }
}
