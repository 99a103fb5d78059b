//! Owns: what the engine's thread tells everybody else: how the worker is, and which tasks have ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::ends::Ends;
use super::pulse::Pulse;
use crate::interrupt::{lock, time_left, wait_on, Interrupt};

/// How the worker is.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerStatus {
    pub(crate) worker_id: Option<Arc<str>>,
    pub(crate) running: bool,
    pub(crate) draining: bool,
    pub(crate) concurrency: usize,
    /// Namespaces served; 0 stands for all of them.
    pub(crate) namespaces: usize,
    pub(crate) in_flight: usize,
}

/// Counts since the engine was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) submitted: AtomicU64,
    pub(crate) finalized: AtomicU64,
    pub(crate) claimed: AtomicU64,
    pub(crate) settled: AtomicU64,
    pub(crate) stale_completions: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) store_errors: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) counters: Counters,
    pub(crate) pulse: Pulse,
    status: Mutex<WorkerStatus>,
    changed: Condvar,
    quarantine: Mutex<Vec<(i64, String)>>,
    pub(crate) ends: Arc<Ends>,
}

impl Shared {
    pub(crate) fn status(&self) -> WorkerStatus {
        lock(&self.status).clone()
    }

    pub(super) fn publish(&self, status: WorkerStatus) {
        *lock(&self.status) = status;
        self.changed.notify_all();
    }

    pub(crate) fn publish_quarantine(&self, tasks: Vec<(i64, String)>) {
        *lock(&self.quarantine) = tasks;
    }

    /// Tasks that are left alone, by number, and why.
    pub(crate) fn quarantine(&self) -> Vec<(i64, String)> {
        lock(&self.quarantine).clone()
    }

    /// Waits until the worker holds no claim. False: the time is up, or the caller was called back.
    pub(crate) fn wait_idle(self: &Arc<Self>, timeout: Duration, interrupt: &Interrupt) -> bool {
        let shared = Arc::clone(self);
        interrupt.wakes(move || {
            drop(lock(&shared.status));
            shared.changed.notify_all();
        });
        let deadline = Instant::now() + timeout;
        let mut status = lock(&self.status);
        while status.in_flight > 0 {
            let left = time_left(Some(deadline), timeout).filter(|_| !interrupt.is_set());
            let Some(left) = left else { return false };
            status = wait_on(&self.changed, status, left);
        }
        true
    }
}
