//! Owns: who in this process waits for the end of which task, and what it heard in the last moment: then whoever begins to
//! wait need not look in the store.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::interrupt::{lock, time_left, wait_on, Interrupt};

/// How many tasks are remembered.
const MOST: usize = 64;
/// How long an end is news. Later another process may have run one of the task's steps again.
const NEWS: Duration = Duration::from_millis(50);
/// How long a task counts as new.
const NEW: Duration = Duration::from_millis(500);

/// Ends of tasks, and those who wait for them.
#[derive(Default)]
pub(crate) struct Ends {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    awaited: HashMap<Uuid, Awaited>,
    recent: VecDeque<(Instant, Uuid, Recent)>,
}

#[derive(Default)]
struct Awaited {
    waiters: usize,
    /// How often it has ended since somebody waits for it.
    ends: u64,
}

/// What a process knows of a task without a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recent {
    /// This process has just submitted it, and has not heard of its end.
    Submitted,
    /// It has just ended.
    Ended,
}

impl State {
    fn remember(&mut self, tasks: impl Iterator<Item = Uuid>, recent: Recent) {
        let now = Instant::now();
        for task_uuid in tasks {
            if self.recent.len() == MOST {
                self.recent.pop_front();
            }
            self.recent.push_back((now, task_uuid, recent));
        }
    }

    fn recent(&self, task_uuid: Uuid) -> Option<Recent> {
        let (since, _, recent) = self.recent.iter().rev().find(|(_, known, _)| *known == task_uuid)?;
        let keeps = if *recent == Recent::Ended { NEWS } else { NEW };
        (since.elapsed() < keeps).then_some(*recent)
    }
}

impl Ends {
    /// Says that somebody waits for the task, until what this gives is dropped.
    pub(crate) fn expect(self: &Arc<Self>, task_uuid: Uuid) -> Expected {
        let mut state = lock(&self.state);
        let recent = state.recent(task_uuid);
        let entry = state.awaited.entry(task_uuid).or_default();
        entry.waiters += 1;
        Expected { ends: Arc::clone(self), task_uuid, before: entry.ends, recent }
    }

    fn forget(&self, task_uuid: Uuid) {
        let mut state = lock(&self.state);
        // Who waits next looks: somebody who was answered may have had it begun again, by another process.
        state.recent.retain(|(_, known, _)| *known != task_uuid);
        if let Some(entry) = state.awaited.get_mut(&task_uuid) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                state.awaited.remove(&task_uuid);
            }
        }
    }

    /// The tasks whose ends somebody waits for.
    pub(crate) fn awaited(&self) -> Vec<Uuid> {
        lock(&self.state).awaited.keys().copied().collect()
    }

    /// Tells those who wait that these tasks have ended.
    pub(crate) fn announce(&self, ended: impl Iterator<Item = Uuid>) {
        let mut state = lock(&self.state);
        let mut any = false;
        let mut news = Vec::new();
        for task_uuid in ended {
            if let Some(entry) = state.awaited.get_mut(&task_uuid) {
                entry.ends += 1;
                any = true;
            }
            // Of an older task this may be late: who has begun it again since is not known here.
            if state.recent(task_uuid) == Some(Recent::Submitted) {
                news.push(task_uuid);
            }
        }
        state.remember(news.into_iter(), Recent::Ended);
        drop(state);
        if any {
            self.told.notify_all();
        }
    }

    /// What was heard of the task is not true any more.
    pub(super) fn outdated(&self, task_uuid: Uuid) {
        lock(&self.state).recent.retain(|(_, known, _)| *known != task_uuid);
    }

    /// This process has submitted these tasks. Those that have ended at once are announced afterwards.
    pub(super) fn submitted(&self, tasks: impl Iterator<Item = Uuid>) {
        lock(&self.state).remember(tasks, Recent::Submitted);
    }
}

/// Somebody waits for a task.
pub(crate) struct Expected {
    ends: Arc<Ends>,
    task_uuid: Uuid,
    /// How often the task had ended when this began.
    before: u64,
    /// What was known of it then.
    pub(crate) recent: Option<Recent>,
}

impl Expected {
    /// Waits to hear that the task has ended, at most `timeout`. Says whether it has.
    pub(crate) fn wait(&self, timeout: Duration, interrupt: &Interrupt) -> bool {
        let ends = Arc::clone(&self.ends);
        interrupt.wakes(move || {
            drop(lock(&ends.state));
            ends.told.notify_all();
        });
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.ends.state);
        loop {
            if state.awaited.get(&self.task_uuid).is_some_and(|entry| entry.ends > self.before) {
                return true;
            }
            let left = time_left(Some(deadline), timeout).filter(|_| !interrupt.is_set());
            let Some(left) = left else { return false };
            state = wait_on(&self.ends.told, state, left);
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.ends.forget(self.task_uuid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn who_begins_to_wait_hears_of_an_end_of_the_last_moment() {
        // News does not keep: a machine that was busy elsewhere meanwhile has another try.
        loop {
            let (ends, began) = (Arc::new(Ends::default()), Instant::now());
            let known = || [1, 2, 3, 4].map(|number| lock(&ends.state).recent(task(number)));
            ends.submitted([task(1), task(2), task(3)].into_iter());
            ends.announce([task(2), task(3), task(4)].into_iter());
            let heard = known();
            ends.outdated(task(2));
            let left = known();
            drop(ends.expect(task(3)));
            // The notification of its end comes late.
            ends.announce([task(3)].into_iter());
            let answered = known();
            if began.elapsed() < NEWS {
                assert_eq!(heard, [Some(Recent::Submitted), Some(Recent::Ended), Some(Recent::Ended), None]);
                assert_eq!(left, [Some(Recent::Submitted), None, Some(Recent::Ended), None]);
                assert_eq!(answered, [Some(Recent::Submitted), None, None, None], "who waits again looks");
                return;
            }
        }
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let ends = Ends::default();
        ends.submitted((0..1000).map(task));
        assert_eq!(lock(&ends.state).recent.len(), MOST);
    }

    #[test]
    fn an_end_of_before_is_not_taken_for_one_that_is_waited_for() {
        let ends = Arc::new(Ends::default());
        let first = ends.expect(task(1));
        ends.announce([task(1)].into_iter());
        let second = ends.expect(task(1));
        let heard = |expected: &Expected| expected.wait(Duration::ZERO, &Interrupt::new());
        assert_eq!((heard(&first), heard(&second)), (true, false));
    }
}
