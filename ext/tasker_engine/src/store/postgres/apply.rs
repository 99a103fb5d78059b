//! Owns: writing what changed in graphs: a few statements, however many graphs there are.

mod columns;
mod sql;

use std::collections::HashMap;

use sqlx::postgres::PgConnection;
use sqlx::Row;
use uuid::Uuid;

use super::queue::{visible_at, Hidden, Messages, Outgoing, Query};
use super::rows::{int, time};
use crate::error::Error;
use crate::graph::Graph;
use crate::state::{StepState, TaskState};
use crate::store::metadata;
use crate::task::Task;
use columns::{NewSteps, NewTasks, StepTransitions, Steps, TaskTransitions, Tasks, Time};
pub(super) use sql::{INSERT_STEPS, INSERT_TASKS, WRITE};

/// What wakes idle workers.
pub(super) const CHANNEL: &str = "tasker";
/// What it carries when something will be due at a time; otherwise, nothing: there are steps to claim.
pub(super) const DUE: &str = "due";

/// Why nothing was written.
pub(super) enum Failed {
    /// What should have been written makes no sense.
    Here(Error),
    /// The server refused, or is gone.
    There(sqlx::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Here(error)
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Failed {
        Failed::There(error)
    }
}

/// Writes what changed, and gives the number of the transaction; `None` when nothing did.
pub(super) async fn graphs(connection: &mut PgConnection, graphs: &mut [Graph]) -> Result<Option<String>, Failed> {
    if !graphs.iter().any(Graph::is_changed) {
        return Ok(None);
    }
    insert_tasks(connection, graphs).await?;
    send_first(connection, graphs).await?;
    let wakes = graphs.iter().filter_map(wakes_others).max();
    let mut rows = Write::default();
    for graph in graphs.iter_mut() {
        rows.graph(graph)?;
    }
    insert_steps(connection, graphs).await?;
    let row = rows.bind(wakes).fetch_one(connection).await?;
    for graph in graphs.iter_mut() {
        graph.is_new = false;
        graph.steps.iter_mut().for_each(|step| step.changed = false);
    }
    Ok(Some(row.try_get("xid")?))
}

/// What is in it for a worker that sleeps.
fn wakes_others(graph: &Graph) -> Option<&'static str> {
    let due = (graph.is_new && graph.task.state == TaskState::Pending).then_some(DUE);
    let enqueued = graph.steps.iter().any(|step| step.changed && step.state == StepState::Enqueued);
    due.max(enqueued.then_some(""))
}

/// Sends the messages of new tasks: their steps are inserted with the numbers.
async fn send_first(connection: &mut PgConnection, graphs: &mut [Graph]) -> sqlx::Result<()> {
    let mut outgoing = Outgoing::default();
    let mut of = Vec::new();
    for (at, graph) in graphs.iter().enumerate().filter(|(_, graph)| graph.is_new) {
        for position in 0..graph.steps.len() {
            if let Some(visible_at) = visible_at(&graph.steps[position]) {
                outgoing.push(graph, position, visible_at);
                of.push((at, position));
            }
        }
    }
    for (number, id) in outgoing.send(connection).await? {
        if let Some(&(at, position)) = of.get(number) {
            graphs[at].steps[position].message_id = Some(id);
        }
    }
    Ok(())
}

fn hex(span_id: Option<u64>) -> Option<String> {
    span_id.map(|id| format!("{id:016x}"))
}

fn waits_until(task: &Task) -> Option<Time> {
    (task.state == TaskState::Pending).then_some(task.run_at).flatten().map(time)
}

async fn insert_tasks(connection: &mut PgConnection, graphs: &mut [Graph]) -> Result<(), Failed> {
    let mut rows = NewTasks::default();
    for graph in graphs.iter().filter(|graph| graph.is_new) {
        let task = &graph.task;
        let context = task.context.as_deref().ok_or_else(|| Error::Internal("a new task has no context".into()))?;
        rows.task_uuid.push(task.task_uuid);
        rows.template_id.push(task.template_id);
        rows.namespace.push(task.template.namespace.to_string());
        rows.name.push(task.template.name.to_string());
        rows.version.push(task.template.version.to_string());
        rows.state.push(task.state.as_str());
        rows.state_since.push(time(task.state_since));
        rows.priority.push(task.priority);
        rows.correlation_id.push(task.correlation_id);
        rows.parent_correlation_id.push(task.parent_correlation_id);
        rows.idempotency_key.push(task.idempotency_key.clone());
        rows.trace_id.push(format!("{:032x}", task.trace.trace_id));
        rows.root_span_id.push(format!("{:016x}", task.trace.root_span_id));
        rows.parent_span_id.push(hex(task.trace.parent_span_id));
        rows.sampled.push(task.trace.sampled);
        rows.root_recorded.push(task.trace.root_recorded);
        rows.created_at.push(time(task.created_at));
        rows.run_at.push(task.run_at.map(time));
        rows.waits_until.push(waits_until(task));
        rows.completed_at.push(task.completed_at.map(time));
        rows.transitions.push(int(task.transitions as usize + graph.task_transitions.len()));
        rows.context.push(context.to_owned());
    }
    if rows.task_uuid.is_empty() {
        return Ok(());
    }
    let stored = rows.bind(sqlx::query(INSERT_TASKS)).fetch_all(connection).await?;
    let numbers: HashMap<Uuid, i64> =
        stored.iter().map(|row| Ok((row.try_get("task_uuid")?, row.try_get("id")?))).collect::<sqlx::Result<_>>()?;
    for graph in graphs.iter_mut().filter(|graph| graph.is_new) {
        graph.task.id = numbers.get(&graph.task.task_uuid).copied().unwrap_or_default();
    }
    Ok(())
}

