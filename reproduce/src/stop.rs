//! Stopping in good order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Exit code of a program that Ctrl-C ended: 128 + SIGINT, as shells expect.
const STOPPED: i32 = 130;

/// A flag that Ctrl-C (or a polite kill) sets; a second one ends the program at once.
///
/// # Errors
/// When a handler is installed already.
pub(crate) fn on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(STOPPED);
        }
        eprintln!("stopping after this step; once more to stop at once");
    };
    ctrlc::set_handler(handler).context("installing the Ctrl-C handler")?;
    Ok(stop)
}
