//! Owns: whether the engine's thread lives and gets anywhere, and how its store is: written by that thread, read by whoever
//! answers for the process's health. Refuses: asking the store.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Micros;
use crate::interrupt::lock;
use crate::store::Backlog;
use crate::watchdog::{millis, Watchdog};

/// The breaker's state, as a number for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BreakerState {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

/// Whether the engine's thread lives and gets anywhere. Read by whoever answers for the process's health.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    ended: AtomicBool,
    breaker: AtomicU8,
    /// When the transaction in flight began, as `millis` gives it; 0: none.
    transaction: AtomicU64,
    watchdog: Arc<Watchdog>,
    failing: AtomicBool,
    waiting: Mutex<Option<(Arc<Backlog>, Micros)>>,
}

impl Pulse {
    pub(super) fn set_breaker(&self, state: BreakerState) -> BreakerState {
        breaker(self.breaker.swap(state as u8, Ordering::Relaxed))
    }

    pub(crate) fn breaker(&self) -> BreakerState {
        breaker(self.breaker.load(Ordering::Relaxed))
    }

    /// On the engine's thread: each wait of it for the store (`watchdog::waits`) counts from then on.
    pub(crate) fn transaction_begins(&self) {
        self.watchdog.start();
        self.transaction.store(millis(), Ordering::Relaxed);
    }

    /// `failed`: the store did not answer as it should.
    pub(super) fn transaction_ends(&self, failed: bool) {
        self.watchdog.stop();
        self.transaction.store(0, Ordering::Relaxed);
        self.failing.store(failed, Ordering::Relaxed);
    }

    /// For how long the transaction in flight has been in flight.
    pub(crate) fn in_transaction(&self) -> Option<Duration> {
        let since = self.transaction.load(Ordering::Relaxed);
        (since > 0).then(|| Duration::from_millis(millis().saturating_sub(since)))
    }

    /// Overdue beyond that, the engine's thread hangs: its store neither answers nor times out.
    pub(crate) fn watchdog(&self) -> &Arc<Watchdog> {
        &self.watchdog
    }

    /// As if that much more time had gone by.
    #[cfg(test)]
    pub(crate) fn pass(&self, time: Duration) {
        self.transaction.fetch_sub(time.as_millis() as u64, Ordering::Relaxed);
        crate::watchdog::tests::pass(&self.watchdog, time);
    }

    /// Whether the last transaction failed because of the store.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the engine's thread has ended, by a close or by a panic.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(super) fn publish_waiting(&self, backlog: Backlog, at: Micros) {
        *lock(&self.waiting) = Some((Arc::new(backlog), at));
    }

    /// What waited in the store at the last look, and when that was.
    pub(crate) fn waiting(&self) -> Option<(Arc<Backlog>, Micros)> {
        lock(&self.waiting).clone()
    }
}

fn breaker(number: u8) -> BreakerState {
    match number {
        0 => BreakerState::Closed,
        1 => BreakerState::HalfOpen,
        _ => BreakerState::Open,
    }
}
