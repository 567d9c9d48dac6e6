//! The batches of an epoch, a step's at a time, and the next step's on their way while the device computes.

use std::time::Duration;

use anyhow::Result;
use star_data::loader::{Batch, Batches};
use star_predict::tensors::{Sent, Uploader};

/// The batches of one step.
pub(super) struct Group {
    pub(super) batches: Vec<Batch>,
    /// The first of them, where it is on its way already.
    pub(super) sent: Option<Sent>,
    /// Where to enter the epoch after them.
    pub(super) end: usize,
}

/// The groups of one epoch, in order.
pub(super) struct Feed<'a> {
    loaded: Batches<'a>,
    /// Batches of a group that is not the last.
    size: usize,
    /// Batches of the epoch.
    batches: usize,
    /// What was loaded ahead; an error waits here for its step.
    ahead: Option<Result<Group>>,
    /// Of the time that was waited for batches, that in which the device was at work.
    hidden: Duration,
}

impl<'a> Feed<'a> {
    pub(super) fn new(loaded: Batches<'a>, size: usize, batches: usize) -> Self {
        Self { loaded, size, batches, ahead: None, hidden: Duration::ZERO }
    }

    /// The next group, without batches where none are left.
    ///
    /// # Errors
    /// When a batch cannot be loaded or sent.
    pub(super) fn next(&mut self) -> Result<Group> {
        self.ahead.take().unwrap_or_else(|| self.load())
    }

    /// Loads the next group, and begins to send it, where that is of use before its step. Its errors are [`next`](Self::next)'s.
    pub(super) fn load_ahead(&mut self, uploader: &mut Uploader) {
        if !uploader.is_ahead() || self.loaded.position() >= self.batches {
            return;
        }
        let waited = self.loaded.waited();
        let group = self.load();
        if !uploader.is_idle() {
            self.hidden += self.loaded.waited() - waited;
        }
        self.ahead = Some(group.and_then(|mut group| {
            group.sent = group.batches.first().map(|batch| uploader.send(batch)).transpose()?;
            Ok(group)
        }));
    }

    /// How long the device had nothing to do because batches were waited for.
    pub(super) fn waited(&self) -> Duration {
        self.loaded.waited().saturating_sub(self.hidden)
    }

    fn load(&mut self) -> Result<Group> {
        let count = self.size.min(self.batches - self.loaded.position());
        let batches = self.loaded.by_ref().take(count).collect::<Result<_, _>>()?;
        Ok(Group { batches, sent: None, end: self.loaded.position() })
    }
}
