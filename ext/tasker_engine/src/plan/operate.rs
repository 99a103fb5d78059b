//! Owns: what an operator may do to a task that failed: run a step again, declare a step or the whole
//! task done.

use std::sync::Arc;

use super::claim::forget_claim;
use super::discover::enqueue;
use super::evaluate::evaluate;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::graph::{EndedAttempt, Graph};
use crate::state::{StepState, TaskState};

/// Enqueues a failed step again with a fresh budget of attempts; the attempts it had stay counted.
pub fn rerun_step(graph: &mut Graph, position: usize, now: Micros) -> Result<()> {
    refuse_when_over(graph, "run again")?;
    let name = &graph.task.template.steps[position].name;
    if graph.steps[position].state != StepState::Error {
        return Err(Error::IllegalTransition(format!(
            "step {name} of task {} is {} and cannot be run again; only a step in error can",
            graph.task.task_uuid, graph.steps[position].state
        )));
    }
    let budget = graph.task.template.steps[position].retry.max_attempts;
    graph.steps[position].max_attempts = graph.steps[position].attempts.saturating_add(budget);
    if graph.task.state.may_become(TaskState::EnqueuingSteps) {
        enqueue(graph, &[position], now, now)?;
    } else {
        graph.move_step(position, StepState::Enqueued, now)?;
    }
    if let Some(transition) = graph.step_transitions.last_mut() {
        transition.reason = Some("rerun");
    }
    Ok(())
}

/// Declares a step done with the given result; the steps that depend on it go on.
pub fn resolve_step(graph: &mut Graph, position: usize, result: Arc<str>, now: Micros) -> Result<()> {
    refuse_when_over(graph, "resolved")?;
    let step = &graph.steps[position];
    let running = (step.state == StepState::InProgress).then(|| (step.attempts, step.worker_id.clone()));
    let (token, claimed_at) = (step.span_id, step.state_since);
    let transition = graph.move_step(position, StepState::ResolvedManually, now)?;
    transition.reason = Some("operator");
    if let Some((attempt, worker_id)) = running {
        transition.attempt = attempt;
        transition.worker_id = worker_id;
        transition.ended = Some(Box::new(EndedAttempt { token, claimed_at, error: None, wait: None }));
    }
    let step = &mut graph.steps[position];
    forget_claim(step);
    step.result = Some(result);
    step.error = None;
    step.settled = true;
    evaluate(graph, now, 1, now)
}

/// Declares a failed task done as it stands.
pub fn resolve_task(graph: &mut Graph, now: Micros) -> Result<()> {
    graph.move_task(TaskState::ResolvedManually, now, now, 0)
}

/// A failed task can still go on; one that is over in any other way cannot.
fn refuse_when_over(graph: &Graph, what: &str) -> Result<()> {
    let state = graph.task.state;
    if !state.is_final() || state == TaskState::Error {
        return Ok(());
    }
    Err(Error::IllegalTransition(format!(
        "task {} is {state}; a step of it can no longer be {what}",
        graph.task.task_uuid
    )))
}
