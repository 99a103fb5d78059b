//! Owns: writing what changed in a graph.

use rusqlite::{params, Connection};
use uuid::fmt::Hyphenated;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::step::Step;
use crate::store::journal;

const INSERT_TASK: &str = "INSERT INTO tasks (task_uuid, template_id, namespace, name, version, state, \
    priority, correlation_id, parent_correlation_id, idempotency_key, trace_id, root_span_id, parent_span_id, \
    sampled, root_recorded, created_at, run_at, completed_at, context) VALUES \
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";

const UPDATE_TASK: &str = "UPDATE tasks SET state = ?2, completed_at = ?3, root_recorded = ?4 WHERE id = ?1";

const INSERT_STEP: &str = "INSERT INTO steps (task_id, position, step_uuid, name, namespace, priority, state, \
    state_since, attempts, max_attempts, due_at, worker_id, span_id) VALUES \
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

const MOVE_STEP: &str =
    "UPDATE steps SET state = ?3, state_since = ?4, attempts = ?5, max_attempts = ?6, due_at = ?7, \
    worker_id = ?8, span_id = ?9 WHERE task_id = ?1 AND position = ?2";

const SETTLE_STEP: &str =
    "UPDATE steps SET state = ?3, state_since = ?4, attempts = ?5, max_attempts = ?6, due_at = ?7, \
    worker_id = ?8, span_id = ?9, error = ?10, result = ?11 WHERE task_id = ?1 AND position = ?2";

const INSERT_JOURNAL: &str = "INSERT INTO journal (task_id, seq, at, since, moves) VALUES (?1, ?2, ?3, ?4, ?5)";

/// Writes one graph.
pub(super) fn graph(connection: &Connection, graph: &mut Graph) -> Result<()> {
    if graph.is_new {
        insert_task(connection, graph)?;
    } else if !graph.task_transitions.is_empty() {
        update_task(connection, graph)?;
    }
    for position in 0..graph.steps.len() {
        if graph.steps[position].changed {
            write_step(connection, graph, position)?;
        }
    }
    let row = journal::row(graph)?;
    let (id, since) = (graph.task.id, graph.task.state_since.0);
    let written = connection.prepare_cached(INSERT_JOURNAL)?.execute(params![id, row.seq, row.at.0, since, row.moves]);
    match written.map_err(Error::from) {
        Err(Error::Refused(_)) => {
            return Err(Error::Contention(format!("task number {id} was changed by another transaction meanwhile")))
        }
        written => written?,
    };
    graph.written(row.seq);
    Ok(())
}

fn insert_task(connection: &Connection, graph: &mut Graph) -> Result<()> {
    let task = &graph.task;
    let (mut uuid, mut correlation, mut parent) = (buffer(), buffer(), buffer());
    let parent_correlation_id = task.parent_correlation_id.map(|id| text(id, &mut parent));
    let context = task.context.as_deref().ok_or_else(|| Error::Internal("a new task has no context".into()))?;
    connection.prepare_cached(INSERT_TASK)?.execute(params![
        text(task.task_uuid, &mut uuid),
        task.template_id,
        &*task.template.namespace,
        &*task.template.name,
        &*task.template.version,
        task.state.as_str(),
        task.priority,
        text(task.correlation_id, &mut correlation),
        parent_correlation_id,
        task.idempotency_key,
        format!("{:032x}", task.trace.trace_id),
        format!("{:016x}", task.trace.root_span_id),
        task.trace.parent_span_id.map(|id| format!("{id:016x}")),
        task.trace.sampled,
        task.trace.root_recorded,
        task.created_at.0,
        task.run_at.map(|at| at.0),
        task.completed_at.map(|at| at.0),
        context,
    ])?;
    graph.task.id = connection.last_insert_rowid();
    Ok(())
}

fn update_task(connection: &Connection, graph: &Graph) -> Result<()> {
    let task = &graph.task;
    // What it was before is what its first move of this transaction left.
    let before = graph.task_transitions.first().map(|transition| transition.from);
    if before == Some(task.state) && task.completed_at.is_none() {
        return Ok(());
    }
    connection.prepare_cached(UPDATE_TASK)?.execute(params![
        task.id,
        task.state.as_str(),
        task.completed_at.map(|at| at.0),
        task.trace.root_recorded,
    ])?;
    Ok(())
}

fn write_step(connection: &Connection, graph: &Graph, position: usize) -> Result<()> {
    let step = &graph.steps[position];
    let number = i64::try_from(position).unwrap_or(i64::MAX);
    let span_id = step.span_id.map(|id| format!("{id:016x}"));
    if graph.is_new {
        let template = &graph.task.template.steps[position];
        let mut uuid = buffer();
        connection.prepare_cached(INSERT_STEP)?.execute(params![
            graph.task.id,
            number,
            text(step.step_uuid, &mut uuid),
            &*template.name,
            &*graph.task.template.namespace,
            graph.task.priority,
            step.state.as_str(),
            step.state_since.0,
            step.attempts,
            step.max_attempts,
            step.due_at.map(|at| at.0),
            step.worker_id.as_deref(),
            span_id,
        ])?;
        // One that was resolved before it began.
        if !step.settled {
            return Ok(());
        }
    }
    update_step(connection, graph.task.id, number, step)
}

fn update_step(connection: &Connection, task_id: i64, position: i64, step: &Step) -> Result<()> {
    let mut statement = connection.prepare_cached(if step.settled { SETTLE_STEP } else { MOVE_STEP })?;
    let (state, since, due_at) = (step.state.as_str(), step.state_since.0, step.due_at.map(|at| at.0));
    let (worker_id, span_id) = (step.worker_id.as_deref(), step.span_id.map(|id| format!("{id:016x}")));
    let (attempts, max_attempts) = (step.attempts, step.max_attempts);
    if step.settled {
        let error = step.error.as_ref().map(journal::json_text).transpose()?;
        let result = step.result.as_deref();
        statement.execute(params![
            task_id,
            position,
            state,
            since,
            attempts,
            max_attempts,
            due_at,
            worker_id,
            span_id,
            error,
            result
        ])?;
    } else {
        statement.execute(params![
            task_id,
            position,
            state,
            since,
            attempts,
            max_attempts,
            due_at,
            worker_id,
            span_id
        ])?;
    }
    Ok(())
}

fn buffer() -> [u8; Hyphenated::LENGTH] {
    [0; Hyphenated::LENGTH]
}

fn text(id: Uuid, buffer: &mut [u8; Hyphenated::LENGTH]) -> &str {
    id.hyphenated().encode_lower(buffer)
}
