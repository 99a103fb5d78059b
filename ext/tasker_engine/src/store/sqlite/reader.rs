//! Owns: reading committed tasks for whoever asks, beside the writer.

use std::sync::{Arc, Mutex, TryLockError};

use rusqlite::{params, Connection, OptionalExtension, Row};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::watch::Watcher;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::interrupt::lock;
use crate::state::TaskState;
use crate::store::catalogue::Catalogue;
use crate::store::{journal, Connections, OnEnd, Reader, StepView, TaskView, TransitionView};

pub(super) struct SqliteReader {
    connection: Arc<Mutex<Connection>>,
    catalogue: Arc<Catalogue>,
    watcher: Option<Arc<Watcher>>,
    /// The writer's connection is this one: a database in memory.
    shared: bool,
}

impl SqliteReader {
    pub(super) fn new(
        connection: Arc<Mutex<Connection>>,
        catalogue: Arc<Catalogue>,
        watcher: Option<Arc<Watcher>>,
        shared: bool,
    ) -> SqliteReader {
        SqliteReader { connection, catalogue, watcher, shared }
    }

    pub(super) fn connection(&self) -> Arc<Mutex<Connection>> {
        Arc::clone(&self.connection)
    }
}

fn unknown(task_uuid: Uuid) -> Error {
    Error::NotFound(format!("there is no task {task_uuid} in this database"))
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|error| Error::Store(format!("a stored value is not JSON: {error}")))
}

impl Reader for SqliteReader {
    fn task(&self, task_uuid: Uuid) -> Result<TaskView> {
        let mut connection = lock(&self.connection);
        // Of one moment: the task and its steps.
        let connection = &*connection.savepoint()?;
        let (id, template_id, mut view) = read_task(connection, task_uuid)?.ok_or_else(|| unknown(task_uuid))?;
        let template = super::rows::template(connection, &self.catalogue, template_id)?;
        let mut statement = connection.prepare_cached(
            "SELECT step_uuid, name, state, attempts, max_attempts, due_at, worker_id, result, error, position \
             FROM steps WHERE task_id = ?1 ORDER BY position",
        )?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let position: usize = row.get(9)?;
            let handler = template.steps.get(position).map(|step| step.handler.to_string()).unwrap_or_default();
            view.steps.push(step_view(row, handler)?);
        }
        Ok(view)
    }

    fn state(&self, task_uuid: Uuid) -> Result<TaskState> {
        let connection = lock(&self.connection);
        let state: Option<String> = connection
            .prepare_cached("SELECT state FROM tasks WHERE task_uuid = ?1")?
            .query_row([task_uuid.to_string()], |row| row.get(0))
            .optional()?;
        let state = state.ok_or_else(|| unknown(task_uuid))?;
        Ok(TaskState::stored(&state))
    }

    fn ended(&self, tasks: &[Uuid]) -> Result<Vec<Uuid>> {
        let connection = lock(&self.connection);
        let uuids = journal::json_text(tasks)?;
        let mut statement = connection.prepare_cached(
            "SELECT task_uuid FROM tasks WHERE task_uuid IN (SELECT value FROM json_each(?1)) AND completed_at IS NOT NULL",
        )?;
        let ended = statement.query_map([uuids], |row| row.get::<_, String>(0))?;
        let ended = ended.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(ended.iter().filter_map(|uuid| Uuid::try_parse(uuid).ok()).collect())
    }

    fn transitions(&self, task_uuid: Uuid) -> Result<Vec<TransitionView>> {
        let mut connection = lock(&self.connection);
        // Of one moment: the task and its journal.
        let connection = &*connection.savepoint()?;
        let task: Option<(i64, String)> = connection
            .prepare_cached("SELECT id, correlation_id FROM tasks WHERE task_uuid = ?1")?
            .query_row([task_uuid.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (id, correlation_id) = task.ok_or_else(|| unknown(task_uuid))?;
        let mut statement = connection.prepare_cached("SELECT name FROM steps WHERE task_id = ?1 ORDER BY position")?;
        let names: Vec<String> = statement.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut statement =
            connection.prepare_cached("SELECT at, moves FROM journal WHERE task_id = ?1 ORDER BY seq")?;
        let rows = statement.query_map([id], |row| Ok((Micros(row.get(0)?), row.get(1)?)))?;
        journal::transitions(&rows.collect::<rusqlite::Result<Vec<_>>>()?, &names, &correlation_id)
    }

    fn count_tasks(&self) -> Result<Vec<(String, i64)>> {
        let connection = lock(&self.connection);
        let mut statement = connection.prepare_cached("SELECT state, count(*) FROM tasks GROUP BY state")?;
        let counts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(counts.collect::<rusqlite::Result<_>>()?)
    }

    fn read_templates(&self, namespace: &str, name: &str, catalogue: &Catalogue) -> Result<()> {
        let connection = lock(&self.connection);
        let mut statement =
            connection.prepare_cached("SELECT id FROM templates WHERE namespace = ?1 AND name = ?2 ORDER BY id")?;
        let ids = statement.query_map(params![namespace, name], |row| row.get(0))?;
        for id in ids.collect::<rusqlite::Result<Vec<i64>>>()? {
            // An old version that cannot be read must not stand in the way of the others.
            if let Err(error) = super::rows::template(&connection, catalogue, id) {
                tracing::warn!(%error, namespace, name, "A stored template cannot be read; passing it over");
            }
        }
        Ok(())
    }

    // One writes, one reads; in memory they are the same.
    fn connections(&self) -> Connections {
        let open = if self.shared { 1 } else { 2 };
        let busy = !self.shared && matches!(self.connection.try_lock(), Err(TryLockError::WouldBlock));
        Connections { open, reading: usize::from(busy), max: open }
    }

    fn watch_ends(&self, on_end: &OnEnd) -> bool {
        self.watcher.as_ref().is_some_and(|watcher| watcher.on_end(on_end))
    }
}

fn read_task(connection: &Connection, task_uuid: Uuid) -> Result<Option<(i64, i64, TaskView)>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, template_id, namespace, name, version, state, priority, correlation_id, parent_correlation_id, \
         idempotency_key, trace_id, root_span_id, created_at, run_at, completed_at, context FROM tasks WHERE task_uuid = ?1",
    )?;
    let mut rows = statement.query([task_uuid.to_string()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let view = TaskView {
        task_uuid: task_uuid.to_string(),
        namespace: row.get(2)?,
        name: row.get(3)?,
        version: row.get(4)?,
        state: row.get(5)?,
        priority: row.get(6)?,
        correlation_id: row.get(7)?,
        parent_correlation_id: row.get(8)?,
        idempotency_key: row.get(9)?,
        trace_id: row.get(10)?,
        root_span_id: row.get(11)?,
        created_at: row.get(12)?,
        run_at: row.get(13)?,
        completed_at: row.get(14)?,
        context: raw(row.get(15)?)?,
        steps: Vec::new(),
    };
    Ok(Some((row.get(0)?, row.get(1)?, view)))
}

fn step_view(row: &Row<'_>, handler: String) -> Result<StepView> {
    let error: Option<String> = row.get(8)?;
    let result: Option<String> = row.get(7)?;
    Ok(StepView {
        step_uuid: row.get(0)?,
        name: row.get(1)?,
        handler,
        state: row.get(2)?,
        attempts: row.get(3)?,
        max_attempts: row.get(4)?,
        due_at: row.get(5)?,
        worker_id: row.get(6)?,
        result: result.map(raw).transpose()?,
        error: error.and_then(|text| serde_json::from_str(&text).ok()),
    })
}
