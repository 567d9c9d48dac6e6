//! The parallel map of this crate: work on a stream by several threads, results in its order, and never more than a few items in
//! memory.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError, mpsc};

use anyhow::{Result, anyhow};

/// Items under way for each worker: enough that a slow image does not keep the others idle.
const AHEAD: usize = 4;

/// Runs `work` on all `items` (with their index) on `workers` threads and hands the results to `each` in order, until an item or
/// `each` is an error.
///
/// At most four items a worker, and two more, are in memory at once: the stream is not read ahead of a slow `work` or a slow `each`.
///
/// # Errors
/// The first of these. A panic in the stream or in `work` is an error too: the others would wait for ever for what it owes them.
pub fn map_ordered<I: Send, T: Send>(
    mut items: impl Iterator<Item = Result<I>> + Send,
    workers: usize,
    work: impl Fn(usize, I) -> T + Sync,
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let window = AHEAD * workers.max(1);
    // A ticket for every item that is under way: taken by the reader, given back by the writer.
    let (take, give_back) = sync_channel::<()>(window);
    let (hand, receive) = sync_channel(window);
    let receive: Mutex<Receiver<(usize, Result<I>)>> = Mutex::new(receive);
    let (send, results) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for i in 0.. {
                let item = match or_panic(|| items.next()) {
                    Ok(Some(item)) => item,
                    Ok(None) => break,
                    Err(panic) => Err(panic),
                };
                let last = item.is_err();
                // Nobody works or listens any more after an error.
                if take.send(()).is_err() || hand.send((i, item)).is_err() || last {
                    break;
                }
            }
        });
        for _ in 0..workers.max(1) {
            let (send, receive, work) = (send.clone(), &receive, &work);
            scope.spawn(move || {
                loop {
                    let next = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((i, item)) = next else { break };
                    let result = item.and_then(|item| or_panic(|| work(i, item)));
                    if send.send((i, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let (mut early, mut due) = (BTreeMap::new(), 0);
        let outcome = (|| {
            for (i, result) in &results {
                early.insert(i, result);
                while let Some(result) = early.remove(&due) {
                    each(result?)?;
                    due += 1;
                    let _ = give_back.recv();
                }
            }
            Ok(())
        })();
        // Those who still work or read find nobody there and end.
        drop((results, give_back));
        outcome
    })
}

/// What `work` returns; its panic as an error.
fn or_panic<T>(work: impl FnOnce() -> T) -> Result<T> {
    unwound(work).map_err(|text| anyhow!("a worker panicked, a fault of the program: {text}"))
}

/// What `work` returns, or the message of its panic. Nothing that the panic leaves half done may be used again.
pub(crate) fn unwound<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("no message").to_string()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_and_a_slow_one_does_not_let_the_others_pile_up() {
        let (started, done, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let items = (0..200usize).map(|i| {
            let under_way = started.fetch_add(1, Ordering::SeqCst) + 1 - done.load(Ordering::SeqCst);
            most.fetch_max(under_way, Ordering::SeqCst);
            Ok(i)
        });
        let slow = |_, i: usize| {
            std::thread::sleep(Duration::from_millis(if i == 5 { 40 } else { 0 }));
            i * i
        };
        let mut seen = Vec::new();
        map_ordered(items, 3, slow, |square| {
            seen.push(square);
            done.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (0..200).map(|i| i * i).collect::<Vec<_>>());
        // The window, one that the reader holds, one that has just been handed over.
        assert!(most.load(Ordering::SeqCst) <= AHEAD * 3 + 2, "{most:?}");
    }

    #[test]
    fn an_error_of_the_stream_or_of_the_writer_ends_the_work() {
        let items = (0..1000).map(|i| if i == 7 { anyhow::bail!("cut") } else { Ok(i) });
        let mut count = 0;
        let error = map_ordered(
            items,
            2,
            |_, i| i,
            |_| {
                count += 1;
                Ok(())
            },
        );
        assert_eq!((error.unwrap_err().to_string(), count), ("cut".to_string(), 7));
        let full = map_ordered(
            (0..1000).map(Ok),
            2,
            |_, i| i,
            |i| if i == 3 { anyhow::bail!("full") } else { Ok(()) },
        );
        assert_eq!(full.unwrap_err().to_string(), "full");
    }

    #[test]
    fn a_panic_of_the_stream_or_of_a_worker_is_an_error_that_nobody_waits_behind() {
        let work = |i: usize, _| if i == 3 { panic!("worker at {i}") } else { i };
        let error = map_ordered((0..1000).map(Ok), 3, work, |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("worker at 3"), "{error}");
        let items = (0..1000).map(|i| if i == 20 { panic!("stream") } else { Ok(i) });
        let mut count = 0;
        let each = |_| {
            count += 1;
            Ok(())
        };
        let error = map_ordered(items, 3, |i, _| i, each).unwrap_err().to_string();
        assert!(error.contains("stream") && count == 20, "{error} after {count}");
    }

    #[test]
    fn results_arrive_in_order_and_an_error_ends_the_work() {
        let slow_first = |i: usize| {
            std::thread::sleep(Duration::from_millis(if i == 0 { 20 } else { 0 }));
            i * i
        };
        let mut seen = Vec::new();
        map_ordered(
            (0..7).map(Ok),
            3,
            |_, i| (i, slow_first(i)),
            |(i, square)| {
                seen.push((i, square));
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(seen, (0..7).map(|i| (i, i * i)).collect::<Vec<_>>());
        let stopped = map_ordered(
            (0..100).map(Ok),
            2,
            |_, i| i,
            |i| if i == 3 { anyhow::bail!("full") } else { Ok(()) },
        );
        assert_eq!(stopped.unwrap_err().to_string(), "full");
    }

    #[test]
    fn a_reader_of_results_that_is_slow_holds_the_stream_back() {
        // What is alive is counted by the items themselves: from the stream until `each` has dropped them.
        struct Item<'a>(&'a AtomicUsize);
        impl Drop for Item<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let (alive, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items = (0..100).map(|_| {
            most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Ok(Item(&alive))
        });
        map_ordered(
            items,
            2,
            |_, item| item,
            |item| {
                std::thread::sleep(Duration::from_millis(1));
                drop(item);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        assert!(most.load(Ordering::SeqCst) <= AHEAD * 2 + 2, "{most:?}");
    }
}
