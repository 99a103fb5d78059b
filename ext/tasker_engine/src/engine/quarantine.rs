//! Owns: tasks that this process leaves alone, because it cannot read them or cannot write what follows for them. Each is
//! looked at again after a minute: a newer version may have mended it. Everything else goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::in_flight::Pending;
use crate::clock::Tick;

/// How long a task is left alone before it is tried again.
const FOR: Duration = Duration::from_secs(60);
/// Ends of attempts that are kept for tasks that are left alone.
const PARKED: usize = 1000;

struct Entry {
    why: String,
    until: Tick,
    parked: Vec<Pending>,
}

/// The tasks, by number.
#[derive(Default)]
pub(super) struct Quarantine {
    tasks: BTreeMap<i64, Entry>,
    numbers: Vec<i64>,
}

impl Quarantine {
    /// Leaves a task alone from now on. True: it was not yet.
    pub(super) fn add(&mut self, task_id: i64, why: &str, tick: Tick) -> bool {
        let until = tick.after(FOR);
        let mut is_new = false;
        let entry = self.tasks.entry(task_id).or_insert_with(|| {
            is_new = true;
            Entry { why: why.to_owned(), until, parked: Vec::new() }
        });
        entry.until = until;
        self.number();
        is_new
    }

    pub(super) fn contains(&self, task_id: i64) -> bool {
        self.tasks.contains_key(&task_id)
    }

    /// Keeps the end of an attempt until its task is tried again. Gives it back when too many are kept.
    pub(super) fn park(&mut self, pending: Pending) -> Option<Pending> {
        let kept: usize = self.tasks.values().map(|entry| entry.parked.len()).sum();
        match self.tasks.get_mut(&pending.task_id) {
            Some(entry) if kept < PARKED => {
                entry.parked.push(pending);
                None
            }
            _ => Some(pending),
        }
    }

    /// Tasks of which ends of attempts are kept: their claims are still this worker's.
    pub(super) fn parked_tasks(&self) -> impl Iterator<Item = i64> + '_ {
        self.tasks.iter().filter(|(_, entry)| !entry.parked.is_empty()).map(|(task_id, _)| *task_id)
    }

    /// Whether the end of that claim is kept.
    pub(super) fn has_token(&self, token: u64) -> bool {
        self.tasks.values().flat_map(|entry| &entry.parked).any(|end| end.settlement.token == token)
    }

    /// Lets go of tasks whose time is up; gives what was kept for them. `None`: there are none.
    pub(super) fn retry(&mut self, tick: Tick) -> Option<Vec<Pending>> {
        if !self.tasks.values().any(|entry| entry.until <= tick) {
            return None;
        }
        let (due, kept) = std::mem::take(&mut self.tasks).into_iter().partition(|(_, entry)| entry.until <= tick);
        let due: BTreeMap<i64, Entry> = due;
        self.tasks = kept;
        self.number();
        Some(due.into_values().flat_map(|entry| entry.parked).collect())
    }

    /// When the next one is tried again.
    pub(super) fn next_retry(&self) -> Option<Tick> {
        self.tasks.values().map(|entry| entry.until).min()
    }

    /// Their numbers.
    pub(super) fn numbers(&self) -> &[i64] {
        &self.numbers
    }

    /// What a person should know: number and reason of each.
    pub(super) fn list(&self) -> Vec<(i64, String)> {
        self.tasks.iter().map(|(task_id, entry)| (*task_id, entry.why.clone())).collect()
    }

    fn number(&mut self) {
        self.numbers = self.tasks.keys().copied().collect();
    }
}
