//! An axis: which numbers it spans, where they lie, and which of them are written beside it.

/// How numbers are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// Each power of ten as long as the next: for numbers above 0 that span several.
    Log,
}

/// A span of numbers along one side of a plot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
    /// Ticks at whole numbers alone.
    whole: bool,
}

impl Axis {
    /// From `low` to `high`.
    pub(super) fn new(low: f64, high: f64) -> Self {
        Self { low, high, scale: Scale::Linear, whole: false }
    }

    /// All of `values` with a little room; never empty. Whole numbers get whole ticks. On a logarithmic scale only numbers above 0 count.
    pub(super) fn around(values: impl Iterator<Item = f64> + Clone, scale: Scale) -> Self {
        let counted = values.filter(|v| v.is_finite() && (scale == Scale::Linear || *v > 0.0));
        let (low, high) =
            counted.clone().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let whole = scale == Scale::Linear && counted.clone().all(|v| v.fract() == 0.0);
        if low > high {
            return Self { low: 1.0, high: 10.0, scale, whole: false };
        }
        let (low, high) = match scale {
            Scale::Log => {
                let room = (high / low).powf(0.03).max(1.15);
                (low / room, high * room)
            }
            Scale::Linear => {
                let room = if high > low { 0.03 * (high - low) } else { low.abs().max(1.0) * 0.5 };
                (low - room, high + room)
            }
        };
        Self { low, high, scale, whole }
    }

    /// The same with ticks at whole numbers alone.
    pub(super) fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Where a number lies, 0 at the low end and 1 at the high one; not finite where it lies nowhere.
    pub(super) fn share(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value > 0.0 => (value / self.low).ln() / (self.high / self.low).ln(),
            Scale::Log => f64::NAN,
        }
    }

    /// Whether a number lies on it.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round numbers on it, about as many as `wished`.
    pub(super) fn ticks(&self, wished: usize) -> Vec<f64> {
        let wished = wished.max(2);
        match self.scale {
            Scale::Log if self.high / self.low > 4.0 => self.powers(wished),
            // Within less than a power of ten round numbers lie as on any axis.
            _ => self.even(wished),
        }
    }

    fn even(&self, wished: usize) -> Vec<f64> {
        let least = (self.high - self.low) / wished as f64;
        let power = 10f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|step| step * power)
            .into_iter()
            .find(|step| *step >= least * (1.0 - 1e-9));
        let mut step = step.unwrap_or(least);
        if self.whole {
            step = step.max(1.0);
        }
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    /// Powers of ten, with twice and five times them between where there is room, or every so many where there is none.
    fn powers(&self, wished: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let count = (self.high / self.low).log10();
        let within: &[f64] = match count {
            c if 3.0 * c <= wished as f64 => &[1.0, 2.0, 5.0],
            c if 2.0 * c <= wished as f64 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let every = (count / wished as f64).ceil().max(1.0) as i32;
        let powers = (first..=last).filter(|power| power.rem_euclid(every) == 0);
        powers
            .flat_map(|power| within.iter().map(move |by| by * 10f64.powi(power)))
            .filter(|v| self.holds(*v))
            .collect()
    }
}

/// A tick's number without trailing zeros and without a power of ten, unless it is beyond all that is usual; what arithmetic leaves of
/// zero is printed as zero.
pub(super) fn tick(value: f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        return "0".to_owned();
    }
    if !(1e-6..1e9).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = (4.0 - size.log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_have_whole_ticks_and_losses_plain_numbers() {
        let epochs = Axis::around([1.0, 2.0, 3.0].into_iter(), Scale::Linear);
        assert_eq!(epochs.ticks(10), [1.0, 2.0, 3.0]);
        let losses = Axis::around([0.02, 130.0, 0.0, f64::NAN].into_iter(), Scale::Log);
        assert_eq!(losses.ticks(5).into_iter().map(tick).collect::<Vec<_>>(), ["0.1", "1", "10", "100"]);
        assert!(losses.share(0.02) < 0.1 && losses.share(130.0) > 0.9 && losses.share(0.0).is_nan());
        // log10(10 / 1) of log10(100 / 1) is the half.
        let axis = Axis { low: 1.0, high: 100.0, scale: Scale::Log, whole: false };
        assert!((axis.share(10.0) - 0.5).abs() < 1e-12);
        assert_eq!(axis.ticks(8), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    }

    #[test]
    fn ticks_are_round_and_about_as_many_as_wished() {
        assert_eq!(Axis::new(0.0, 100.0).ticks(5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let ticks: Vec<String> = Axis::new(-0.31, 0.52).ticks(5).into_iter().map(tick).collect();
        assert_eq!(ticks, ["-0.2", "0", "0.2", "0.4"]);
        assert_eq!([0.0001, 12000.0, 2.5, 1e-17].map(tick), ["0.0001", "12000", "2.5", "0"]);
    }

    #[test]
    fn one_number_and_none_have_an_axis_too() {
        for values in [vec![], vec![2.0, 2.0]] {
            for scale in [Scale::Linear, Scale::Log] {
                let axis = Axis::around(values.iter().copied(), scale);
                assert!(axis.low < axis.high && !axis.ticks(4).is_empty(), "{axis:?}");
            }
        }
    }
}
