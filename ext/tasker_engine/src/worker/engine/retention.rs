//! Owns: when finished tasks are deleted, and how much at once. Refuses: holding up the work: a tenth of the time at most.

use std::time::{Duration, Instant};

use super::EngineThread;
use crate::clock::Tick;
use crate::store::Commit;

/// Tasks one transaction deletes at most.
const PRUNE: usize = 200;
/// How often a worker looks for old ones.
const EVERY: Duration = Duration::from_secs(60);
/// How much longer than the deletion took it waits with the next one, while there is more to delete.
const REST: u32 = 9;
/// The shortest wait.
const SHORTEST: Duration = Duration::from_millis(50);

impl EngineThread {
    /// Deletes finished tasks that are older than `retention_days`, when the time for it has come.
    pub(super) fn prune(&mut self, tick: Tick) {
        let Some(worker) = &mut self.worker else { return };
        let Some(retention) = worker.config.retention() else { return };
        if worker.draining || worker.prune_at > tick {
            return;
        }
        let timed = Instant::now();
        let pruned = self.store.begin().and_then(|mut transaction| {
            let pruned = transaction.prune(self.clock.now().before(retention), PRUNE)?;
            transaction.commit(&Commit::default()).map(|()| pruned)
        });
        let pruned = pruned.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "Old tasks could not be deleted; trying again in a minute");
            0
        });
        let wait = if pruned == PRUNE { (timed.elapsed() * REST).clamp(SHORTEST, EVERY) } else { EVERY };
        worker.prune_at = tick.after(wait);
        worker.pruned += pruned;
        if wait == EVERY && worker.pruned > 0 {
            let tasks = std::mem::take(&mut worker.pruned);
            tracing::info!(tasks, retention_days = worker.config.retention_days, "Old tasks deleted");
        }
    }
}