async fn insert_steps(connection: &mut PgConnection, graphs: &[Graph]) -> sqlx::Result<()> {
    let mut rows = NewSteps::default();
    for graph in graphs.iter().filter(|graph| graph.is_new) {
        let template = &graph.task.template;
        for (position, step) in graph.steps.iter().enumerate() {
            rows.task_id.push(graph.task.id);
            rows.position.push(int(position));
            rows.step_uuid.push(step.step_uuid);
            rows.name.push(template.steps[position].name.to_string());
            rows.namespace.push(template.namespace.to_string());
            rows.priority.push(graph.task.priority);
            rows.state.push(step.state.as_str());
            rows.state_since.push(time(step.state_since));
            rows.attempts.push(int(step.attempts));
            rows.max_attempts.push(int(step.max_attempts));
            rows.due_at.push(step.due_at.map(time));
            rows.worker_id.push(step.worker_id.as_deref().map(str::to_owned));
            rows.span_id.push(hex(step.span_id));
            rows.transitions.push(int(step.transitions));
            rows.message_id.push(step.message_id);
        }
    }
    if !rows.task_id.is_empty() {
        rows.bind(sqlx::query(INSERT_STEPS)).execute(connection).await?;
    }
    Ok(())
}

/// The rows of one `WRITE`.
#[derive(Default)]
struct Write {
    tasks: Tasks,
    steps: Steps,
    task_transitions: TaskTransitions,
    step_transitions: StepTransitions,
    deleted: Messages,
    hidden: Hidden,
    outgoing: Outgoing,
}

impl Write {
    fn graph(&mut self, graph: &mut Graph) -> Result<(), Error> {
        let counted = graph.task.transitions;
        graph.task.transitions += u32::try_from(graph.task_transitions.len()).unwrap_or(0);
        let id = graph.task.id;
        if !graph.is_new && !graph.task_transitions.is_empty() {
            let task = &graph.task;
            self.tasks.id.push(id);
            self.tasks.state.push(task.state.as_str());
            self.tasks.state_since.push(time(task.state_since));
            self.tasks.waits_until.push(waits_until(task));
            self.tasks.completed_at.push(task.completed_at.map(time));
            self.tasks.transitions.push(int(task.transitions));
            self.tasks.root_recorded.push(task.trace.root_recorded);
        }
        for (sort_key, moved) in (counted + 1..).zip(&graph.task_transitions) {
            let rows = &mut self.task_transitions;
            rows.task_id.push(id);
            rows.sort_key.push(int(sort_key));
            rows.from_state.push(moved.from.as_str());
            rows.to_state.push(moved.to.as_str());
            rows.created_at.push(time(moved.at));
            rows.metadata.push(metadata::of_task(moved, graph.task.correlation_id));
        }
        for moved in &graph.step_transitions {
            let step = &mut graph.steps[moved.position];
            step.transitions += 1;
            let rows = &mut self.step_transitions;
            rows.task_id.push(id);
            rows.position.push(int(moved.position));
            rows.sort_key.push(int(step.transitions));
            rows.from_state.push(moved.from.as_str());
            rows.to_state.push(moved.to.as_str());
            rows.created_at.push(time(moved.at));
            rows.metadata.push(metadata::of_step(moved, graph.task.correlation_id)?);
        }
        if !graph.is_new {
            self.steps(graph)?;
        }
        Ok(())
    }

    fn steps(&mut self, graph: &Graph) -> Result<(), Error> {
        let namespace = &graph.task.template.namespace;
        for (position, step) in graph.steps.iter().enumerate().filter(|(_, step)| step.changed) {
            let (message_id, outgoing) = match (visible_at(step), step.message_id) {
                (Some(visible_at), None) => {
                    self.outgoing.push(graph, position, visible_at);
                    (None, Some(int(self.outgoing.len())))
                }
                (Some(visible_at), id) => {
                    self.hidden.push(namespace, id, visible_at);
                    (id, None)
                }
                (None, Some(id)) => {
                    self.deleted.push(namespace, id);
                    (None, None)
                }
                (None, None) => (None, None),
            };
            let rows = &mut self.steps;
            rows.message_id.push(message_id);
            rows.outgoing.push(outgoing);
            rows.task_id.push(graph.task.id);
            rows.position.push(int(position));
            rows.state.push(step.state.as_str());
            rows.state_since.push(time(step.state_since));
            rows.attempts.push(int(step.attempts));
            rows.max_attempts.push(int(step.max_attempts));
            rows.due_at.push(step.due_at.map(time));
            rows.worker_id.push(step.worker_id.as_deref().map(str::to_owned));
            rows.span_id.push(hex(step.span_id));
            rows.transitions.push(int(step.transitions));
            rows.settled.push(step.result.is_some() || step.error.is_some());
            rows.error.push(step.error.as_ref().map(metadata::json).transpose()?);
            rows.result.push(step.result.as_deref().map(str::to_owned));
        }
        Ok(())
    }

    fn bind(self, wakes: Option<&'static str>) -> Query {
        let query = self.steps.bind(self.tasks.bind(sqlx::query(WRITE)));
        let query = self.step_transitions.bind(self.task_transitions.bind(query));
        let query = query.bind(self.deleted.queues).bind(self.deleted.ids);
        self.outgoing.bind(self.hidden.bind(query)).bind(wakes)
    }
}
