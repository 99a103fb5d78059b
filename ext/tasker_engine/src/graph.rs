//! Owns: a task with its steps while decisions are made about it, and the record of what changed:
//! every move of a state goes through here, is checked against the state machine and is written
//! down as a transition. Refuses: deciding anything.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::state::{StepState, TaskState};
use crate::step::{Step, StepError};
use crate::task::Task;

/// A task, its steps, and what has been done to them in this transaction.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The task.
    pub task: Task,
    /// Its steps, by position in the template.
    pub steps: Vec<Step>,
    /// Whether the task is not stored yet.
    pub is_new: bool,
    /// The task's transitions, in order.
    pub task_transitions: Vec<TaskTransition>,
    /// The steps' transitions, in order.
    pub step_transitions: Vec<StepTransition>,
    /// Whether the task came to its first final state: its `task.orchestration` span is due.
    pub root_ended: bool,
}

/// A move of the task.
#[derive(Debug, Clone)]
pub struct TaskTransition {
    /// The state it left.
    pub from: TaskState,
    /// The state it came to.
    pub to: TaskState,
    /// When the work that led to the move began.
    pub began: Micros,
    /// When it moved.
    pub at: Micros,
    /// How long it had been in `from`, in milliseconds.
    pub duration_ms: f64,
    /// How many steps the work was about: found ready, enqueued, or evaluated.
    pub steps: usize,
}

/// A move of a step.
#[derive(Debug, Clone)]
pub struct StepTransition {
    /// Which step.
    pub position: usize,
    /// The state it left.
    pub from: StepState,
    /// The state it came to.
    pub to: StepState,
    /// When it moved.
    pub at: Micros,
    /// How long it had been in `from`, in milliseconds.
    pub duration_ms: f64,
    /// The attempt that began or ended with the move; 0 when none did.
    pub attempt: u32,
    /// Whose attempt it is.
    pub worker_id: Option<Arc<str>>,
    /// Why, when the states alone do not say: `lease_expired`, `released`, `timeout`, `rerun`, ….
    pub reason: Option<&'static str>,
    /// The attempt, when the move ended one.
    pub ended: Option<Box<EndedAttempt>>,
}

/// An attempt that is over.
#[derive(Debug, Clone)]
pub struct EndedAttempt {
    /// The claim's token: also the span id of its `worker.step_execution`.
    pub token: Option<u64>,
    /// When it was claimed.
    pub claimed_at: Micros,
    /// Why it failed.
    pub error: Option<StepError>,
    /// How long until the next attempt, when the step waits for it.
    pub wait: Option<Duration>,
}

impl Graph {
    /// A graph as the store holds it, with nothing changed.
    pub fn loaded(task: Task, steps: Vec<Step>) -> Graph {
        Graph {
            task,
            steps,
            is_new: false,
            task_transitions: Vec::new(),
            step_transitions: Vec::new(),
            root_ended: false,
        }
    }

    /// Whether this transaction changed anything.
    pub fn is_changed(&self) -> bool {
        self.is_new || !self.task_transitions.is_empty() || !self.step_transitions.is_empty()
    }

    /// Takes note that its changes are in the store, as row `seq` of its journal. The transitions stay, for whoever
    /// tells of them.
    pub fn written(&mut self, seq: u32) {
        self.task.journal = seq;
        self.is_new = false;
        for step in &mut self.steps {
            step.changed = false;
        }
    }

    /// Moves the task. `began` is when the work that led here began.
    pub fn move_task(&mut self, to: TaskState, began: Micros, at: Micros, steps: usize) -> Result<()> {
        let from = self.task.state;
        if !from.may_become(to) {
            return Err(Error::IllegalTransition(format!(
                "task {} is {from} and cannot become {to}; from {from} it can become {}",
                self.task.task_uuid,
                names(from.successors()),
            )));
        }
        let at = next_moment(at, self.task.state_since, self.task.journal == 0 && self.task_transitions.is_empty());
        let duration_ms = at.millis_since(self.task.state_since);
        self.task_transitions.push(TaskTransition { from, to, began: began.min(at), at, duration_ms, steps });
        self.task.state = to;
        self.task.state_since = at;
        self.task.completed_at = to.is_final().then_some(at);
        if to.is_final() && !self.task.trace.root_recorded {
            self.task.trace.root_recorded = true;
            self.root_ended = true;
        }
        Ok(())
    }

    /// Moves a step and gives the transition, so that the caller can say more about it.
    pub fn move_step(&mut self, position: usize, to: StepState, at: Micros) -> Result<&mut StepTransition> {
        let task_uuid = self.task.task_uuid;
        let name = self.task.template.steps.get(position).map(|step| step.name.clone());
        let Some(step) = self.steps.get_mut(position) else {
            return Err(Error::Internal(format!("task {task_uuid} has no step at position {position}")));
        };
        let from = step.state;
        if !from.may_become(to) {
            return Err(Error::IllegalTransition(format!(
                "step {} of task {task_uuid} is {from} and cannot become {to}; from {from} it can become {}",
                name.as_deref().unwrap_or("?"),
                names(from.successors()),
            )));
        }
        let first = step.state == StepState::Pending;
        let at = next_moment(at, step.state_since, first);
        let duration_ms = at.millis_since(step.state_since);
        step.state = to;
        step.state_since = at;
        step.changed = true;
        let index = self.step_transitions.len();
        self.step_transitions.push(StepTransition {
            position,
            from,
            to,
            at,
            duration_ms,
            attempt: 0,
            worker_id: None,
            reason: None,
            ended: None,
        });
        Ok(&mut self.step_transitions[index])
    }

    /// Position of the step of that name, or an error that lists the names there are.
    pub fn position(&self, step_name: &str) -> Result<usize> {
        self.task.template.step_position(step_name).ok_or_else(|| {
            let known: Vec<&str> = self.task.template.steps.iter().map(|step| &*step.name).collect();
            Error::NotFound(format!(
                "task {} has no step {step_name:?}; its steps are {}",
                self.task.task_uuid,
                known.join(", ")
            ))
        })
    }
}

/// When a move happens that was decided at `at`: after the last one, so that their order in time is their order. Moves
/// of one decision are a microsecond apart.
fn next_moment(at: Micros, since: Micros, first: bool) -> Micros {
    at.max(if first { since } else { Micros(since.0.saturating_add(1)) })
}

fn names<S: std::fmt::Display>(states: &[S]) -> String {
    if states.is_empty() {
        return "nothing else".into();
    }
    states.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
