//! Owns: whether the thread that works with a store gets anywhere: since when it has had neither an answer nor a timeout.
//! Refuses: taking a store that is away, or slow, for a thread that hangs.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The thread is not at work.
const OFF: u64 = u64::MAX;

thread_local! {
    static OF_THIS_THREAD: RefCell<Option<Arc<Watchdog>>> = const { RefCell::new(None) };
}

/// By when a thread must give its next sign of life. Stamped by that thread, read by any other.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Milliseconds, as [`millis`] gives them.
    due: AtomicU64,
}

impl Default for Watchdog {
    fn default() -> Watchdog {
        Watchdog { due: AtomicU64::new(OFF) }
    }
}

impl Watchdog {
    /// The calling thread begins to work, and every wait of it counts from here on.
    pub(crate) fn start(self: &Arc<Self>) {
        OF_THIS_THREAD.with_borrow_mut(|watchdog| {
            watchdog.get_or_insert_with(|| Arc::clone(self));
        });
        self.sign_of_life(Duration::ZERO);
    }

    /// The work is done.
    pub(crate) fn stop(&self) {
        self.due.store(OFF, Ordering::Relaxed);
    }

    /// How long a sign of life has been overdue.
    pub(crate) fn overdue(&self) -> Duration {
        Duration::from_millis(millis().saturating_sub(self.due.load(Ordering::Relaxed)))
    }

    /// The next one comes within `limit`.
    fn sign_of_life(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(OFF);
        self.due.store(millis().saturating_add(limit).min(OFF - 1), Ordering::Relaxed);
    }
}

/// The calling thread waits for its store, which answers within `limit` or is given up: until the value is dropped.
pub(crate) fn waits(limit: Duration) -> Waiting {
    let watchdog = OF_THIS_THREAD.with_borrow(Option::clone);
    let working = watchdog.filter(|watchdog| watchdog.due.load(Ordering::Relaxed) != OFF);
    working.iter().for_each(|watchdog| watchdog.sign_of_life(limit));
    Waiting(working)
}

/// A wait with a limit.
pub(crate) struct Waiting(Option<Arc<Watchdog>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.iter().for_each(|watchdog| watchdog.sign_of_life(Duration::ZERO));
    }
}

/// Milliseconds on a clock that only goes forward. It begins a day from zero, so that there is a time before.
pub(crate) fn millis() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    86_400_000 + u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// As if that much more time had gone by.
    pub(crate) fn pass(watchdog: &Watchdog, time: Duration) {
        let due = watchdog.due.load(Ordering::Relaxed);
        let earlier = (due != OFF).then(|| due.saturating_sub(time.as_millis() as u64));
        earlier.into_iter().for_each(|due| watchdog.due.store(due, Ordering::Relaxed));
    }

    #[test]
    fn each_answer_and_each_timeout_is_a_sign_of_life() {
        let watchdog = Arc::new(Watchdog::default());
        watchdog.start();
        for _ in 0..10 {
            let waiting = waits(MINUTE / 2);
            pass(&watchdog, MINUTE / 2);
            assert!(watchdog.overdue() < MINUTE / 60, "{:?}", watchdog.overdue());
            drop(waiting);
        }
        let _waiting = waits(MINUTE / 2);
        pass(&watchdog, MINUTE * 2);
        assert!(watchdog.overdue() >= MINUTE * 3 / 2, "neither came");
    }

    #[test]
    fn a_thread_that_is_not_at_work_owes_nothing() {
        let watchdog = Arc::new(Watchdog::default());
        assert_eq!(watchdog.overdue(), Duration::ZERO);
        watchdog.start();
        watchdog.stop();
        drop(waits(MINUTE));
        pass(&watchdog, MINUTE * 2);
        assert_eq!(watchdog.overdue(), Duration::ZERO);
    }
}
