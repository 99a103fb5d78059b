//! Owns: what a settlement does to its step, and what follows for the task.

use std::sync::Arc;

use super::claim::{forget_claim, is_current};
use super::discover::{discover, enqueue};
use super::finalize::finalize;
use super::retry::wait_for_retry;
use crate::clock::{Micros, Now};
use crate::error::Result;
use crate::graph::{EndedAttempt, Graph};
use crate::ids::Dice;
use crate::state::{StepState, TaskState};
use crate::step::StepError;

/// The end of an attempt.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The step.
    pub position: usize,
    /// The token of the claim it ends.
    pub token: u64,
    /// The result as JSON, or why there is none.
    pub outcome: std::result::Result<Arc<str>, StepError>,
    /// `timeout`, when the engine ended it itself.
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

/// Ends an attempt, if its claim is still the current one.
pub fn settle(graph: &mut Graph, settlement: &Settlement, now: Now, dice: &mut Dice) -> Result<Verdict> {
    let position = settlement.position;
    if !is_current(graph, position, settlement.token) {
        return Ok(Verdict::Stale);
    }
    let step = &graph.steps[position];
    let (claimed_at, attempt, worker_id) = (step.state_since, step.attempts, step.worker_id.clone());
    let (to, wait, result, error) = match &settlement.outcome {
        Ok(result) => (StepState::Complete, None, Some(Arc::clone(result)), None),
        Err(error) => {
            let error = StepError { attempt, ..error.clone() };
            match wait_for_retry(graph, position, &error, dice) {
                Some(wait) => (StepState::WaitingForRetry, Some(wait), None, Some(error)),
                None => (StepState::Error, None, None, Some(error)),
            }
        }
    };
    let transition = graph.move_step(position, to, now.wall)?;
    transition.attempt = attempt;
    transition.worker_id = worker_id;
    transition.reason = settlement.reason;
    let token = Some(settlement.token);
    transition.ended = Some(Box::new(EndedAttempt { token, claimed_at, error: error.clone(), wait }));
    let step = &mut graph.steps[position];
    forget_claim(step);
    step.due_at = wait.map(|wait| now.store.after(wait));
    step.result = result;
    step.error = error;
    step.settled = true;
    Ok(Verdict::Applied)
}

/// Decides what follows once steps have settled: more steps, a wait, or the end. `began` is when the
/// work on these settlements began; `settled` is how many there were.
pub fn evaluate(graph: &mut Graph, began: Micros, settled: usize, now: Micros) -> Result<()> {
    if !graph.task.state.may_become(TaskState::EvaluatingResults) {
        return Ok(());
    }
    graph.move_task(TaskState::EvaluatingResults, began, now, settled)?;
    let ready = discover(graph);
    if !ready.is_empty() {
        return enqueue(graph, &ready, now, now);
    }
    let any = |wanted: &[StepState]| graph.steps.iter().any(|step| wanted.contains(&step.state));
    // A step in a state of a newer version is somebody's work: the task goes on.
    if any(&[StepState::Enqueued, StepState::InProgress, StepState::Unknown]) {
        let waits = any(&[StepState::Pending]);
        let next = if waits { TaskState::WaitingForDependencies } else { TaskState::StepsInProcess };
        return graph.move_task(next, now, now, 0);
    }
    if any(&[StepState::WaitingForRetry]) {
        return graph.move_task(TaskState::WaitingForRetry, now, now, 0);
    }
    finalize(graph, now, now)
}
