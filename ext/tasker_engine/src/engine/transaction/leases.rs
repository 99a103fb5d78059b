//! Owns: taking over the claims of workers that are gone, and what this worker's own row must say of its claims.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Batch, Outcome, Working};
use crate::engine::claims::Claimed;
use crate::error::Result;
use crate::plan::{self, Verdict};
use crate::state::StepState;
use crate::store::{Holdings, LapsedWorker};

impl Working<'_> {
    /// Takes the steps of workers whose lease has run out, or that are `dead`. What no handler of a dead one had certainly
    /// begun costs no attempt.
    pub(super) fn take_over(&mut self, lapsed: &[LapsedWorker], dead: &[String], outcome: &mut Outcome) -> Result<()> {
        if lapsed.is_empty() {
            return Ok(());
        }
        for worker in lapsed {
            let unbegun = self.unbegun(worker, dead);
            let why = format!("{} died or did not renew its lease", worker.worker_id);
            for &task_id in &worker.holdings.tasks {
                if let Some(at) = self.at(task_id) {
                    self.take_steps(at, worker, &unbegun, &why)?;
                }
            }
        }
        // Tasks that are left alone keep their worker's row, and with it the way to them.
        let except = self.means.except;
        let left = |worker: &&LapsedWorker| {
            let alone = |task: &i64| except.contains(task) || self.unreadable.iter().any(|(id, _)| id == task);
            !worker.holdings.tasks.iter().any(alone)
        };
        let done: Vec<_> = lapsed.iter().filter(left).map(|worker| worker.worker_id.clone()).collect();
        outcome.backlog = true;
        self.transaction.deregister(&done)?;
        outcome.buried = done;
        Ok(())
    }

    /// The worker's row says what no handler had begun when it was written; what its handlers began after that, they
    /// wrote down where this machine can see it.
    fn unbegun(&self, worker: &LapsedWorker, dead: &[String]) -> HashSet<u64> {
        let is_dead = dead.iter().any(|dead| **dead == *worker.worker_id);
        let begun = is_dead.then(|| self.means.machine.begun(&worker.worker_id)).flatten();
        let Some(begun) = begun else { return HashSet::new() };
        worker.holdings.unbegun.iter().copied().filter(|token| !begun.contains(token)).collect()
    }

    fn take_steps(&mut self, at: usize, worker: &LapsedWorker, unbegun: &HashSet<u64>, why: &str) -> Result<()> {
        for position in 0..self.graph(at).steps.len() {
            let step = &self.graph(at).steps[position];
            if step.state != StepState::InProgress || step.worker_id.as_deref() != Some(&*worker.worker_id) {
                continue;
            }
            let taken = match step.span_id.filter(|token| unbegun.contains(token)) {
                Some(token) => {
                    self.try_plan(at, |graph, now, _| plan::release(graph, position, token, false, now).map(drop))
                }
                None => self.try_plan(at, |graph, now, _| plan::expire(graph, position, why, now)),
            };
            if self.left_alone(at, taken).is_some() {
                self.announce(at, position, None, None)?;
            }
            if self.graph(at).steps[position].state == StepState::Error {
                self.notes[at].settled += 1;
            }
        }
        Ok(())
    }
}

/// What the worker's row must say after this transaction; `None` when what it says is enough.
///
/// The row names all tasks in which the worker has claims, so that whoever finds it dead finds them. A claim in a task of
/// which the row tells already needs no word, if it follows from a claim that this transaction settled: had the worker
/// been taken for dead meanwhile, that claim would be gone. Any other claim needs the row to be there.
pub(super) fn holdings(work: &Working<'_>, batch: &Batch, outcome: &Outcome) -> Option<(Arc<str>, Duration, Holdings)> {
    let worker = batch.worker.as_ref()?;
    let recorded: HashSet<i64> = worker.recorded.tasks.iter().copied().collect();
    let followed = |graph: usize| {
        let task_id = work.graphs[graph].task.id;
        let mut settled = batch.pending.iter().zip(&outcome.verdicts);
        recorded.contains(&task_id)
            && settled.any(|(pending, verdict)| pending.task_id == task_id && *verdict == Verdict::Applied)
    };
    let mut unbegun = worker.unbegun.clone();
    let token = |claimed: &Claimed| {
        work.graphs[claimed.graph].steps[claimed.position].span_id.filter(|_| claimed.ahead && worker.records)
    };
    unbegun.extend(outcome.claimed.iter().filter_map(token));
    unbegun.sort_unstable();
    let needed = unbegun != worker.recorded.unbegun || !outcome.claimed.iter().all(|claimed| followed(claimed.graph));
    if !needed {
        return None;
    }
    let claimed = outcome.claimed.iter().map(|claimed| work.graphs[claimed.graph].task.id);
    let mut tasks: Vec<i64> = worker.held.iter().copied().chain(claimed).collect();
    tasks.sort_unstable();
    tasks.dedup();
    Some((worker.worker_id.clone(), worker.lease, Holdings { tasks, unbegun }))
}
