//! The `star` program.

use std::process::ExitCode;

use clap::Parser;
use star_cli::args::Cli;

fn main() -> ExitCode {
    match star_cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", star_predict::failure::describe(&error));
            ExitCode::FAILURE
        }
    }
}
