//! Owns: what happens to a step whose attempt failed or was lost, and waking it when its time comes.

use std::time::Duration;

use super::claim::forget_claim;
use super::discover::enqueue;
use crate::clock::Micros;
use crate::error::Result;
use crate::graph::{EndedAttempt, Graph};
use crate::ids::Dice;
use crate::state::{StepState, TaskState};
use crate::step::StepError;

/// The longest `retry_after` a handler may ask for: thirty days.
const LONGEST_WAIT: f64 = 30.0 * 86_400.0;

/// How long until the next attempt may begin, or `None` when there is none.
///
/// `max_attempts` counts all attempts. A handler's `retry_after` wins over the template's backoff.
pub(super) fn wait_for_retry(graph: &Graph, position: usize, error: &StepError, dice: &mut Dice) -> Option<Duration> {
    let step = &graph.steps[position];
    if !error.retryable || step.attempts >= step.max_attempts {
        return None;
    }
    Some(match error.retry_after {
        Some(seconds) if seconds.is_finite() => Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_WAIT)),
        _ => graph.task.template.steps[position].retry.delay(step.attempts, dice.fraction()),
    })
}

/// Enqueues steps whose wait is over.
pub fn wake(graph: &mut Graph, positions: &[usize], now: Micros) -> Result<()> {
    if matches!(graph.task.state, TaskState::WaitingForRetry | TaskState::WaitingForDependencies) {
        return enqueue(graph, positions, now, now);
    }
    for &position in positions {
        graph.move_step(position, StepState::Enqueued, now)?;
        graph.steps[position].due_at = None;
    }
    Ok(())
}

/// Takes a step from a worker whose lease ran out, or that is dead. It is enqueued again at once, or fails for good when
/// that was its last attempt.
pub fn expire(graph: &mut Graph, position: usize, why: &str, now: Micros) -> Result<()> {
    let step = &graph.steps[position];
    let (attempt, claimed_at, token) = (step.attempts, step.state_since, step.span_id);
    let worker_id = step.worker_id.clone();
    let last = attempt >= step.max_attempts;
    let error = StepError {
        class_name: "TaskerCore::LeaseExpired".into(),
        message: format!("attempt {attempt} was lost: {why}"),
        attempt,
        retryable: true,
        ..StepError::default()
    };
    let to = if last { StepState::Error } else { StepState::Enqueued };
    let transition = graph.move_step(position, to, now)?;
    transition.attempt = attempt;
    transition.worker_id = worker_id;
    transition.reason = Some("lease_expired");
    transition.ended = Some(Box::new(EndedAttempt { token, claimed_at, error: Some(error.clone()), wait: None }));
    let step = &mut graph.steps[position];
    forget_claim(step);
    step.result = None;
    step.error = Some(error);
    step.settled = true;
    Ok(())
}
