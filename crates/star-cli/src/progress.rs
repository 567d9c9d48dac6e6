//! Progress bars that look the same everywhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use star_predict::weights::{Download, FetchProgress};
use star_train::Progress;
use star_train::records::{EpochRecord, StepRecord};

/// A bar over `count` things called `what`; draws nothing where standard error is no terminal.
pub fn bar(count: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    let template = format!("{{bar:16}} {{pos}}/{{len}} {what}, {{eta}} left  {{msg}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// What is being done, where how long it takes is not known.
pub fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(std::time::Duration::from_millis(200));
    spinner
}

/// A bar while weights are fetched, below a line that says what they are and under which terms.
#[derive(Default)]
pub struct FetchBar(Option<ProgressBar>);

impl FetchProgress for FetchBar {
    fn begin(&mut self, download: &Download) {
        say!("fetching {} ({:.1} MB)", download.address, download.bytes as f64 / 1e6);
        if let (Some(source), Some(licence)) = (&download.source, &download.licence) {
            say!("  {source}; licence: {licence}");
        }
        if let Some(notice) = &download.notice {
            say!("  {notice}");
        }
        let bar = ProgressBar::new(download.bytes);
        let template = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        self.0 = Some(bar);
    }

    fn advance(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar over the steps of a training, and a row an epoch under the names of its columns.
pub struct TrainBar {
    bar: ProgressBar,
    /// Steps of the run, those done before it went on, and when it did.
    run: (usize, usize, Instant),
    /// Whether the columns have their names.
    headed: bool,
}

impl Default for TrainBar {
    fn default() -> Self {
        Self { bar: ProgressBar::hidden(), run: (0, 0, Instant::now()), headed: false }
    }
}

impl Progress for TrainBar {
    fn started(&mut self, step: usize, steps: usize) {
        self.run = (steps, step, Instant::now());
        self.bar = bar(steps, "steps");
        self.bar.set_position(step as u64);
        self.bar.reset_eta();
    }

    fn step(&mut self, record: &StepRecord, epochs: usize) {
        let loss = record.terms.get("total").copied().unwrap_or(f64::NAN);
        self.bar.inc(1);
        self.bar.set_message(format!("epoch {}/{epochs}  loss {loss:.3}", record.epoch));
    }

    fn epoch(&mut self, record: &EpochRecord, epochs: usize) {
        if !std::mem::replace(&mut self.headed, true) {
            self.note(&heading(record));
        }
        let (steps, before, begun) = self.run;
        let (done, left) = (record.step.saturating_sub(before), steps.saturating_sub(record.step));
        let left = begun.elapsed().as_secs_f64() / done.max(1) as f64 * left as f64;
        self.note(&row(record, epochs, left));
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| say!("{text}"));
    }

    fn ended(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What the errors of a training are of, and the names of the columns.
fn heading(record: &EpochRecord) -> String {
    format!(
        "validation NME ({}, {} images); EMA: of the averaged weights\n{:>9} {:>9} {:>8} {:>9} {:>9} {:>9} {:>10}",
        record.normalizer,
        record.validation_samples,
        "epoch",
        "loss",
        "NME %",
        "EMA NME %",
        "images/s",
        "lr",
        "time left"
    )
}

/// The figures of an epoch under their names.
fn row(record: &EpochRecord, epochs: usize, seconds_left: f64) -> String {
    let percent = |nme: Option<f64>| nme.map_or("missing".to_string(), |nme| format!("{:.3}", 100.0 * nme));
    let loss = record.terms.get("total").copied().unwrap_or(f64::NAN);
    let pace = record.images_per_second.map_or("-".to_string(), |pace| significant(pace, 3));
    format!(
        "{:>9} {loss:>9.3} {:>8} {:>9} {pace:>9} {:>9} {:>10}{}",
        format!("{}/{epochs}", record.epoch),
        percent(record.validation_nme),
        percent(record.validation_nme_ema),
        significant(record.learning_rate, 2),
        span(seconds_left),
        if record.best { "  best" } else { "" }
    )
}

/// A positive number with so many significant digits and no exponent.
fn significant(value: f64, digits: i32) -> String {
    let before = if value > 0.0 { value.log10().floor() as i32 + 1 } else { 1 };
    format!("{value:.*}", (digits - before).clamp(0, 8) as usize)
}

/// Hours and minutes, or minutes and seconds.
fn span(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, 1e9)).as_secs();
    match (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} m {seconds:02} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes:02} m"),
        (days, hours, ..) => format!("{days} d {hours:02} h"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal of 80 columns that remembers what was written.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            self.write_str("\n")
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            self.write_str("\n")
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            self.write_str("\n")
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.write_str("\n")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn record() -> EpochRecord {
        serde_json::from_str(
            r#"{"epoch": 100, "step": 123000, "learning_rate": 0.000012345, "terms": {"total": 1234.5678}, "validation_nme": 0.1234567,
            "validation_nme_ema": 0.03, "validation_samples": 554, "normalizer": "inter-ocular", "threshold": 0.1, "failure_rate": 0.0,
            "auc": 0.5, "seconds": 9.0, "images_per_second": 777.4, "best": true}"#,
        )
        .unwrap()
    }

    #[test]
    fn the_bar_of_a_long_training_fits_80_columns() {
        let (paper, mut train) = (Paper::default(), TrainBar::default());
        train.started(100_000, 615_000);
        train.bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(paper.clone())));
        let terms = [("total".to_string(), 1234.5678)].into();
        let step = StepRecord { epoch: 100, step: 100_001, learning_rate: 1e-4, terms, gradient_norm: 1.0 };
        train.step(&step, 500);
        train.bar.tick();
        let written = paper.0.lock().unwrap().clone();
        let longest = written.split(['\n', '\r']).map(|line| line.trim_end().chars().count()).max();
        assert!(written.contains("epoch 100/500  loss 1234.568"), "{written}");
        assert!(longest.unwrap() < 80, "{written}");
    }

    #[test]
    fn rows_of_epochs_stand_under_their_names_in_80_columns() {
        let (heading, row) = (heading(&record()), row(&record(), 500, 3700.0));
        let names = heading.lines().last().unwrap();
        for (name, value) in [
            ("epoch", "100/500"),
            (" loss", "1234.568"),
            ("EMA NME %", "3.000"),
            ("images/s", "777"),
            (" lr", "0.000012"),
            ("time left", "1 h 01 m"),
        ] {
            let end = |text: &str, part: &str| text.find(part).map(|at| at + part.len());
            assert_eq!(end(names, name), end(&row, value), "{name}\n{names}\n{row}");
        }
        assert!(
            heading.lines().chain(row.lines()).all(|line| line.chars().count() <= 80),
            "{heading}\n{row}"
        );
    }

    #[test]
    fn spans_are_as_long_as_they_matter() {
        assert_eq!([9.4, 75.0, 3660.0, 90_000.0].map(span), ["9 s", "1 m 15 s", "1 h 01 m", "1 d 01 h"]);
    }
}
