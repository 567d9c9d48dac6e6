//! Several pieces of work at a time, one thread each: faster in total than one after the other on all threads, and with the same
//! numbers on any number of cores, because sums are never split between threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Who does the work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Workers {
    /// So many pieces at a time.
    OneThreadEach(usize),
    /// One piece after the other.
    AllThreads,
}

/// Does `work` for every index below `count` in order; stops handing out work at the first error, or when `stop` is set.
///
/// # Errors
/// The first error.
pub(crate) fn run(
    count: usize,
    workers: Workers,
    stop: &AtomicBool,
    work: impl Fn(usize) -> Result<()> + Sync,
) -> Result<()> {
    let Workers::OneThreadEach(at_once) = workers else {
        return (0..count).take_while(|_| !stop.load(Ordering::SeqCst)).try_for_each(work);
    };
    let next = Mutex::new(0..count);
    let first: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..at_once.min(count).max(1) {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(1).build().context("a thread to work on")?;
            let (next, first, ended, work) = (&next, &first, &ended, &work);
            scope.spawn(move || {
                loop {
                    if stop.load(Ordering::SeqCst) || ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let index = next.lock().unwrap_or_else(|broken| broken.into_inner()).next();
                    let Some(index) = index else { return };
                    if let Err(error) = pool.install(|| work(index)) {
                        ended.store(true, Ordering::SeqCst);
                        first.lock().unwrap_or_else(|broken| broken.into_inner()).get_or_insert(error);
                    }
                }
            });
        }
        Ok(())
    })?;
    match first.into_inner().unwrap_or_else(|broken| broken.into_inner()) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn all_work_is_done_once_on_one_thread_each() {
        for at_once in [1, 2, 5] {
            let done: Vec<AtomicUsize> = (0..7).map(|_| AtomicUsize::new(0)).collect();
            run(7, Workers::OneThreadEach(at_once), &AtomicBool::new(false), |i| {
                assert_eq!(rayon::current_num_threads(), 1);
                done[i].fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
            .unwrap();
            assert!(done.iter().all(|count| count.load(Ordering::SeqCst) == 1));
        }
    }

    #[test]
    fn an_error_ends_the_work_and_a_stop_hands_out_no_more() {
        let done = AtomicUsize::new(0);
        let work = |i: usize| {
            done.fetch_add(1, Ordering::SeqCst);
            anyhow::ensure!(i != 1, "broken at {i}");
            Ok(())
        };
        let error = run(50, Workers::OneThreadEach(1), &AtomicBool::new(false), work).unwrap_err();
        assert_eq!((error.to_string().as_str(), done.load(Ordering::SeqCst)), ("broken at 1", 2));
        for workers in [Workers::OneThreadEach(2), Workers::AllThreads] {
            run(50, workers, &AtomicBool::new(true), work).unwrap();
        }
        assert_eq!(done.load(Ordering::SeqCst), 2);
    }
}
