//! Owns: which steps are claimed, and how many.

use std::sync::Arc;

use crate::error::Result;
use crate::plan::{self, Lease};
use crate::state::StepState;
use crate::store::{in_turn, Candidate, Enqueued, Inputs};

use super::transact::Working;

/// A step that was claimed.
pub(super) struct Claimed {
    /// Which of the transaction's graphs.
    pub(super) graph: usize,
    /// Which step of it.
    pub(super) position: usize,
    /// What it works on.
    pub(super) inputs: Inputs,
}

/// What was claimed.
#[derive(Default)]
pub(super) struct Choice {
    pub(super) claimed: Vec<Claimed>,
    /// Whether there may be more to claim.
    pub(super) backlog: bool,
}

/// Claims up to `permits` steps, in the order of [`in_turn`]: a step that became ready in this very
/// transaction stands where it would stand anyway, and needs no second commit when its turn has come.
/// Without `look` there are no others.
pub(super) fn choose(
    work: &mut Working<'_>,
    permits: usize,
    lease: &Lease,
    namespaces: &[String],
    look: bool,
) -> Result<Choice> {
    if permits == 0 {
        return Ok(Choice { claimed: Vec::new(), backlog: true });
    }
    let mut candidates = ready_here(work, namespaces);
    let stored = if look { work.transaction.enqueued(namespaces, permits)? } else { Enqueued::default() };
    let mut backlog = stored.more;
    let elsewhere = stored.steps.into_iter().filter(|stored| work.at(stored.task_id).is_none());
    candidates.extend(elsewhere.map(|stored| (stored, None)));
    candidates =
        in_turn(candidates, |(candidate, _)| candidate, |(_, at), candidate| (age(candidate), *at, candidate.position));
    backlog |= candidates.len() > permits;
    candidates.truncate(permits);
    work.load(candidates.iter().filter(|(_, at)| at.is_none()).map(|(candidate, _)| candidate.task_id).collect())?;
    let mut steps = Vec::with_capacity(candidates.len());
    for (candidate, at) in candidates {
        let Some(graph) = at.or_else(|| work.at(candidate.task_id)) else { continue };
        let clock = work.clock;
        // Somebody may have taken it before its task could be locked.
        if work.graph(graph).steps[candidate.position].state == StepState::Enqueued {
            plan::claim(work.graph(graph), candidate.position, lease, clock)?;
            steps.push((graph, candidate.position));
        }
    }
    let inputs = work.inputs(&steps)?;
    let claimed = steps.into_iter().zip(inputs).map(|((graph, position), inputs)| Claimed { graph, position, inputs });
    Ok(Choice { claimed: claimed.collect(), backlog })
}

/// Enqueued steps of the tasks this transaction has loaded anyway.
fn ready_here(work: &Working<'_>, namespaces: &[String]) -> Vec<(Candidate, Option<usize>)> {
    let mut ready = Vec::new();
    for (at, graph) in work.graphs().enumerate() {
        let task = &graph.task;
        if !namespaces.is_empty() && !namespaces.iter().any(|name| **name == *task.template.namespace) {
            continue;
        }
        for (position, step) in graph.steps.iter().enumerate() {
            if step.state == StepState::Enqueued {
                let namespace = Arc::clone(&task.template.namespace);
                ready.push((Candidate { namespace, priority: task.priority, task_id: task.id, position }, Some(at)));
            }
        }
    }
    ready
}

/// A task that has no number yet is the youngest.
fn age(candidate: &Candidate) -> i64 {
    if candidate.task_id == 0 {
        i64::MAX
    } else {
        candidate.task_id
    }
}

/// The most claims ahead. Each may cost a step an attempt that never ran, should the process be killed.
const MOST_AHEAD: usize = 200;

/// How many claims a worker may hold beyond its handler threads.
///
/// While a transaction is in flight, handlers that finish have nothing to go on with unless the next
/// steps are here already. So a worker claims ahead what its handlers will finish during one
/// transaction, judged by the last one, and no more: with handlers that take longer than a commit
/// that is nothing.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    handler_ms: f64,
    transaction_ms: f64,
    steps: usize,
}

impl Ahead {
    /// Takes note of a transaction: how long it took, how many completions came in meanwhile; and, when the
    /// handlers were out of work at its end, how many it settled: they could have had more to do.
    pub(super) fn observe(&mut self, transaction_ms: f64, arrived: usize, short_of: Option<usize>, concurrency: usize) {
        self.transaction_ms += (transaction_ms - self.transaction_ms) / 8.0;
        let finished =
            if self.handler_ms > 0.0 { concurrency as f64 * transaction_ms / self.handler_ms } else { f64::MAX };
        let wanted = short_of.map_or(arrived, |settled| arrived.max(settled) * 3 / 2);
        let judged = wanted.min(finished as usize).min(MOST_AHEAD);
        // Quick to claim more, slow to claim less.
        self.steps = judged.max(self.steps - self.steps.div_ceil(8));
    }

    /// Takes note of how long a handler ran. What is kept is close to the median, not the mean: of a
    /// thousand brisk handlers one that had to wait 100 ms for its turn to run says nothing.
    pub(super) fn observe_handler(&mut self, execution_time_ms: f64) {
        let ms = execution_time_ms.clamp(0.001, 1e9);
        self.handler_ms = match self.handler_ms {
            0.0 => ms,
            kept if ms > kept => (kept * 1.5).min(ms),
            kept => (kept / 1.5).max(ms),
        };
    }

    /// Whether handlers finish faster than transactions do.
    pub(super) fn brisk(&self) -> bool {
        self.handler_ms > 0.0 && self.handler_ms < self.transaction_ms
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }
}
