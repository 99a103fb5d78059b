//! Owns: reading committed tasks for whoever asks, on connections of a pool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{Executor, Row};
use tokio::runtime::{Builder, Handle, Runtime};
use uuid::Uuid;

use super::listen::Listener;
use super::load;
use super::rows::{count, micros, optional_micros};
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::state::TaskState;
use crate::store::catalogue::Catalogue;
use crate::store::{journal, Connections, OnEnd, Reader, StepView, TaskView, TransitionView};

/// How long a caller waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long one that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(300);

pub(super) struct PostgresReader {
    // The pool's connections are driven by it: one thread, which also listens.
    runtime: Option<Runtime>,
    pool: PgPool,
    settings: Arc<Settings>,
    catalogue: Arc<Catalogue>,
    listener: Arc<Listener>,
    /// Whether the connection that writes is there.
    writer: Arc<AtomicBool>,
}

impl PostgresReader {
    pub(super) fn open(
        settings: &Arc<Settings>,
        catalogue: Arc<Catalogue>,
        listener: Arc<Listener>,
        writer: Arc<AtomicBool>,
    ) -> Result<PostgresReader> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("tasker-postgres").enable_all().build();
        let runtime = runtime.map_err(|error| Error::Internal(format!("no runtime for PostgreSQL: {error}")))?;
        // One more than read: the one that listens.
        let options = PgPoolOptions::new()
            .max_connections(settings.pool_size + u32::from(settings.listens()))
            .acquire_timeout(ACQUIRE)
            .idle_timeout(IDLE);
        let pool = {
            let _inside = runtime.enter();
            options.connect_lazy_with(settings.options.clone())
        };
        Ok(PostgresReader { runtime: Some(runtime), pool, settings: Arc::clone(settings), catalogue, listener, writer })
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref().map(Runtime::handle)
    }

    /// Reads on a connection of the pool.
    pub(super) fn read<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        self.read_in(self.settings.begin_read(), work)
    }

    fn read_in<T>(
        &self,
        begin: Option<&'static str>,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        self.on_connection(async |connection| {
            let Some(begin) = begin else { return work(connection).await };
            connection.execute(begin).await?;
            let found = work(connection).await;
            connection.execute("ROLLBACK").await?;
            found
        })
    }

    /// Does something with a connection of the pool.
    pub(super) fn on_connection<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let runtime = self.runtime().ok_or_else(|| Error::Stopped("the store is closed".into()))?;
        runtime.block_on(async {
            let mut connection = self.pool.acquire().await?;
            work(&mut connection).await
        })
    }
}

impl Drop for PostgresReader {
    fn drop(&mut self) {
        // Whoever drops it may itself be in a runtime, which may not wait for another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn unknown(task_uuid: Uuid) -> Error {
    Error::NotFound(format!("there is no task {task_uuid} in this database"))
}

pub(super) const TASK: &str = "SELECT id, template_id, namespace, name, version, state, priority, correlation_id, \
    parent_correlation_id, idempotency_key, trace_id, root_span_id, created_at, run_at, completed_at, \
    context::text AS context FROM tasker.tasks WHERE task_uuid = $1";
pub(super) const STEPS: &str =
    "SELECT step_uuid, name, state, attempts, max_attempts, due_at, worker_id, result::text AS result, \
    error::text AS error, position FROM tasker.steps WHERE task_id = $1 ORDER BY position";
pub(super) const JOURNAL: &str = "SELECT at, moves::text AS moves FROM tasker.journal WHERE task_id = $1 ORDER BY seq";

impl Reader for PostgresReader {
    fn task(&self, task_uuid: Uuid) -> Result<TaskView> {
        let begin = Some(self.settings.begin_snapshot());
        self.read_in(begin, async |connection| task(connection, &self.catalogue, task_uuid).await)
    }

    fn state(&self, task_uuid: Uuid) -> Result<TaskState> {
        self.read(async |connection| {
            let state = sqlx::query_scalar::<_, String>("SELECT state FROM tasker.tasks WHERE task_uuid = $1");
            let state = state.bind(task_uuid).fetch_optional(&mut *connection).await?;
            let state = state.ok_or_else(|| unknown(task_uuid))?;
            Ok(TaskState::stored(&state))
        })
    }

    fn ended(&self, tasks: &[Uuid]) -> Result<Vec<Uuid>> {
        self.read(async |connection| {
            let find = "SELECT task_uuid FROM tasker.tasks WHERE task_uuid = ANY($1) AND completed_at IS NOT NULL";
            Ok(sqlx::query_scalar(find).bind(tasks).fetch_all(connection).await?)
        })
    }

    fn transitions(&self, task_uuid: Uuid) -> Result<Vec<TransitionView>> {
        self.read_in(Some(self.settings.begin_snapshot()), async |connection| {
            let find =
                sqlx::query_as("SELECT id, correlation_id FROM tasker.tasks WHERE task_uuid = $1").bind(task_uuid);
            let task: Option<(i64, Uuid)> = find.fetch_optional(&mut *connection).await?;
            let (id, correlation_id) = task.ok_or_else(|| unknown(task_uuid))?;
            let names =
                sqlx::query_scalar("SELECT name FROM tasker.steps WHERE task_id = $1 ORDER BY position").bind(id);
            let names: Vec<String> = names.fetch_all(&mut *connection).await?;
            let rows = sqlx::query(JOURNAL).bind(id).fetch_all(&mut *connection).await?;
            let row = |row: &PgRow| Ok((micros(row, "at")?, row.try_get("moves")?));
            let rows: Vec<_> = rows.iter().map(row).collect::<sqlx::Result<_>>()?;
            journal::transitions(&rows, &names, &correlation_id.to_string())
        })
    }

