//! The `star` program.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use star_cli::args::Cli;

fn main() -> ExitCode {
    match star_cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // What cannot be said is not worth a panic.
            let _ = writeln!(std::io::stderr(), "error: {}", star_predict::failure::describe(&error));
            ExitCode::FAILURE
        }
    }
}
