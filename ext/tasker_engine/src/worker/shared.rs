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
    awaited: Mutex<HashMap<Uuid, Awaited>>,
    ended: Condvar,
}

#[derive(Default)]
struct Awaited {
    waiters: usize,
    ended: bool,
}

impl Shared {
    pub(crate) fn status(&self) -> WorkerStatus {
        lock(&self.status).clone()
    }

    pub(super) fn publish(&self, status: WorkerStatus) {
        *lock(&self.status) = status;
        self.changed.notify_all();
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

    /// Waits for one of this process's transactions to end the task, at most `timeout`.
    pub(crate) fn wait_ended(self: &Arc<Self>, task_uuid: Uuid, timeout: Duration, interrupt: &Interrupt) {
        let shared = Arc::clone(self);
        interrupt.wakes(move || {
            drop(lock(&shared.awaited));
            shared.ended.notify_all();
        });
        let deadline = Instant::now() + timeout;
        let mut awaited = lock(&self.awaited);
        while !interrupt.is_set() && awaited.get(&task_uuid).is_some_and(|entry| !entry.ended) {
            let Some(left) = time_left(Some(deadline), timeout) else { break };
            awaited = wait_on(&self.ended, awaited, left);
        }
        if let Some(entry) = awaited.get_mut(&task_uuid) {
            entry.ended = false;
        }
    }

    /// Says that somebody waits for the task, until what this gives is dropped.
    pub(crate) fn expect(self: &Arc<Self>, task_uuid: Uuid) -> Expected {
        lock(&self.awaited).entry(task_uuid).or_default().waiters += 1;
        Expected { shared: Arc::clone(self), task_uuid }
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

    /// Tells those who wait that these tasks have ended.
    pub(super) fn announce(&self, ended: impl Iterator<Item = Uuid>) {
        let mut awaited = lock(&self.awaited);
        if awaited.is_empty() {
            return;
        }
        let mut any = false;
        for task_uuid in ended {
            if let Some(entry) = awaited.get_mut(&task_uuid) {
                entry.ended = true;
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
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.shared.forget(self.task_uuid);
    }
}
