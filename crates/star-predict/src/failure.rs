//! An error as one message: each cause once, without the frames that libraries add for developers.

use std::fmt::Write;

/// The error and its causes in one line each, joined by `: `.
///
/// A cause that the text before it ends with already is left out, and so are the stack frames that candle puts into its messages
/// where `RUST_BACKTRACE` is set.
#[must_use]
pub fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = without_frames(&cause.to_string());
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            // Writing into a string cannot fail.
            let _ = write!(text, ": {cause}");
        }
    }
    text
}

fn without_frames(text: &str) -> String {
    let is_frame = |line: &str| {
        let line = line.trim_start();
        let number = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        line.starts_with("at ") || (number > 0 && line[number..].starts_with(": "))
    };
    let kept: Vec<&str> = text.lines().filter(|line| !(line.starts_with(' ') && is_frame(line))).collect();
    kept.join("\n").trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_that_the_message_quotes_is_not_repeated() {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let quoted = star_data::Error::Io { path: "a.png".into(), source: missing() };
        assert_eq!(describe(&quoted.into()), "a.png: entity not found");
        let wrapped = Err::<(), _>(missing()).context("a.toml").unwrap_err();
        assert_eq!(describe(&wrapped), "a.toml: entity not found");
    }

    #[test]
    fn frames_of_the_program_are_no_part_of_the_message() {
        let text = "w.pkl: refused\n   0: candle_core::error::Error::bt\n   1: step\n             at src/scan.rs:152:21\n";
        assert_eq!(describe(&anyhow::anyhow!("{text}")), "w.pkl: refused");
        let indented = "two problems:\n  tensor a: missing\n  tensor b: missing";
        assert_eq!(describe(&anyhow::anyhow!("{indented}")), indented);
    }
}
