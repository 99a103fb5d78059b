//! Owns: what the engine's thread tells everybody else: how the worker is, and which awaited tasks
//! have ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::pulse::Pulse;
use crate::interrupt::{lock, time_left, wait_on, Interrupt};

/// How the worker is.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerStatus {
    pub(crate) worker_id: Option<Arc<str>>,
    pub(crate) running: bool,
    pub(crate) draining: bool,
    pub(crate) concurrency: usize,
    /// Namespaces served; 1 stands for all of them.
    pub(crate) queues: usize,
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
    awaited: Mutex<HashMap<Uuid, Awaited>>,
    ended: Condvar,
}

#[derive(Default)]
struct Awaited {
    waiters: usize,
    /// How often it has ended since somebody waits for it.
    ends: u64,
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

    /// Says that somebody waits for the task, until what this gives is dropped.
    pub(crate) fn expect(self: &Arc<Self>, task_uuid: Uuid) -> Expected {
        let mut awaited = lock(&self.awaited);
        let entry = awaited.entry(task_uuid).or_default();
        entry.waiters += 1;
        Expected { shared: Arc::clone(self), task_uuid, before: entry.ends }
    }

    fn forget(&self, task_uuid: Uuid) {
        let mut awaited = lock(&self.awaited);
        if let Some(entry) = awaited.get_mut(&task_uuid) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                awaited.remove(&task_uuid);
            }
        }
    }

    /// The tasks whose ends somebody waits for.
    pub(crate) fn awaited(&self) -> Vec<Uuid> {
        lock(&self.awaited).keys().copied().collect()
    }

    /// Tells those who wait that these tasks have ended.
    pub(crate) fn announce(&self, ended: impl Iterator<Item = Uuid>) {
        let mut awaited = lock(&self.awaited);
        if awaited.is_empty() {
            return;
        }
        let mut any = false;
        for task_uuid in ended {
            if let Some(entry) = awaited.get_mut(&task_uuid) {
                entry.ends += 1;
                any = true;
            }
        }
        drop(awaited);
        if any {
            self.ended.notify_all();
        }
    }
}

/// Somebody waits for a task.
pub(crate) struct Expected {
    shared: Arc<Shared>,
    task_uuid: Uuid,
    /// How often the task had ended when this began.
    before: u64,
}

impl Expected {
    /// Waits to hear that the task has ended, at most `timeout`. Says whether it has.
    pub(crate) fn wait(&self, timeout: Duration, interrupt: &Interrupt) -> bool {
        let shared = Arc::clone(&self.shared);
        interrupt.wakes(move || {
            drop(lock(&shared.awaited));
            shared.ended.notify_all();
        });
        let deadline = Instant::now() + timeout;
        let mut awaited = lock(&self.shared.awaited);
        loop {
            if awaited.get(&self.task_uuid).is_some_and(|entry| entry.ends > self.before) {
                return true;
            }
            let left = time_left(Some(deadline), timeout).filter(|_| !interrupt.is_set());
            let Some(left) = left else { return false };
            awaited = wait_on(&self.shared.ended, awaited, left);
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.shared.forget(self.task_uuid);
    }
}
