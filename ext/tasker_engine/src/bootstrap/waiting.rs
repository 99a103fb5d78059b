//! Owns: waiting for the end of a task, whichever process carries it out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::asked::Asked;
use crate::error::{Error, Result};
use crate::interrupt::{time_left, Interrupt};
use crate::state::TaskState;
use crate::worker::{Expected, Shared};

/// How often a waiter looks for the end of a task that another process may carry out.
const WAIT_LOOK: Duration = Duration::from_millis(20);
/// How long a waiter puts up with a database that cannot be read.
const WAIT_FOR_STORE: Duration = Duration::from_secs(30);

/// Somebody who waits for a task.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    _expected: Expected,
    task_uuid: Uuid,
    deadline: Option<Instant>,
    failing: Option<Instant>,
    last: Option<TaskState>,
    look: Option<Asked<TaskState>>,
}

impl Waiting {
    pub(super) fn new(shared: &Arc<Shared>, task_uuid: Uuid, timeout: Option<Duration>) -> Waiting {
        Waiting {
            shared: Arc::clone(shared),
            _expected: shared.expect(task_uuid),
            task_uuid,
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            failing: None,
            last: None,
            look: None,
        }
    }

    /// As [`Asked::wait`]. `state` asks the store. Whether the task has ended, or else the time is up; and its state when
    /// it could last be read.
    pub(super) fn wait(
        &mut self,
        timeout: Duration,
        interrupt: &Interrupt,
        state: impl Fn() -> Asked<TaskState>,
    ) -> Option<Result<(bool, Option<TaskState>)>> {
        let until = Instant::now() + timeout;
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
            let Some(left) = time_left(self.deadline, WAIT_LOOK.min(left)) else {
                return Some(Ok((false, self.last)));
            };
            self.shared.wait_ended(self.task_uuid, left, interrupt);
        }
    }

    fn is_patient(&mut self) -> bool {
        self.failing.get_or_insert_with(Instant::now).elapsed() < WAIT_FOR_STORE
    }
}
