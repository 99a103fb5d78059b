//! Owns: waiting for the end of a task, whichever process carries it out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::asked::Asked;
use crate::engine::{Ends, Expected, Recent, Shared};
use crate::error::{Error, Result};
use crate::interrupt::{time_left, Interrupt};
use crate::state::TaskState;
use crate::store::{Ended, OnEnd, Reader};

/// How long until a waiter looks again for the end of a task that another process may carry out: the first time, twice as
/// long each further time, and at most.
const WAIT_LOOK: Duration = Duration::from_millis(20);
const WAIT_LOOK_MOST: Duration = Duration::from_millis(250);
/// The same while the store tells of such ends.
const WAIT_NOTIFIED: Duration = Duration::from_secs(5);
/// How long a waiter puts up with a database that cannot be read.
const WAIT_FOR_STORE: Duration = Duration::from_secs(30);

/// Somebody who waits for a task.
pub(super) struct Waiting {
    expected: Expected,
    /// A worker of this process may carry it out: then the end is heard of here.
    in_sight: bool,
    deadline: Option<Instant>,
    failing: Option<Instant>,
    last: Option<TaskState>,
    look: Option<Asked<TaskState>>,
    pause: Duration,
}

/// Passes on to those who wait here that other processes have ended tasks.
pub(super) fn on_end(ends: &Arc<Ends>, reader: &Arc<dyn Reader>) -> OnEnd {
    let (ends, reader) = (Arc::clone(ends), Arc::downgrade(reader));
    Arc::new(move |ended| match ended {
        Ended::These(tasks) => ends.announce(tasks.iter().copied()),
        // One look for all who wait.
        Ended::Any => {
            let awaited = ends.awaited();
            let Some(reader) = reader.upgrade().filter(|_| !awaited.is_empty()) else { return };
            match reader.ended(&awaited) {
                Ok(ended) => ends.announce(ended.into_iter()),
                Err(error) => tracing::debug!(%error, "Ends of tasks could not be looked for"),
            }
        }
    })
}

impl Waiting {
    pub(super) fn new(shared: &Arc<Shared>, task_uuid: Uuid, timeout: Option<Duration>) -> Waiting {
        Waiting {
            in_sight: shared.status().running,
            expected: shared.ends.expect(task_uuid),
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            failing: None,
            last: None,
            look: None,
            pause: WAIT_LOOK,
        }
    }

    /// As [`Asked::wait`]. `state` asks the store, `watch` whether it tells of ends. Whether the task has ended, or else the time is up; and its state when
    /// it could last be read.
    pub(super) fn wait(
        &mut self,
        timeout: Duration,
        interrupt: &Interrupt,
        state: impl Fn() -> Asked<TaskState>,
        watch: impl Fn() -> bool,
    ) -> Option<Result<(bool, Option<TaskState>)>> {
        let until = Instant::now() + timeout;
        match self.expected.recent.take() {
            Some(Recent::Ended) => return Some(Ok((true, None))),
            // Hardly begun: a look would find nothing, and the end is heard of.
            Some(Recent::Submitted) if watch() || self.in_sight => {
                let pause = time_left(self.deadline, WAIT_LOOK.min(timeout));
                if self.expected.wait(pause.unwrap_or_default(), interrupt) {
                    return Some(Ok((true, None)));
                }
            }
            _ => {}
        }
        loop {
            if interrupt.is_set() {
                return None;
            }
            let left = time_left(Some(until), timeout)?;
            // What hangs must not outlast the caller's own time.
            let most = time_left(self.deadline, left);
            match self.look.get_or_insert_with(&state).wait(most.unwrap_or_default(), interrupt) {
                Some(answer) => {
                    self.look = None;
                    match answer {
                        Ok(state) if state.is_final() => return Some(Ok((true, Some(state)))),
                        Ok(state) => (self.failing, self.last) = (None, Some(state)),
                        // A database that restarts is no reason to give up.
                        Err(Error::Store(_)) if self.is_patient() => {}
                        Err(error) => return Some(Err(error)),
                    }
                }
                None if most.is_none() => return Some(Ok((false, self.last))),
                None => continue,
            }
            let pause = if watch() { WAIT_NOTIFIED } else { self.pause };
            let Some(left) = time_left(self.deadline, pause.min(left)) else {
                return Some(Ok((false, self.last)));
            };
            self.pause = (self.pause * 2).min(WAIT_LOOK_MOST);
            if self.expected.wait(left, interrupt) {
                return Some(Ok((true, None)));
            }
        }
    }

    fn is_patient(&mut self) -> bool {
        self.failing.get_or_insert_with(Instant::now).elapsed() < WAIT_FOR_STORE
    }
}
