//! How a loss reads its maps: the two setters that every loss has.

/// `with_grid` for a loss with a field `grid`.
macro_rules! with_grid {
    ($loss:ty) => {
        impl $loss {
            /// Reads maps and targets on this grid.
            #[must_use]
            pub fn with_grid(mut self, grid: $crate::Grid) -> Self {
                self.grid = grid;
                self
            }
        }
    };
}

/// `with_activation` for a loss with a field `activation`.
macro_rules! with_activation {
    ($loss:ty) => {
        impl $loss {
            /// Takes raw maps through this activation first.
            ///
            /// # Errors
            /// When the temperature is out of range.
            pub fn with_activation(mut self, activation: $crate::Activation) -> ::candle_core::Result<Self> {
                activation.validate()?;
                self.activation = activation;
                Ok(self)
            }
        }
    };
}

pub(crate) use {with_activation, with_grid};
