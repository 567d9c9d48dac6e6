//! What the ranks have found on their parts of the validation samples, joined by adding up.

/// One row a sample: landmarks found, true ones, weights. Rows that nobody has set are zeros, so tables of disjoint parts add up to that
/// of the whole set, to the bit.
pub(super) struct Table {
    /// `[N, 5 K]`
    pub(super) values: Vec<f64>,
    keypoints: usize,
}

impl Table {
    pub(super) fn new(samples: usize, keypoints: usize) -> Self {
        Self { values: vec![0.0; samples * 5 * keypoints], keypoints }
    }

    /// Fills the row of sample `index`.
    pub(super) fn set(&mut self, index: usize, points: &[[f32; 2]], truth: &[[f32; 2]], weights: &[f32]) {
        let row = &mut self.values[index * 5 * self.keypoints..][..5 * self.keypoints];
        let numbers = points.iter().chain(truth).flatten().chain(weights);
        row.iter_mut().zip(numbers).for_each(|(slot, &value)| *slot = f64::from(value));
    }

    /// Landmarks found, true ones and weights of sample `index`.
    pub(super) fn row(&self, index: usize) -> (Vec<[f32; 2]>, Vec<[f32; 2]>, Vec<f32>) {
        let k = self.keypoints;
        let row: Vec<f32> = self.values[index * 5 * k..][..5 * k].iter().map(|&value| value as f32).collect();
        let points = |part: &[f32]| part.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
        (points(&row[..2 * k]), points(&row[2 * k..4 * k]), row[4 * k..].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_two_parts_add_up_to_the_whole() {
        let row = |index: usize| {
            let p = |i: usize| [(index * 10 + i) as f32 + 0.1, -1e-7];
            (vec![p(0), p(1)], vec![p(2), p(3)], vec![1.0, 0.0])
        };
        let (mut first, mut second) = (Table::new(3, 2), Table::new(3, 2));
        for index in 0..3 {
            let (points, truth, weights) = row(index);
            (if index < 2 { &mut first } else { &mut second }).set(index, &points, &truth, &weights);
        }
        first.values.iter_mut().zip(&second.values).for_each(|(a, b)| *a += b);
        for index in 0..3 {
            assert_eq!(first.row(index), row(index));
        }
    }
}
