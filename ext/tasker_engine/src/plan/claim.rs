//! Owns: giving a step to a worker under a lease, and taking it back unharmed.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Result;
use crate::graph::{EndedAttempt, Graph};
use crate::ids;
use crate::state::StepState;

/// Who claims, and for how long.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The worker.
    pub worker_id: Arc<str>,
    /// How long the claim holds without renewal.
    pub duration: Duration,
}

/// Claims an enqueued step: its next attempt begins.
pub fn claim(graph: &mut Graph, position: usize, lease: &Lease, clock: &Clock) -> Result<()> {
    let now = clock.now();
    let attempt = graph.steps.get(position).map_or(1, |step| step.attempts + 1);
    let transition = graph.move_step(position, StepState::InProgress, now)?;
    transition.attempt = attempt;
    transition.worker_id = Some(Arc::clone(&lease.worker_id));
    let step = &mut graph.steps[position];
    step.attempts = attempt;
    step.due_at = Some(now.after(lease.duration));
    step.worker_id = Some(Arc::clone(&lease.worker_id));
    step.span_id = Some(ids::span_id());
    Ok(())
}

/// Gives a claim back. An attempt that never started is not counted; one that did stays counted,
/// and its result, should it still come, will be refused. A stop never costs a step its last attempt:
/// then `max_attempts` grows by the one that was cut short.
pub fn hand_back(graph: &mut Graph, position: usize, started: bool, clock: &Clock) -> Result<()> {
    let now = clock.now();
    let step = &graph.steps[position];
    let (attempt, claimed_at) = (step.attempts, step.state_since);
    let (worker_id, span_id) = (step.worker_id.clone(), step.span_id);
    let transition = graph.move_step(position, StepState::Enqueued, now)?;
    transition.worker_id = worker_id;
    transition.attempt = attempt;
    transition.reason = Some("handed_back");
    if started {
        transition.ended =
            Some(Box::new(EndedAttempt { span_id, claimed_at, completion: None, error: None, unstarted: false }));
    }
    let step = &mut graph.steps[position];
    if started {
        step.max_attempts = step.max_attempts.max(attempt.saturating_add(1));
    } else {
        step.attempts = attempt.saturating_sub(1);
    }
    release(step);
    Ok(())
}

/// Forgets the lease.
pub(super) fn release(step: &mut crate::step::Step) {
    step.due_at = None;
    step.worker_id = None;
    step.span_id = None;
}
