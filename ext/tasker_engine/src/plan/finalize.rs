//! Owns: how a task ends.

use super::claim::forget_claim;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::graph::{EndedAttempt, Graph};
use crate::state::{StepState, TaskState};

/// Ends a task in which nothing moves any more: `complete`, or `error` with the failures named by its
/// steps.
pub(super) fn finalize(graph: &mut Graph, began: Micros, now: Micros) -> Result<()> {
    let count = |wanted: fn(StepState) -> bool| graph.steps.iter().filter(|step| wanted(step.state)).count();
    let failed = count(|state| state == StepState::Error);
    let blocked = count(|state| state == StepState::Pending);
    if failed == 0 && blocked == 0 {
        return graph.move_task(TaskState::Complete, began, now, graph.steps.len());
    }
    if blocked > 0 {
        graph.move_task(TaskState::BlockedByFailures, began, now, blocked)?;
        return graph.move_task(TaskState::Error, now, now, failed);
    }
    graph.move_task(TaskState::Error, began, now, failed)
}

/// Stops a task. Attempts that run lose their claim; their results will be refused.
pub fn cancel(graph: &mut Graph, now: Micros) -> Result<()> {
    let began = now;
    if graph.task.state.is_final() {
        return Err(Error::IllegalTransition(format!(
            "task {} is {} and cannot be cancelled: it is over",
            graph.task.task_uuid, graph.task.state
        )));
    }
    for position in 0..graph.steps.len() {
        let step = &graph.steps[position];
        if !step.state.may_become(StepState::Cancelled) {
            continue;
        }
        let running = (step.state == StepState::InProgress).then(|| (step.attempts, step.worker_id.clone()));
        let (token, claimed_at) = (step.span_id, step.state_since);
        let transition = graph.move_step(position, StepState::Cancelled, began)?;
        if let Some((attempt, worker_id)) = running {
            transition.attempt = attempt;
            transition.worker_id = worker_id;
            transition.ended = Some(Box::new(EndedAttempt { token, claimed_at, error: None, wait: None }));
        }
        forget_claim(&mut graph.steps[position]);
    }
    graph.move_task(TaskState::Cancelled, began, now, graph.steps.len())
}
