//! Owns: when finished tasks and old events are deleted, and how much at once: little at a time, and as often as it takes to keep up.
//! Refuses: holding up the work for longer than a moment.

use std::time::{Duration, Instant};

use super::EngineThread;
use crate::clock::Tick;
use crate::error::Result;
use crate::store::Commit;

/// Tasks one transaction deletes: at first, at the least and at most.
const FIRST: usize = 200;
const FEWEST: usize = 50;
const MOST: usize = 5_000;
/// How long one should take. A longer one is followed by smaller ones.
const TARGET: Duration = Duration::from_millis(60);
/// How much longer than a deletion took the next one is waited for while there is more to delete: at first, and when it
/// does not keep up with the work.
const REST: u32 = 9;
const LEAST_REST: u32 = 1;
/// How long until the next look when there was nothing left to delete: twice as long each time, at most the second.
const SOON: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(60);

/// How much is deleted at once, and how often.
#[derive(Debug)]
pub(in crate::engine) struct Pace {
    tasks: usize,
    rest: u32,
    idle: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { tasks: FIRST, rest: REST, idle: SOON }
    }
}

impl Pace {
    /// After a deletion of `pruned` tasks that took so long: how long until the next one.
    fn after(&mut self, pruned: usize, took: Duration) -> Duration {
        let full = pruned >= self.tasks;
        self.tasks = match took {
            _ if took > TARGET => (self.tasks / 2).max(FEWEST),
            _ if full && took < TARGET / 2 => (self.tasks * 2).min(MOST),
            _ => self.tasks,
        };
        if full {
            self.idle = SOON;
            self.rest = (self.rest - self.rest.div_ceil(8)).max(LEAST_REST);
            return took * self.rest;
        }
        self.rest = REST;
        let idle = if pruned > 0 { SOON } else { self.idle };
        self.idle = (idle * 2).min(SELDOM);
        idle
    }
}

impl EngineThread {
    /// Deletes finished tasks, and events, that are older than `retention_days`, when the time for it has come.
    pub(super) fn prune(&mut self, tick: Tick) {
        let Some(worker) = &mut self.worker else { return };
        let Some(retention) = worker.config.retention() else { return };
        if worker.draining || worker.prune_at > tick {
            return;
        }
        let timed = Instant::now();
        let limit = worker.pace.tasks;
        let pruned: Result<(usize, usize)> = self.store.begin().and_then(|mut transaction| {
            let before = self.clock.now().before(retention);
            let pruned = (transaction.prune(before, limit)?, transaction.prune_events(before, limit)?);
            transaction.commit(&Commit::default()).map(|()| pruned)
        });
        let (tasks, events) = match pruned {
            Ok(pruned) => pruned,
            Err(error) => {
                tracing::warn!(error = %error, "Old tasks could not be deleted; trying again in a minute");
                worker.prune_at = tick.after(SELDOM);
                return;
            }
        };
        let most = tasks.max(events);
        worker.prune_at = self.clock.tick().after(worker.pace.after(most, timed.elapsed()));
        worker.pruned = (worker.pruned.0 + tasks, worker.pruned.1 + events);
        if most < limit && worker.pruned != (0, 0) && worker.told_at <= tick {
            worker.told_at = tick.after(SELDOM);
            let (tasks, events) = std::mem::take(&mut worker.pruned);
            tracing::info!(tasks, events, retention_days = worker.config.retention_days, "Old tasks deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);

    #[test]
    fn with_more_to_delete_it_deletes_more_at_once_and_more_often() {
        let mut pace = Pace::default();
        let first = pace.after(FIRST, QUICK);
        let rests: Vec<Duration> = (0..20).map(|_| pace.after(pace.tasks, QUICK)).collect();
        assert!(first >= QUICK * 7 && rests.windows(2).all(|pair| pair[1] <= pair[0]), "{first:?} {rests:?}");
        assert_eq!((pace.tasks, rests[19]), (MOST, QUICK));
    }

    #[test]
    fn a_deletion_that_takes_long_is_followed_by_a_smaller_one() {
        let mut pace = Pace::default();
        pace.after(FIRST, TARGET * 2);
        assert_eq!(pace.tasks, FIRST / 2);
        for _ in 0..9 {
            pace.after(pace.tasks, TARGET * 2);
        }
        assert_eq!(pace.tasks, FEWEST);
    }

    #[test]
    fn with_nothing_to_delete_it_looks_more_and_more_seldom() {
        let mut pace = Pace::default();
        assert_eq!(pace.after(3, QUICK), SOON);
        let looks: Vec<u64> = (0..8).map(|_| pace.after(0, QUICK).as_secs()).collect();
        assert_eq!(looks, [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pace.after(1, QUICK), SOON);
    }
}
