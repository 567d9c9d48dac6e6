//! How templates print numbers; one that is not there prints as `-`.

use minijinja::Environment;
use minijinja::value::Serde;
use star_eval::Interval;

/// Registers every filter.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("number", |value: f64| value.to_string());
    environment.add_filter("fixed", fixed);
    environment.add_filter("signed", signed);
    environment.add_filter("percent", |value: Option<f64>, digits: usize| fixed(times(value), digits, None));
    environment.add_filter("interval", |value: Serde<Option<Interval>>, digits: usize| {
        interval(value.0, 1.0, digits)
    });
    environment.add_filter("points", |value: Serde<Option<Interval>>, digits: usize| {
        interval(value.0, 100.0, digits)
    });
    environment.add_filter("mean", |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64);
    environment.add_filter("scaled", |values: Vec<f64>, factor: f64| {
        values.iter().map(|v| factor * v).collect::<Vec<_>>()
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_their_size_and_sign_ask() {
        assert_eq!(fixed(Some(4.0249), 2, None), "4.02");
        assert_eq!((fixed(None, 2, None).as_str(), fixed(None, 2, Some(String::new())).as_str()), ("-", ""));
        let narrow = Interval { estimate: -0.0015, low: -0.002, high: -0.001, level: 0.95 };
        assert_eq!(interval(Some(narrow), 100.0, 2), "-0.15 (-0.20 to -0.10)");
    }
}
