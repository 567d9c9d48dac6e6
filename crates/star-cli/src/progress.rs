//! Progress bars that look the same everywhere.

use indicatif::{ProgressBar, ProgressStyle};
use star_predict::weights::{Download, FetchProgress};
use star_train::Progress;
use star_train::records::{EpochRecord, StepRecord};

/// A bar over `count` things called `what`; draws nothing where standard error is no terminal.
pub fn bar(count: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    let template = format!("{{bar:30}} {{pos}}/{{len}} {what}  {{elapsed}} gone, {{eta}} left  {{msg}}");
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

/// A bar over the steps of a training, and a line an epoch.
pub struct TrainBar {
    bar: ProgressBar,
    label: String,
}

impl TrainBar {
    /// A bar with `label` before its figures.
    pub fn labelled(label: &str) -> Self {
        Self { bar: ProgressBar::hidden(), label: label.to_string() }
    }
}

impl Default for TrainBar {
    fn default() -> Self {
        Self::labelled("")
    }
}

impl Progress for TrainBar {
    fn started(&mut self, step: usize, steps: usize) {
        self.bar = bar(steps, "steps");
        self.bar.set_position(step as u64);
        self.bar.reset_eta();
    }

    fn step(&mut self, record: &StepRecord, epochs: usize) {
        let term = |name| record.terms.get(name).copied().unwrap_or(f64::NAN);
        self.bar.inc(1);
        self.bar.set_message(format!(
            "{} epoch {}/{epochs}  loss {:.3}  landmark {:.4}",
            self.label,
            record.epoch,
            term("total"),
            term("landmark")
        ));
    }

    fn epoch(&mut self, record: &EpochRecord, epochs: usize) {
        self.note(&record.line(epochs));
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| say!("{text}"));
    }

    fn ended(&mut self) {
        self.bar.finish_and_clear();
    }
}
