//! Memory for activations, scratch and weights: aligned, grown on demand and reused for ever; large pages where it is large.

use memmap2::MmapMut;

/// Alignment of every buffer in bytes: a cache line, and the widest register.
const LINE: usize = 64;

/// Bytes of a page that a processor finds at once among many more of them: 2 MiB on x86-64, and on ARM with pages of 4 KiB.
const LARGE_PAGE: usize = 2 << 20;

/// Floats that start at a cache line.
#[derive(Default)]
pub(crate) struct Buffer {
    values: Values,
    /// In floats.
    start: usize,
    len: usize,
}

enum Values {
    Small(Vec<f32>),
    /// Memory of its own, in which large pages start where `start` says.
    Large(MmapMut),
}

impl Default for Values {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl Values {
    /// Zeros, and how many of them come before the alignment.
    fn new(len: usize) -> (Self, usize) {
        Self::large(len).unwrap_or_else(|| Self::small(len))
    }

    fn small(len: usize) -> (Self, usize) {
        let values = vec![0.0f32; len + LINE / size_of::<f32>()];
        let start = values.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
        (Self::Small(values), start)
    }

    /// Pages that nobody has touched take no memory, so the alignment costs none. None where `len` floats fill no large page, and where
    /// the system is not Linux.
    fn large(len: usize) -> Option<(Self, usize)> {
        let bytes = len * size_of::<f32>();
        let whole = bytes - bytes % LARGE_PAGE;
        if whole == 0 || !cfg!(target_os = "linux") {
            return None;
        }
        let map = MmapMut::map_anon(bytes + LARGE_PAGE).ok()?;
        let start = map.as_ptr().align_offset(LARGE_PAGE).min(LARGE_PAGE);
        // What does not fill a large page stays on small ones. A Linux that was built without large pages refuses: all stay small.
        #[cfg(target_os = "linux")]
        let _ = map.advise_range(memmap2::Advice::HugePage, start, whole);
        Some((Self::Large(map), start / size_of::<f32>()))
    }

    fn floats(&self) -> &[f32] {
        match self {
            Self::Small(values) => values,
            Self::Large(map) => bytemuck::cast_slice(map),
        }
    }

    fn floats_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Small(values) => values,
            Self::Large(map) => bytemuck::cast_slice_mut(map),
        }
    }
}

impl Buffer {
    /// The first `len` floats, which hold whatever they held before; new ones are zero.
    pub(crate) fn take(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            // Not resized in place: that would copy what nobody asked to keep.
            (self.values, self.start) = Values::new(len);
            self.len = len;
        }
        &mut self.values.floats_mut()[self.start..self.start + len]
    }

    /// `len` zeros for a short while: from the allocator, however many they are, since it may keep freed memory for the next ones.
    pub(crate) fn brief(len: usize) -> Self {
        let (values, start) = Values::small(len);
        Self { values, start, len }
    }

    /// The first `len` floats.
    ///
    /// # Panics
    /// When fewer were taken before.
    pub(crate) fn get(&self, len: usize) -> &[f32] {
        assert!(len <= self.len, "more floats than were taken");
        &self.values.floats()[self.start..self.start + len]
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<f32>()
    }
}

/// Values that start at a cache line and never move.
pub(crate) fn aligned(values: &[f32]) -> Buffer {
    let mut buffer = Buffer::default();
    buffer.take(values.len()).copy_from_slice(values);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zero_aligned_and_kept_whether_small_or_large() {
        let mut buffer = Buffer::default();
        let large = LARGE_PAGE / size_of::<f32>();
        for (len, align) in [(1, LINE), (large - 1, LINE), (large, LARGE_PAGE), (3 * large + 5, LARGE_PAGE)] {
            let align = if cfg!(target_os = "linux") { align } else { LINE };
            let values = buffer.take(len);
            assert!(values.len() == len && values.as_ptr().addr().is_multiple_of(align));
            assert!(values.iter().all(|&value| value == 0.0), "{len}");
            values.fill(1.0);
            assert_eq!(buffer.bytes(), len * size_of::<f32>());
        }
        // One that is large enough is handed out again, as it was left.
        let at = buffer.get(1).as_ptr();
        assert!(buffer.take(large).as_ptr() == at && buffer.get(large).iter().all(|&value| value == 1.0));
    }
}
