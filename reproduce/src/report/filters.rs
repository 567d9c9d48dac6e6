//! How templates print numbers; one that is not there prints as `-`.

use minijinja::Environment;
use minijinja::value::{Serde, Value};
use star_eval::Interval;

/// Registers every filter.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("number", |value: f64| value.to_string());
    environment.add_filter("fixed", fixed);
    environment.add_filter("signed", signed);
    environment.add_filter("percent", |value: Option<f64>, digits: usize| fixed(times(value), digits, None));
    environment
        .add_filter("percent_signed", |value: Option<f64>, digits: usize| signed(times(value), digits));
    environment.add_filter("interval", |value: Serde<Option<Interval>>, digits: usize| {
        interval(value.0, 1.0, digits)
    });
    environment.add_filter("points", |value: Serde<Option<Interval>>, digits: usize| {
        interval(value.0, 100.0, digits)
    });
    environment.add_filter("probability", probability);
    environment.add_filter("mean", |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64);
    environment.add_filter("scaled", |values: Vec<f64>, factor: f64| {
        values.iter().map(|v| factor * v).collect::<Vec<_>>()
    });
    environment.add_filter("negated", negated);
    environment.add_filter("histogram", histogram);
    environment.add_filter("pairs", pairs);
    environment.add_filter("cell", |text: String| text.replace('|', "\\|").replace('\n', " "));
}

fn times(value: Option<f64>) -> Option<f64> {
    value.map(|value| 100.0 * value)
}

/// With so many digits; `absent` where there is none.
fn fixed(value: Option<f64>, digits: usize, absent: Option<String>) -> String {
    value.map_or_else(|| absent.unwrap_or_else(|| "-".to_string()), |value| format!("{value:.digits$}"))
}

fn signed(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_string(), |value| format!("{value:+.digits$}"))
}

/// A difference with its interval, times `unit`.
fn interval(interval: Option<Interval>, unit: f64, digits: usize) -> String {
    let of = |value: f64| format!("{:+.digits$}", unit * value);
    interval
        .map_or_else(|| "-".to_string(), |i| format!("{} ({} to {})", of(i.estimate), of(i.low), of(i.high)))
}

fn probability(p: Option<f64>) -> String {
    match p {
        Some(p) if p < 0.001 => format!("{p:.0e}"),
        Some(p) => format!("{p:.3}"),
        None => "-".to_string(),
    }
}

/// The interval of what is `-factor` times as large.
fn negated(interval: Serde<Interval>, factor: f64) -> Serde<Interval> {
    let Interval { estimate, low, high, level } = interval.0;
    Serde(Interval { estimate: -factor * estimate, low: -factor * high, high: -factor * low, level })
}

/// Shares of equal bins from 0 to `range` as a curve: each bin's middle and its share in per cent.
fn histogram(shares: Vec<f64>, range: f64) -> Serde<Vec<(f64, f64)>> {
    let width = range / shares.len() as f64;
    Serde(shares.iter().enumerate().map(|(i, share)| ((i as f64 + 0.5) * width, 100.0 * share)).collect())
}

/// Two attributes of each of a list's items.
fn pairs(items: Vec<Value>, first: &str, second: &str) -> Result<Vec<Value>, minijinja::Error> {
    items.iter().map(|item| Ok(Value::from(vec![item.get_attr(first)?, item.get_attr(second)?]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_their_size_and_sign_ask() {
        assert_eq!(fixed(Some(4.0249), 2, None), "4.02");
        assert_eq!((fixed(None, 2, None).as_str(), fixed(None, 2, Some(String::new())).as_str()), ("-", ""));
        assert_eq!(
            (probability(Some(3.7e-4)).as_str(), probability(Some(0.0204)).as_str()),
            ("4e-4", "0.020")
        );
        let narrow = Interval { estimate: -0.0015, low: -0.002, high: -0.001, level: 0.95 };
        assert_eq!(interval(Some(narrow), 100.0, 2), "-0.15 (-0.20 to -0.10)");
        let gain = negated(Serde(narrow), 100.0).0;
        assert!((gain.low - 0.1).abs() < 1e-12 && (gain.high - 0.2).abs() < 1e-12, "{gain:?}");
        // Nine bins of ten degrees: the first has its middle at 5.
        assert_eq!(histogram(vec![1.0 / 9.0; 9], 90.0).0[0], (5.0, 100.0 / 9.0));
    }
}
