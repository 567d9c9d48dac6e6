//! Memory for activations and scratch: aligned, grown on demand and reused for ever.

/// Alignment of every buffer in floats: a cache line, and the widest register.
const ALIGN: usize = 16;

/// Floats that start at a cache line.
#[derive(Default)]
pub(crate) struct Buffer {
    values: Vec<f32>,
    start: usize,
}

impl Buffer {
    /// The first `len` floats, which hold whatever they held before; new ones are zero.
    pub(crate) fn take(&mut self, len: usize) -> &mut [f32] {
        if self.values.len() < len + self.start {
            // Not resized in place: that would copy what nobody asked to keep.
            self.values = vec![0.0; len + ALIGN];
            self.start = self.values.as_ptr().align_offset(ALIGN * size_of::<f32>()).min(ALIGN);
        }
        &mut self.values[self.start..self.start + len]
    }

    /// The first `len` floats.
    ///
    /// # Panics
    /// When fewer were taken before.
    pub(crate) fn get(&self, len: usize) -> &[f32] {
        &self.values[self.start..self.start + len]
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}

/// Values that start at a cache line and never move.
pub(crate) fn aligned(values: &[f32]) -> Buffer {
    let mut buffer = Buffer::default();
    buffer.take(values.len()).copy_from_slice(values);
    buffer
}
