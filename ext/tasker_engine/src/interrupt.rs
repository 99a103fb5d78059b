//! Owns: the way to call a blocked waiter back. Refuses: meaning anything but "stop waiting".

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A lock that outlives a panic of its holder: the engine's data under a lock is always whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `condvar` for at most `timeout`.
pub(crate) fn wait_on<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>, timeout: Duration) -> MutexGuard<'a, T> {
    condvar.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0
}

#[derive(Default)]
struct Inner {
    set: AtomicBool,
    wake: Mutex<Option<Box<dyn Fn() + Send>>>,
}

/// Calls one blocked call back from another thread (Ruby's unblock function, a signal).
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Inner>);

impl Interrupt {
    /// An interrupt that nobody has set yet.
    pub fn new() -> Interrupt {
        Interrupt::default()
    }

    /// Tells the waiter to come back. May be called any number of times, at any time.
    pub fn set(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        if let Some(wake) = lock(&self.0.wake).as_ref() {
            wake();
        }
    }

    /// Whether somebody has called.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    /// Names what wakes the waiter; the waiter calls it before it waits.
    pub(crate) fn wakes(&self, wake: impl Fn() + Send + 'static) {
        *lock(&self.0.wake) = Some(Box::new(wake));
    }
}

/// One answer, put by one thread and awaited by another.
pub(crate) struct Slot<T> {
    value: Mutex<Option<T>>,
    come: Condvar,
}

impl<T: Send + 'static> Slot<T> {
    pub(crate) fn new() -> Arc<Slot<T>> {
        Arc::new(Slot { value: Mutex::new(None), come: Condvar::new() })
    }

    pub(crate) fn put(&self, value: T) {
        *lock(&self.value) = Some(value);
        self.come.notify_all();
    }

    /// Takes the answer, waiting for it at most `timeout`. `None`: the time is up, or the waiter was called back; the
    /// answer may still come.
    pub(crate) fn wait(self: &Arc<Self>, timeout: Duration, interrupt: &Interrupt) -> Option<T> {
        let slot = Arc::clone(self);
        interrupt.wakes(move || {
            drop(lock(&slot.value));
            slot.come.notify_all();
        });
        let deadline = Instant::now() + timeout;
        let mut value = lock(&self.value);
        while value.is_none() && !interrupt.is_set() {
            let Some(left) = time_left(Some(deadline), timeout) else { break };
            value = wait_on(&self.come, value, left);
        }
        value.take()
    }
}

/// The time left until `deadline`, at most `most`; `None` when it has passed.
pub(crate) fn time_left(deadline: Option<Instant>, most: Duration) -> Option<Duration> {
    match deadline {
        None => Some(most),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            (!left.is_zero()).then(|| left.min(most))
        }
    }
}
