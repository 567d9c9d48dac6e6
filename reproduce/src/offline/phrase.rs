//! How numbers and verdicts are put into words.

use star_data::synthetic::Subject;
use star_eval::Interval;

use super::design::subject_name;
use super::measure::normalizer;

/// What a difference in which less is better says of STAR.
pub(crate) fn verdict(interval: Option<Interval>) -> &'static str {
    match interval {
        Some(i) if i.high < 0.0 => "STAR is better",
        Some(i) if i.low > 0.0 => "STAR is worse",
        Some(_) => "cannot be told apart",
        None => "one seed: no interval",
    }
}

/// A difference with its interval, times `unit`.
pub(crate) fn difference(interval: Option<Interval>, unit: f64, digits: usize) -> String {
    match interval {
        Some(i) => format!(
            "{:+.digits$} ({:+.digits$} to {:+.digits$})",
            unit * i.estimate,
            unit * i.low,
            unit * i.high
        ),
        None => "-".to_string(),
    }
}

/// A fraction in percent.
pub(crate) fn percent(value: f64, digits: usize) -> String {
    format!("{:.digits$}", 100.0 * value)
}

/// A probability as it may be printed.
pub(crate) fn probability(p: f64) -> String {
    if p < 0.001 { format!("{p:.0e}") } else { format!("{p:.3}") }
}

/// What is compared, for captions.
pub(crate) fn place(subject: Subject) -> String {
    format!("drawn {}s, test, {}", subject_name(subject), normalizer(subject).1)
}
