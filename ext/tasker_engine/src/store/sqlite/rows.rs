//! Owns: reading rows into nouns. A row that does not make sense is an error that names it.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::state::{StepState, TaskState};
use crate::step::Step;
use crate::store::catalogue::Catalogue;
use crate::store::Existing;
use crate::task::{Task, TaskTrace};
use crate::template::Template;

const TASK: &str = "SELECT t.task_uuid, t.template_id, t.state, j.since, t.priority, t.correlation_id, \
    t.parent_correlation_id, t.idempotency_key, t.trace_id, t.root_span_id, t.parent_span_id, t.sampled, t.root_recorded, \
    t.created_at, t.run_at, t.completed_at, j.seq FROM tasks t \
    LEFT JOIN journal j ON j.task_id = t.id AND j.seq = (SELECT max(seq) FROM journal WHERE task_id = ?1) WHERE t.id = ?1";

const STEPS: &str = "SELECT step_uuid, state, state_since, attempts, max_attempts, due_at, worker_id, span_id \
    FROM steps WHERE task_id = ?1 ORDER BY position";

/// Loads a task and its steps, if there is one.
pub(super) fn graph(connection: &Connection, catalogue: &Catalogue, task_id: i64) -> Result<Option<Graph>> {
    let mut statement = connection.prepare_cached(TASK)?;
    let mut rows = statement.query([task_id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let template_id = row.get(1)?;
    let journal: Option<u32> = row.get(16)?;
    let journal = journal.ok_or_else(|| Error::Refused(format!("task number {task_id} has no journal")))?;
    let task = Task {
        id: task_id,
        task_uuid: uuid(row, 0)?,
        template: template(connection, catalogue, template_id)?,
        template_id,
        state: parsed(row, 2, |text| Some(TaskState::stored(text)))?,
        state_since: Micros(row.get(3)?),
        priority: row.get(4)?,
        correlation_id: uuid(row, 5)?,
        parent_correlation_id: optional(row, 6, |text| Uuid::try_parse(text).ok())?,
        idempotency_key: row.get(7)?,
        trace: TaskTrace {
            trace_id: parsed(row, 8, trace_id)?,
            root_span_id: parsed(row, 9, span_id)?,
            parent_span_id: optional(row, 10, span_id)?,
            sampled: row.get(11)?,
            root_recorded: row.get(12)?,
        },
        created_at: Micros(row.get(13)?),
        run_at: row.get::<_, Option<i64>>(14)?.map(Micros),
        completed_at: row.get::<_, Option<i64>>(15)?.map(Micros),
        journal,
        context: None,
    };
    let steps = steps(connection, task_id, task.template.steps.len())?;
    Ok(Some(Graph::loaded(task, steps)))
}

fn steps(connection: &Connection, task_id: i64, expected: usize) -> Result<Vec<Step>> {
    let mut statement = connection.prepare_cached(STEPS)?;
    let mut rows = statement.query([task_id])?;
    let mut steps = Vec::with_capacity(expected);
    while let Some(row) = rows.next()? {
        steps.push(Step {
            step_uuid: uuid(row, 0)?,
            state: parsed(row, 1, |text| Some(StepState::stored(text)))?,
            state_since: Micros(row.get(2)?),
            attempts: row.get(3)?,
            max_attempts: row.get(4)?,
            due_at: row.get::<_, Option<i64>>(5)?.map(Micros),
            worker_id: optional(row, 6, |text| Some(Arc::from(text)))?,
            span_id: optional(row, 7, span_id)?,
            message_id: None,
            result: None,
            error: None,
            settled: false,
            changed: false,
        });
    }
    if steps.len() == expected {
        Ok(steps)
    } else {
        Err(Error::Refused(format!("task number {task_id} has {} steps, its template {expected}", steps.len())))
    }
}

/// The template of that number, from the catalogue or the database.
pub(super) fn template(connection: &Connection, catalogue: &Catalogue, id: i64) -> Result<Arc<Template>> {
    if let Some(template) = catalogue.get(id) {
        return Ok(template);
    }
    let mut statement = connection.prepare_cached("SELECT document FROM templates WHERE id = ?1")?;
    let document: String = statement.query_row([id], |row| row.get(0))?;
    let template = Arc::new(Template::from_stored(&format!("stored template {id}"), &document)?);
    catalogue.add_read(id, Arc::clone(&template));
    Ok(template)
}

/// `task_uuid`, `correlation_id` and `trace_id` of a task.
pub(super) fn existing(row: &Row<'_>) -> Result<Existing> {
    Ok(Existing { task_uuid: uuid(row, 0)?, correlation_id: uuid(row, 1)?, trace_id: parsed(row, 2, trace_id)? })
}

fn trace_id(text: &str) -> Option<u128> {
    u128::from_str_radix(text, 16).ok()
}

fn span_id(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

fn uuid(row: &Row<'_>, column: usize) -> Result<Uuid> {
    parsed(row, column, |text| Uuid::try_parse(text).ok())
}

fn parsed<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    optional(row, column, parse)?.ok_or_else(|| unreadable(row, column))
}

fn optional<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => {
            let text = value.as_str().map_err(|_| unreadable(row, column))?;
            parse(text).map(Some).ok_or_else(|| unreadable(row, column))
        }
    }
}

fn unreadable(row: &Row<'_>, column: usize) -> Error {
    let name = row.as_ref().column_name(column).unwrap_or("?").to_owned();
    let value = row.get_ref(column).map(|value| format!("{value:?}")).unwrap_or_default();
    Error::Refused(format!("column {name} holds {value}, which this version does not understand"))
}
