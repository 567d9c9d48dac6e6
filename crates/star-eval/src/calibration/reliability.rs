//! The empirical distribution of shares that should be uniform on `[0, 1]`; all lists of shares are ascending and not empty.

/// Points of the reliability curve: shares of 0.05, 0.10 ... 0.95, then 0.99.
const SHARES: usize = 19;

/// At each point the share that should lie below it, and the share that does.
pub(super) fn curve(shares: &[f64]) -> Vec<[f64; 2]> {
    let below = |share: f64| shares.partition_point(|s| *s <= share) as f64 / shares.len() as f64;
    let points = (1..=SHARES).map(|i| i as f64 / (SHARES + 1) as f64).chain([0.99]);
    points.map(|share| [share, below(share)]).collect()
}

/// Area between the empirical distribution of ascending `shares` in `[0, 1]` and the diagonal, exactly.
pub(super) fn area(shares: &[f64]) -> f64 {
    let count = shares.len() as f64;
    let ends = shares.iter().copied().chain([1.0]);
    let mut start = 0.0;
    let mut total = 0.0;
    for (i, end) in ends.enumerate() {
        let level = i as f64 / count;
        // The integral of |level - x| from start to end: half the signed squares at both ends.
        let part = |x: f64| (x - level) * (x - level).abs() / 2.0;
        total += part(end) - part(start);
        start = end;
    }
    total
}

/// Largest distance between the empirical distribution and the diagonal, on either side of each step.
pub(super) fn gap(shares: &[f64]) -> f64 {
    let count = shares.len() as f64;
    let steps = shares.iter().enumerate();
    steps.map(|(i, s)| (s - i as f64 / count).max((i + 1) as f64 / count - s)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-9;

    #[test]
    fn the_area_and_the_gap_of_one_point_are_known() {
        // One share at 0.5: |0 - x| up to 0.5 and |1 - x| from there, 1/8 each; the gap is 0.5.
        assert!((area(&[0.5]) - 0.25).abs() < TOLERANCE && (gap(&[0.5]) - 0.5).abs() < TOLERANCE);
        // All at 0: 1 - x over [0, 1].
        assert!((area(&[0.0, 0.0]) - 0.5).abs() < TOLERANCE && (gap(&[0.0, 0.0]) - 1.0).abs() < TOLERANCE);
    }
}
