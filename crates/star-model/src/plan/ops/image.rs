//! From the caller's planes to channels-last pixels with a border of zeros.

/// `[3, size, size]` planes into `[size + 2 border, size + 2 border, 3]`.
pub(crate) fn interleave(planes: &[f32], size: usize, border: usize, out: &mut [f32]) {
    let (plane, row) = (size * size, 3 * (size + 2 * border));
    assert_eq!((planes.len(), out.len()), (3 * plane, (size + 2 * border) * row), "image: sizes do not fit");
    let (edge, side) = (border * row, 3 * border);
    out[..edge].fill(0.0);
    out[edge + size * row..].fill(0.0);
    let (a, rest) = planes.split_at(plane);
    let (b, c) = rest.split_at(plane);
    for (y, line) in out[edge..edge + size * row].chunks_exact_mut(row).enumerate() {
        line[..side].fill(0.0);
        line[row - side..].fill(0.0);
        let at = y * size..(y + 1) * size;
        let pixels = line[side..row - side].chunks_exact_mut(3);
        for (((pixel, &a), &b), &c) in pixels.zip(&a[at.clone()]).zip(&b[at.clone()]).zip(&c[at]) {
            pixel.copy_from_slice(&[a, b, c]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_lie_side_by_side_inside_a_border_of_zeros() {
        // two by two pixels, three planes
        let planes: Vec<f32> = (1..=12).map(|v| v as f32).collect();
        let mut out = [-1.0; 4 * 4 * 3];
        interleave(&planes, 2, 1, &mut out);
        assert_eq!(&out[15..21], &[1.0, 5.0, 9.0, 2.0, 6.0, 10.0]);
        assert_eq!(&out[27..33], &[3.0, 7.0, 11.0, 4.0, 8.0, 12.0]);
        assert_eq!(out.iter().filter(|&&v| v == 0.0).count(), 48 - 12);
    }
}
