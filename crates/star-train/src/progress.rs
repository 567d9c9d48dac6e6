//! How a training tells what it does.

use crate::records::{EpochRecord, StepRecord};

/// Hears how a training goes. Every method does nothing unless it is written; `()` hears nothing.
///
/// Of several ranks the first one reports; notes come from each.
pub trait Progress {
    /// A run begins, or goes on, with `step` of `steps` steps done.
    fn started(&mut self, step: usize, steps: usize) {
        let _ = (step, steps);
    }

    /// A step is done, of a run of `epochs` epochs.
    fn step(&mut self, record: &StepRecord, epochs: usize) {
        let _ = (record, epochs);
    }

    /// An epoch is done and scored, of a run of `epochs` epochs.
    fn epoch(&mut self, record: &EpochRecord, epochs: usize) {
        let _ = (record, epochs);
    }

    /// Something that a person should know: a sentence.
    fn note(&mut self, text: &str) {
        let _ = text;
    }

    /// The run is over, for now or for good.
    fn ended(&mut self) {}
}

impl Progress for () {}
