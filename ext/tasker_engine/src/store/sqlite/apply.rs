//! Owns: writing what changed in a graph.

use rusqlite::{params, Connection};
use uuid::fmt::Hyphenated;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::graph::{Graph, StepTransition};
use crate::step::Step;
use crate::store::metadata;

const INSERT_TASK: &str = "INSERT INTO tasks (task_uuid, template_id, namespace, name, version, state, state_since, \
    priority, correlation_id, parent_correlation_id, idempotency_key, trace_id, root_span_id, parent_span_id, \
    sampled, root_recorded, created_at, run_at, completed_at, transitions, context) VALUES \
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";

const UPDATE_TASK: &str = "UPDATE tasks SET state = ?2, state_since = ?3, completed_at = ?4, transitions = ?5, \
    root_recorded = ?6 WHERE id = ?1";

const INSERT_STEP: &str = "INSERT INTO steps (task_id, position, step_uuid, name, namespace, priority, state, \
    state_since, attempts, max_attempts, due_at, worker_id, span_id, transitions) VALUES \
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

const MOVE_STEP: &str =
    "UPDATE steps SET state = ?2, state_since = ?3, attempts = ?4, max_attempts = ?5, due_at = ?6, \
    worker_id = ?7, span_id = ?8, transitions = ?9 WHERE id = ?1";

const SETTLE_STEP: &str =
    "UPDATE steps SET state = ?2, state_since = ?3, attempts = ?4, max_attempts = ?5, due_at = ?6, \
    worker_id = ?7, span_id = ?8, transitions = ?9, error = ?10, result = ?11 WHERE id = ?1";

const INSERT_TASK_TRANSITION: &str = "INSERT INTO task_transitions \
    (task_id, sort_key, from_state, to_state, created_at, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const INSERT_STEP_TRANSITION: &str = "INSERT INTO step_transitions \
    (task_id, position, sort_key, from_state, to_state, created_at, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// Writes one graph.
pub(super) fn graph(connection: &Connection, graph: &mut Graph) -> Result<()> {
    let counted = graph.task.transitions;
    graph.task.transitions += u32::try_from(graph.task_transitions.len()).unwrap_or(0);
    if graph.is_new {
        insert_task(connection, graph)?;
    } else if !graph.task_transitions.is_empty() {
        update_task(connection, graph)?;
    }
    let step_keys = number_step_transitions(graph);
    for position in 0..graph.steps.len() {
        if graph.steps[position].changed {
            write_step(connection, graph, position)?;
            graph.steps[position].changed = false;
        }
    }
    write_transitions(connection, graph, counted, &step_keys)?;
    graph.is_new = false;
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
        task.state_since.0,
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
        task.transitions,
        context,
    ])?;
    graph.task.id = connection.last_insert_rowid();
    Ok(())
}

fn update_task(connection: &Connection, graph: &Graph) -> Result<()> {
    let task = &graph.task;
    connection.prepare_cached(UPDATE_TASK)?.execute(params![
        task.id,
        task.state.as_str(),
        task.state_since.0,
        task.completed_at.map(|at| at.0),
        task.transitions,
        task.trace.root_recorded,
    ])?;
    Ok(())
}

fn write_step(connection: &Connection, graph: &mut Graph, position: usize) -> Result<()> {
    let step = &graph.steps[position];
    let span_id = step.span_id.map(|id| format!("{id:016x}"));
    if graph.is_new {
        let template = &graph.task.template.steps[position];
        let mut uuid = buffer();
        connection.prepare_cached(INSERT_STEP)?.execute(params![
            graph.task.id,
            i64::try_from(position).unwrap_or(i64::MAX),
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
            step.transitions,
        ])?;
        graph.steps[position].id = connection.last_insert_rowid();
        return Ok(());
    }
    update_step(connection, step, span_id)
}

fn update_step(connection: &Connection, step: &Step, span_id: Option<String>) -> Result<()> {
    let settled = step.result.is_some() || step.error.is_some();
    let mut statement = connection.prepare_cached(if settled { SETTLE_STEP } else { MOVE_STEP })?;
    let (state, since, due_at) = (step.state.as_str(), step.state_since.0, step.due_at.map(|at| at.0));
    let worker_id = step.worker_id.as_deref();
    if settled {
        let error = step.error.as_ref().map(metadata::json).transpose()?;
        statement.execute(params![
            step.id,
            state,
            since,
            step.attempts,
            step.max_attempts,
            due_at,
            worker_id,
            span_id,
            step.transitions,
            error,
            step.result.as_deref(),
        ])?;
    } else {
        statement.execute(params![
            step.id,
            state,
            since,
            step.attempts,
            step.max_attempts,
            due_at,
            worker_id,
            span_id,
            step.transitions,
        ])?;
    }
    Ok(())
}

/// Gives each step transition its place among its step's.
fn number_step_transitions(graph: &mut Graph) -> Vec<u32> {
    let steps = &mut graph.steps;
    let number = |transition: &StepTransition| {
        let step = &mut steps[transition.position];
        step.transitions += 1;
        step.transitions
    };
    graph.step_transitions.iter().map(number).collect()
}

fn write_transitions(connection: &Connection, graph: &Graph, counted: u32, step_keys: &[u32]) -> Result<()> {
    let correlation_id = graph.task.correlation_id;
    let mut statement = connection.prepare_cached(INSERT_TASK_TRANSITION)?;
    for (sort_key, transition) in (counted + 1..).zip(&graph.task_transitions) {
        statement.execute(params![
            graph.task.id,
            sort_key,
            transition.from.as_str(),
            transition.to.as_str(),
            transition.at.0,
            metadata::of_task(transition, correlation_id),
        ])?;
    }
    let mut statement = connection.prepare_cached(INSERT_STEP_TRANSITION)?;
    for (sort_key, transition) in step_keys.iter().zip(&graph.step_transitions) {
        statement.execute(params![
            graph.task.id,
            i64::try_from(transition.position).unwrap_or(i64::MAX),
            sort_key,
            transition.from.as_str(),
            transition.to.as_str(),
            transition.at.0,
            metadata::of_step(transition, correlation_id)?,
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
