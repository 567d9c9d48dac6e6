//! A download: tried again where a failure may pass, resumed where it was cut, verified at the end.

use std::path::Path;

use candle_core::{Error, Result, bail};

use super::failure::{Failure, Phase};
use super::verify::{Verdict, evict, verify};
use super::{Address, Fetched, Hub, RemoteFile};

impl Hub {
    /// Waits before try number `attempt`: twice as long each time.
    pub(super) fn wait(&self, attempt: usize) {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(6);
        std::thread::sleep(self.config.pause * 2u32.pow(doublings));
    }

    pub(super) fn download(
        &self,
        address: &Address,
        announced: &RemoteFile,
        sha256: Option<&str>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Fetched> {
        let part = self.part_path(address, announced);
        let mut attempt = 0;
        let mut restarted = false;
        loop {
            let resumed = std::fs::metadata(&part).map_or(0, |part| part.len());
            let failed = match self.transfer(address, announced.size, progress) {
                Ok(path) => match verify(&path, announced, sha256)? {
                    Verdict::Whole => return Ok(Fetched { path, commit: announced.commit.clone() }),
                    Verdict::Short(got) => {
                        // What there is may still be the beginning of the right file.
                        keep_as_part(&path, &part)?;
                        let size = announced.size;
                        Error::msg(format!(
                            "{address}: cut off: the server ended after {got} of {size} bytes; repeat the command to go \
                             on from there"
                        ))
                    }
                    Verdict::Wrong(what) => {
                        evict(&path);
                        // A server that ignores where it was asked to go on leaves a mixture: once more from the start.
                        if resumed == 0 || restarted {
                            bail!(
                                "{address}: not the file that was expected: {what}. It was thrown away; try again, and \
                                 if it happens again the file on the server is not what it announces"
                            )
                        }
                        restarted = true;
                        continue;
                    }
                },
                Err(Failure::BeyondTheEnd) if !restarted => {
                    // A part as long as the file or longer: a run was killed after its last byte, or the part is not
                    // of this file.
                    std::fs::remove_file(&part)?;
                    restarted = true;
                    continue;
                }
                Err(failure) => {
                    let error = self.explain(address, &failure, Some((&part, announced.size)));
                    if !failure.is_transient() {
                        return Err(error);
                    }
                    error
                }
            };
            if attempt == self.config.retries {
                return Err(failed);
            }
            attempt += 1;
            self.wait(attempt);
        }
    }

    /// What went wrong, what to do about it, and how much of the file (part and whole size) is kept.
    pub(super) fn explain(&self, address: &Address, failure: &Failure, part: Option<(&Path, u64)>) -> Error {
        let endpoint = self.config.endpoint.trim_end_matches('/');
        let phase = if part.is_some() { Phase::Transfer } else { Phase::Request };
        let advice = failure.advice(address, endpoint, &self.config.cache, phase);
        let kept = part.and_then(|(path, size)| Some((std::fs::metadata(path).ok()?.len(), size)));
        let kept = match kept {
            Some((bytes, size)) if bytes > 0 => {
                format!(". {bytes} of {size} bytes are kept; repeat the command to go on from there")
            }
            _ => String::new(),
        };
        Error::msg(format!("{address}: {advice}{kept}"))
    }
}

/// Makes a file that ended early a part to go on from again.
fn keep_as_part(path: &Path, part: &Path) -> Result<()> {
    std::fs::rename(std::fs::canonicalize(path)?, part)?;
    // The pointer to it is gone already where pointer and file are one.
    let _ = std::fs::remove_file(path);
    Ok(())
}
