//! Owns: giving a step to a worker, and taking it back unharmed.

use std::sync::Arc;

use crate::clock::Micros;
use crate::error::Result;
use crate::graph::{EndedAttempt, Graph};
use crate::ids::Dice;
use crate::state::StepState;

/// Claims an enqueued step for a worker: its next attempt begins. The claim's token is unique.
pub fn claim(graph: &mut Graph, position: usize, worker_id: &Arc<str>, now: Micros, dice: &mut Dice) -> Result<()> {
    let attempt = graph.steps.get(position).map_or(1, |step| step.attempts + 1);
    let transition = graph.move_step(position, StepState::InProgress, now)?;
    transition.attempt = attempt;
    transition.worker_id = Some(Arc::clone(worker_id));
    let step = &mut graph.steps[position];
    step.attempts = attempt;
    step.worker_id = Some(Arc::clone(worker_id));
    step.span_id = Some(dice.span_id());
    Ok(())
}

/// Gives a claim back, if `token` is still the current one's; says whether it was. An attempt that no handler had begun
/// is not counted; one that had stays counted, and its result, should it still come, will be refused. A stop never
/// costs a step its last attempt: then `max_attempts` grows by the one that was cut short.
pub fn release(graph: &mut Graph, position: usize, token: u64, begun: bool, now: Micros) -> Result<bool> {
    if !is_current(graph, position, token) {
        return Ok(false);
    }
    let step = &graph.steps[position];
    let (attempt, claimed_at, worker_id) = (step.attempts, step.state_since, step.worker_id.clone());
    let transition = graph.move_step(position, StepState::Enqueued, now)?;
    transition.worker_id = worker_id;
    transition.attempt = attempt;
    transition.reason = Some("released");
    if begun {
        transition.ended = Some(Box::new(EndedAttempt { token: Some(token), claimed_at, error: None, wait: None }));
    }
    let step = &mut graph.steps[position];
    if begun {
        step.max_attempts = step.max_attempts.max(attempt.saturating_add(1));
    } else {
        step.attempts = attempt.saturating_sub(1);
    }
    forget_claim(step);
    Ok(true)
}

/// Whether a step runs under the claim of that token.
pub(super) fn is_current(graph: &Graph, position: usize, token: u64) -> bool {
    let step = graph.steps.get(position);
    step.is_some_and(|step| step.state == StepState::InProgress && step.span_id == Some(token))
}

pub(super) fn forget_claim(step: &mut crate::step::Step) {
    step.due_at = None;
    step.worker_id = None;
    step.span_id = None;
}
