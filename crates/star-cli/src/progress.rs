//! Progress bars that look the same everywhere.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `count` things called `what`; draws nothing where standard error is no terminal.
pub fn bar(count: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    let template = format!("{{bar:30}} {{pos}}/{{len}} {what}  {{elapsed}} gone, {{eta}} left  {{msg}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// A bar over bytes of a download; its length is set when it is known.
pub fn bytes() -> ProgressBar {
    let bar = ProgressBar::no_length();
    let template = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
