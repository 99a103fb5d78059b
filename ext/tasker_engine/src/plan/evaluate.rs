//! Owns: what a settlement does to its step, and what follows for the task.

use std::sync::Arc;

use super::claim::release;
use super::discover::{discover, enqueue};
use super::finalize::finalize;
use super::retry::next_attempt;
use crate::channel::StepError;
use crate::clock::{Clock, Micros};
use crate::error::Result;
use crate::graph::{CompletionTrace, EndedAttempt, Graph};
use crate::state::{StepState, TaskState};

/// The end of an attempt.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The step.
    pub position: usize,
    /// The attempt it ends.
    pub attempt: u32,
    /// Who held the lease.
    pub worker_id: Arc<str>,
    /// The result as JSON, or why there is none.
    pub outcome: std::result::Result<Arc<str>, StepError>,
    /// What the completion says of the run; `None` for a timeout, which the engine settles itself.
    pub completion: Option<CompletionTrace>,
    /// `timeout`, when it is one.
    pub reason: Option<&'static str>,
}

/// Whether a settlement counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The step has moved.
    Applied,
    /// The attempt is no longer current: nothing was changed.
    Stale,
}

/// Ends an attempt, if it is still the current one.
pub fn settle(graph: &mut Graph, settlement: Settlement, clock: &Clock) -> Result<Verdict> {
    let now = clock.now();
    let position = settlement.position;
    let Some(step) = graph.steps.get(position) else { return Ok(Verdict::Stale) };
    let current = step.state == StepState::InProgress
        && step.attempts == settlement.attempt
        && step.worker_id.as_deref() == Some(&*settlement.worker_id);
    if !current {
        return Ok(Verdict::Stale);
    }
    let (claimed_at, span_id) = (step.state_since, step.span_id);
    let (to, due_at, result, error) = match settlement.outcome {
        Ok(result) => (StepState::Complete, None, Some(result), None),
        Err(mut error) => {
            error.attempt = settlement.attempt;
            match next_attempt(graph, position, &error, now) {
                Some(at) => (StepState::WaitingForRetry, Some(at), None, Some(error)),
                None => (StepState::Error, None, None, Some(error)),
            }
        }
    };
    let transition = graph.move_step(position, to, now)?;
    transition.attempt = settlement.attempt;
    transition.worker_id = Some(settlement.worker_id);
    transition.reason = settlement.reason;
    transition.ended = Some(Box::new(EndedAttempt {
        span_id,
        claimed_at,
        completion: settlement.completion,
        error: error.clone(),
        unstarted: false,
    }));
    let step = &mut graph.steps[position];
    release(step);
    step.due_at = due_at;
    step.result = result;
    step.error = error;
    Ok(Verdict::Applied)
}

/// Decides what follows once steps have settled: more steps, a wait, or the end. `began` is when the
/// work on these settlements began; `settled` is how many there were.
pub fn evaluate(graph: &mut Graph, began: Micros, settled: usize, clock: &Clock) -> Result<()> {
    if !graph.task.state.may_become(TaskState::EvaluatingResults) {
        return Ok(());
    }
    let evaluated = clock.now();
    graph.move_task(TaskState::EvaluatingResults, began, evaluated, settled)?;
    let ready = discover(graph);
    if !ready.is_empty() {
        return enqueue(graph, &ready, evaluated, clock);
    }
    let any = |wanted: &[StepState]| graph.steps.iter().any(|step| wanted.contains(&step.state));
    if any(&[StepState::Enqueued, StepState::InProgress]) {
        let waits = any(&[StepState::Pending]);
        let next = if waits { TaskState::WaitingForDependencies } else { TaskState::StepsInProcess };
        return graph.move_task(next, evaluated, clock.now(), 0);
    }
    if any(&[StepState::WaitingForRetry]) {
        return graph.move_task(TaskState::WaitingForRetry, evaluated, clock.now(), 0);
    }
    finalize(graph, evaluated, clock)
}
