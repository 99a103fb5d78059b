//! Owns: the moment of a fork. A child has the locks of its parent as they were then, and nobody who
//! would open those that were shut: not only our own, which it forgets with what they guard, but SQLite's,
//! which are one for the whole process. So whoever works with the store is [`working`] meanwhile, and a
//! fork waits until nobody is.
//! Refuses: to wait for ever, and forks that do not ask.

use std::marker::PhantomData;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::interrupt::lock;

/// Longer than a transaction takes, unless another process holds the database; then the fork goes ahead.
const PATIENCE: Duration = Duration::from_secs(1);

struct State {
    working: usize,
    forking: bool,
}

static STATE: Mutex<State> = Mutex::new(State { working: 0, forking: false });
static CHANGED: Condvar = Condvar::new();

/// While it lives, no fork that asks happens. Not to be held while waiting for another thread, nor twice
/// by the same one.
pub(crate) struct Working(PhantomData<*const ()>);

/// Begins work that no fork may interrupt; waits while a process is being forked.
pub(crate) fn working() -> Working {
    let state = lock(&STATE);
    let mut state = CHANGED.wait_while(state, |state| state.forking).unwrap_or_else(PoisonError::into_inner);
    state.working += 1;
    Working(PhantomData)
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut state = lock(&STATE);
        // In a child it may be one of its parent's, which are not counted any more.
        state.working = state.working.saturating_sub(1);
        drop(state);
        CHANGED.notify_all();
    }
}

/// A process that is about to be forked, or just has been. Belongs to the thread that forks, which drops it
/// in parent and child.
pub struct Fork {
    state: MutexGuard<'static, State>,
    parent: u32,
}

/// Waits until nobody works, at most a second, and keeps everybody from it until the value is dropped.
pub fn prepare() -> Fork {
    let mut state = lock(&STATE);
    state.forking = true;
    let waited = CHANGED.wait_timeout_while(state, PATIENCE, |state| state.working > 0);
    let state = waited.unwrap_or_else(PoisonError::into_inner).0;
    Fork { state, parent: std::process::id() }
}

impl Drop for Fork {
    fn drop(&mut self) {
        self.state.forking = false;
        if std::process::id() != self.parent {
            self.state.working = 0;
        }
        CHANGED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_fork_waits_for_work_and_work_for_a_fork() {
        let (began, begun) = channel();
        let (finish, finished) = channel::<()>();
        let worker = std::thread::spawn(move || {
            let _working = working();
            let _ = began.send(());
            let _ = finished.recv();
        });
        assert!(begun.recv().is_ok());
        let forker = std::thread::spawn(|| {
            let fork = prepare();
            fork.state.working
        });
        drop(finish);
        assert_eq!(forker.join().ok(), Some(0));
        assert!(worker.join().is_ok());
        drop(working());
    }
}
