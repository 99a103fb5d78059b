//! Owns: writing what changed in graphs. Few rows go to the server as one message with the COMMIT, many as a few statements
//! with an array for each column.

mod arrays;
mod columns;
mod literal;
mod script;
mod sql;

use std::collections::HashSet;

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::state::{StepState, TaskState};
use crate::step::Step;
use crate::store::journal;

pub(super) use arrays::write as write_arrays;
pub(super) use literal::{Script, Values};
pub(super) use script::write as write_script;
pub(super) use sql::{INSERT_JOURNAL, INSERT_STEPS, INSERT_TASKS, LOCK_NOW, SETTLE_STEPS, UPDATE_STEPS, UPDATE_TASKS};

/// The most changed graphs that are written as a script, and the most bytes of results and contexts in it.
const SCRIPT_GRAPHS: usize = 8;
const SCRIPT_BYTES: usize = 256 * 1024;

/// What a session prepares for scripts.
pub(super) fn prepare() -> String {
    let prepare =
        sql::PREPARED.iter().map(|(name, types, statement)| format!("PREPARE {name} ({types}) AS {statement}"));
    prepare.collect::<Vec<_>>().join(";")
}

/// A graph that changed, and what is written of it.
pub(super) struct Change<'a> {
    graph: &'a Graph,
    /// Whether its task's row is written: it is new, or in another state than before.
    task: bool,
    row: journal::Row,
}

/// The graphs that changed, in the order of their numbers.
pub(super) fn changes(graphs: &[Graph]) -> Result<Vec<Change<'_>>> {
    let mut changed: Vec<&Graph> = graphs.iter().filter(|graph| graph.is_changed()).collect();
    changed.sort_by_key(|graph| graph.task.id);
    let change = |graph| Ok(Change { graph, task: task_changed(graph), row: journal::row(graph)? });
    changed.into_iter().map(change).collect()
}

/// What a task was before is what its first move of this transaction left.
fn task_changed(graph: &Graph) -> bool {
    let before = graph.task_transitions.first().map(|transition| transition.from);
    before.is_some_and(|before| before != graph.task.state) || graph.root_ended
}

/// Those of the tasks without a lock whose row is written. Whoever holds others by now must not wait for them.
pub(super) fn unlocked(changes: &[Change<'_>], remembered: &HashSet<i64>) -> Vec<i64> {
    let written = changes.iter().filter(|change| change.task).map(|change| change.graph.task.id);
    written.filter(|task_id| remembered.contains(task_id)).collect()
}

/// Whether few enough rows are written to go as one message.
pub(super) fn are_few(changes: &[Change<'_>]) -> bool {
    let bytes = |step: &Step| step.result.as_ref().filter(|_| step.settled).map_or(0, |result| result.len());
    let size = |change: &Change<'_>| {
        let context = change.graph.task.context.as_ref().filter(|_| change.graph.is_new);
        context.map_or(0, |context| context.len()) + change.graph.steps.iter().map(bytes).sum::<usize>()
    };
    changes.len() <= SCRIPT_GRAPHS
        && changes.iter().map(|change| change.graph.steps.len()).sum::<usize>() <= 16 * SCRIPT_GRAPHS
        && changes.iter().map(size).sum::<usize>() <= SCRIPT_BYTES
}

impl<'a> Change<'a> {
    fn waits_until(&self) -> Option<Micros> {
        let task = &self.graph.task;
        task.run_at.filter(|_| task.state == TaskState::Pending)
    }

    /// The steps that are written, with their positions.
    fn steps(&self) -> impl Iterator<Item = (usize, &'a Step)> {
        let graph = self.graph;
        graph.steps.iter().enumerate().filter(|(_, step)| step.changed)
    }

    /// By what the row that a transaction without an answer should have left is known again.
    pub(super) fn probe(&self) -> Probe {
        let (task_id, seq) = (self.graph.task.id, super::rows::int(self.row.seq));
        Probe::Journal { task_id, seq, moves: self.row.moves.clone() }
    }
}

/// Why many rows could not be written.
pub(super) enum Failed {
    /// They could not be put into words.
    Here(Error),
    /// The server refused them.
    There(sqlx::Error),
}

/// A row that only one transaction can have written.
pub(super) enum Probe {
    /// Of the journal.
    Journal { task_id: i64, seq: i32, moves: String },
    /// An event's.
    Event(uuid::Uuid),
}

/// Whether the step is left to whoever claims it first.
fn is_queued(step: &Step) -> bool {
    step.state == StepState::Enqueued
}

/// What becomes of a step's message.
enum Message {
    /// As it was, if there is one.
    Keep,
    /// To be seen from then on.
    Send(Micros),
    /// It goes.
    Delete(i64),
}

fn message(step: &Step) -> Message {
    let waits = matches!(step.state, StepState::Enqueued | StepState::WaitingForRetry);
    match step.message_id {
        None if waits => Message::Send(step.due_at.unwrap_or(step.state_since)),
        Some(id) if !waits => Message::Delete(id),
        _ => Message::Keep,
    }
}

fn message_id(step: &Step) -> Option<i64> {
    step.message_id.filter(|_| matches!(message(step), Message::Keep))
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}
