//! Owns: how a task ends.

use super::claim::release;
use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::graph::{EndedAttempt, Graph};
use crate::state::{StepState, TaskState};

/// Ends a task in which nothing moves any more: `complete`, or `error` with the failures named by its
/// steps.
pub(super) fn finalize(graph: &mut Graph, began: Micros, clock: &Clock) -> Result<()> {
    let count = |wanted: fn(StepState) -> bool| graph.steps.iter().filter(|step| wanted(step.state)).count();
    let failed = count(|state| state == StepState::Error);
    let blocked = count(|state| state == StepState::Pending);
    if failed == 0 && blocked == 0 {
        return graph.move_task(TaskState::Complete, began, clock.now(), graph.steps.len());
    }
    if blocked > 0 {
        let found = clock.now();
        graph.move_task(TaskState::BlockedByFailures, began, found, blocked)?;
        return graph.move_task(TaskState::Error, found, clock.now(), failed);
    }
    graph.move_task(TaskState::Error, began, clock.now(), failed)
}

/// Stops a task. Attempts that run lose their lease; their results will be refused.
pub fn cancel(graph: &mut Graph, clock: &Clock) -> Result<()> {
    let began = clock.now();
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
        let (span_id, claimed_at) = (step.span_id, step.state_since);
        let transition = graph.move_step(position, StepState::Cancelled, began)?;
        if let Some((attempt, worker_id)) = running {
            transition.attempt = attempt;
            transition.worker_id = worker_id;
            transition.ended =
                Some(Box::new(EndedAttempt { span_id, claimed_at, completion: None, error: None, unstarted: false }));
        }
        release(&mut graph.steps[position]);
    }
    graph.move_task(TaskState::Cancelled, began, clock.now(), graph.steps.len())
}
