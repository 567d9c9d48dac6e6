//! Running a command whose output is both shown as it comes and kept for reading.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::workspace::typed;

/// Runs `command`, passing both of its streams on line by line; returns them without colours, standard output first.
///
/// # Errors
/// When the command cannot be started, or its output not be passed on.
pub(crate) fn run(command: &mut Command) -> Result<(ExitStatus, String)> {
    // A pipe is no terminal, so colours have to be asked for.
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {}", typed(command)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err) = thread::scope(|scope| {
        let out = scope.spawn(|| copy(out, std::io::stdout()));
        let err = copy(err, std::io::stderr());
        (out.join().map_err(|_| anyhow!("the thread that reads standard output died")), err)
    });
    let text = out?? + &err?;
    Ok((child.wait()?, plain(&text)))
}

fn copy(from: Option<impl Read>, mut to: impl Write) -> Result<String> {
    let mut kept = Vec::new();
    if let Some(from) = from {
        let mut from = BufReader::new(from);
        loop {
            let start = kept.len();
            if from.read_until(b'\n', &mut kept)? == 0 {
                break;
            }
            to.write_all(&kept[start..])?;
            to.flush()?;
        }
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// `text` without terminal colours: escape, `[`, up to a letter.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |letter| letter + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out_and_nothing_else() {
        assert_eq!(plain("\u{1b}[32;1m  Summary\u{1b}[0m [ 0.1s] 3 tests"), "  Summary [ 0.1s] 3 tests");
        assert_eq!(plain("no [colour] here"), "no [colour] here");
    }

    #[test]
    fn the_output_and_the_exit_status_come_back() {
        let (status, output) = run(Command::new("cargo").arg("--version")).unwrap();
        assert!(status.success() && output.starts_with("cargo "), "{output}");
        let (status, output) = run(Command::new("cargo").arg("no-such-subcommand")).unwrap();
        assert!(!status.success() && output.contains("no-such-subcommand"), "{output}");
    }
}
