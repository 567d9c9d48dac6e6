//! Reports of a download while it goes on.

/// A file that is being downloaded, and under which terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Download {
    /// Where it lies: `hf:owner/repo[@revision]/file`.
    pub address: String,
    /// Its size.
    pub bytes: u64,
    /// Who published it, where the registry knows.
    pub source: Option<String>,
    /// Its licence, where the registry knows.
    pub licence: Option<String>,
    /// What else should be known of it.
    pub notice: Option<String>,
}

/// Where reports of downloads go. None comes where the file was there before.
pub trait FetchProgress {
    /// A download begins.
    fn begin(&mut self, download: &Download);

    /// `done` of `total` bytes have arrived.
    fn advance(&mut self, done: u64, total: u64);

    /// The download has ended, well or not.
    fn end(&mut self);
}

/// Drops the reports.
impl FetchProgress for () {
    fn begin(&mut self, _: &Download) {}

    fn advance(&mut self, _: u64, _: u64) {}

    fn end(&mut self) {}
}