    fn count_tasks(&self) -> Result<Vec<(String, i64)>> {
        self.read(async |connection| {
            let count = "SELECT state, count(*) AS count FROM tasker.tasks GROUP BY state";
            let rows = sqlx::query(count).fetch_all(&mut *connection).await?;
            let pair = |row: &PgRow| Ok((row.try_get("state")?, row.try_get("count")?));
            Ok(rows.iter().map(pair).collect::<sqlx::Result<_>>()?)
        })
    }

    fn read_templates(&self, namespace: &str, name: &str, catalogue: &Catalogue) -> Result<()> {
        self.read(async |connection| {
            let list = "SELECT id FROM tasker.templates WHERE namespace = $1 AND name = $2 ORDER BY id";
            let ids: Vec<i64> = sqlx::query_scalar(list).bind(namespace).bind(name).fetch_all(&mut *connection).await?;
            for id in ids {
                // An old version that cannot be read must not stand in the way of the others.
                match load::template(connection, catalogue, id).await {
                    Err(error @ sqlx::Error::Decode(_)) => {
                        tracing::warn!(%error, namespace, name, "A stored template cannot be read; passing it over");
                    }
                    other => drop(other?),
                }
            }
            Ok(())
        })
    }

    // Its runtime keeps threads for that.
    fn aside(&self, work: Box<dyn FnOnce() + Send>) -> Result<()> {
        let runtime = self.runtime().ok_or_else(|| Error::Stopped("the store is closed".into()))?;
        drop(runtime.spawn_blocking(work));
        Ok(())
    }

    fn connections(&self) -> Connections {
        let pooled = self.pool.size() as usize;
        let listening = usize::from(self.listener.is_connected());
        Connections {
            open: pooled + usize::from(self.writer.load(Ordering::Relaxed)),
            reading: pooled.saturating_sub(self.pool.num_idle() + listening),
            max: 1 + usize::from(self.settings.listens()) + self.settings.pool_size as usize,
        }
    }

    fn watch_ends(&self, on_end: &OnEnd) -> bool {
        let runtime = self.runtime().filter(|_| self.settings.listens());
        runtime.is_some_and(|runtime| self.listener.on_end(runtime, &self.pool, on_end))
    }
}

async fn task(connection: &mut PgConnection, catalogue: &Catalogue, task_uuid: Uuid) -> Result<TaskView> {
    let row = sqlx::query(TASK).bind(task_uuid).fetch_optional(&mut *connection).await?;
    let row = row.ok_or_else(|| unknown(task_uuid))?;
    let template = load::template(connection, catalogue, row.try_get("template_id")?).await?;
    let id: i64 = row.try_get("id")?;
    let steps = sqlx::query(STEPS).bind(id).fetch_all(connection).await?;
    let uuid = |column: &str| row.try_get::<Uuid, _>(column).map(|uuid| uuid.to_string());
    let parent: Option<Uuid> = row.try_get("parent_correlation_id")?;
    Ok(TaskView {
        task_uuid: task_uuid.to_string(),
        namespace: row.try_get("namespace")?,
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        state: row.try_get("state")?,
        priority: row.try_get("priority")?,
        correlation_id: uuid("correlation_id")?,
        parent_correlation_id: parent.map(|uuid| uuid.to_string()),
        idempotency_key: row.try_get("idempotency_key")?,
        trace_id: row.try_get("trace_id")?,
        root_span_id: row.try_get("root_span_id")?,
        created_at: micros(&row, "created_at")?.0,
        run_at: optional_micros(&row, "run_at")?.map(|at| at.0),
        completed_at: optional_micros(&row, "completed_at")?.map(|at| at.0),
        context: raw(row.try_get("context")?)?,
        steps: steps
            .iter()
            .map(|row| {
                let position: usize = count(row, "position")?;
                let handler = template.steps.get(position).map(|step| step.handler.to_string()).unwrap_or_default();
                step(row, handler)
            })
            .collect::<Result<_>>()?,
    })
}

fn step(row: &PgRow, handler: String) -> Result<StepView> {
    let error: Option<&str> = row.try_get("error")?;
    let result: Option<String> = row.try_get("result")?;
    Ok(StepView {
        step_uuid: row.try_get::<Uuid, _>("step_uuid")?.to_string(),
        name: row.try_get("name")?,
        handler,
        state: row.try_get("state")?,
        attempts: count(row, "attempts")?,
        max_attempts: count(row, "max_attempts")?,
        due_at: optional_micros(row, "due_at")?.map(|at| at.0),
        worker_id: row.try_get("worker_id")?,
        result: result.map(raw).transpose()?,
        error: error.and_then(|text| serde_json::from_str(text).ok()),
    })
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|error| Error::Store(format!("a stored value is not JSON: {error}")))
}
