//! Owns: one write transaction on the connection that writes.

use sqlx::{Executor, PgConnection, Row};
use uuid::Uuid;

use super::rows::{parsed, time, trace_id};
use super::writer::Writer;
use super::{apply, claim, load, prune, queue};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::store::catalogue::Catalogue;
use crate::store::{Backlog, Due, Enqueued, Existing, Held, IdempotencyKey, Inputs, Transaction, WorkerProcess};
use crate::template::Template;

pub(super) struct PostgresTransaction<'a> {
    writer: &'a mut Writer,
    catalogue: &'a Catalogue,
    /// The transaction's number, once it has written.
    xid: Option<String>,
    /// Whether it has begun at the server: it does with its first statement.
    begun: bool,
}

impl<'a> PostgresTransaction<'a> {
    pub(super) fn begin(writer: &'a mut Writer, catalogue: &'a Catalogue) -> Result<Self> {
        writer.connect()?;
        Ok(PostgresTransaction { writer, catalogue, xid: None, begun: false })
    }

    fn run<T>(&mut self, work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>) -> Result<T> {
        if !self.begun {
            self.writer.begin()?;
            self.begun = true;
        }
        self.writer.run(work)
    }
}

impl Drop for PostgresTransaction<'_> {
    fn drop(&mut self) {
        if self.begun && self.writer.is_connected() {
            if let Err(error) = self.writer.run(async |connection| connection.execute("ROLLBACK").await) {
                tracing::debug!(%error, "Rollback after a failed transaction");
            }
        }
    }
}

impl Transaction for PostgresTransaction<'_> {
    fn find(&mut self, task_uuid: Uuid) -> Result<Option<i64>> {
        let find = sqlx::query_scalar("SELECT id FROM tasker.tasks WHERE task_uuid = $1").bind(task_uuid);
        self.run(async |connection| find.fetch_optional(connection).await)
    }

    fn load(&mut self, task_ids: &[i64]) -> Result<Vec<Graph>> {
        let catalogue = self.catalogue;
        if self.begun || !self.writer.is_prepared() {
            return self.run(async |connection| load::graphs(connection, catalogue, task_ids).await);
        }
        self.begun = true;
        self.writer.run(async |connection| load::begin_with_graphs(connection, catalogue, task_ids).await)
    }

    fn find_idempotent(&mut self, keys: &[IdempotencyKey]) -> Result<Vec<Option<Existing>>> {
        self.run(async |connection| find_idempotent(connection, keys).await)
    }

    fn keep_template(&mut self, template: &Template, now: Micros) -> Result<i64> {
        self.run(async |connection| {
            let document = template.to_json();
            let insert = "INSERT INTO tasker.templates (namespace, name, version, created_at, document) \
                VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
            let insert = sqlx::query(insert).bind(&*template.namespace).bind(&*template.name).bind(&*template.version);
            insert.bind(time(now)).bind(&document).execute(&mut *connection).await?;
            queue::create(connection, &template.namespace).await?;
            let find = "SELECT id FROM tasker.templates \
                WHERE namespace = $1 AND name = $2 AND version = $3 AND md5(document) = md5($4)";
            let find = sqlx::query_scalar(find).bind(&*template.namespace).bind(&*template.name);
            find.bind(&*template.version).bind(&document).fetch_one(connection).await
        })
    }

    fn due(&mut self, now: Micros, limit: usize) -> Result<Due> {
        self.run(async |connection| claim::due(connection, now, limit).await)
    }

    fn next_due(&mut self) -> Result<Option<Micros>> {
        self.run(async |connection| claim::next_due(connection).await)
    }

    fn backlog(&mut self, limit: usize) -> Result<Backlog> {
        self.run(async |connection| claim::backlog(connection, limit).await)
    }

    fn enqueued(&mut self, namespaces: &[String], limit: usize) -> Result<Enqueued> {
        self.run(async |connection| claim::enqueued(connection, namespaces, limit).await)
    }

    fn inputs(&mut self, steps: &[(&Graph, usize)]) -> Result<Vec<Inputs>> {
        self.run(async |connection| load::inputs(connection, steps).await)
    }

    fn renew(&mut self, worker_id: &str, held: &[Held], until: Micros) -> Result<Vec<Held>> {
        self.run(async |connection| claim::renew(connection, worker_id, held, until).await)
    }

    fn register_worker(&mut self, worker: &WorkerProcess, now: Micros) -> Result<()> {
        let insert = "INSERT INTO tasker.workers (worker_id, host, pid, process_started, started_at) \
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (worker_id) DO UPDATE SET host = excluded.host, \
            pid = excluded.pid, process_started = excluded.process_started, started_at = excluded.started_at";
        let insert = sqlx::query(insert).bind(&*worker.worker_id).bind(&worker.host).bind(i64::from(worker.pid));
        let insert = insert.bind(&worker.process_started).bind(time(now));
        self.run(async |connection| insert.execute(connection).await.map(drop))
    }

    fn forget_worker(&mut self, worker_id: &str) -> Result<()> {
        self.run(async |connection| claim::forget(connection, worker_id).await)
    }

    fn workers(&mut self, host: &str) -> Result<Vec<WorkerProcess>> {
        self.run(async |connection| workers(connection, host).await)
    }

    fn prune(&mut self, before: Micros, limit: usize) -> Result<usize> {
        self.run(async |connection| prune::prune(connection, before, limit).await)
    }

    fn apply(&mut self, graphs: &mut [Graph]) -> Result<()> {
        let mut failed = None;
        let xid = self.run(async |connection| match apply::graphs(connection, graphs).await {
            Ok(xid) => Ok(xid),
            Err(apply::Failed::Here(error)) => {
                failed = Some(error);
                Ok(None)
            }
            Err(apply::Failed::There(error)) => Err(error),
        })?;
        self.xid = xid.or(self.xid.take());
        failed.map_or(Ok(()), Err)
    }

    /// Commits. When the answer is lost with the connection, the server is asked, on a new one, how it ended: what
    /// was acknowledged happened, what was refused did not.
    fn commit(mut self: Box<Self>) -> Result<()> {
        if !std::mem::take(&mut self.begun) {
            return Ok(());
        }
        let committed = self.writer.run(async |connection| connection.execute("COMMIT").await.map(drop));
        let (Err(error), Some(xid)) = (&committed, &self.xid) else { return committed };
        if self.writer.is_connected() {
            return committed;
        }
        match self.writer.was_committed(xid) {
            Some(true) => Ok(()),
            Some(false) => committed,
            None => Err(Error::Store(format!(
                "{error}; whether the transaction {xid} was committed could not be found out"
            ))),
        }
    }
}

async fn find_idempotent(
    connection: &mut PgConnection,
    keys: &[IdempotencyKey],
) -> sqlx::Result<Vec<Option<Existing>>> {
    let column = |of: fn(&IdempotencyKey) -> &str| keys.iter().map(|key| of(key).to_owned()).collect::<Vec<_>>();
    let namespaces = column(|key| &key.namespace);
    let names = column(|key| &key.name);
    let texts = column(|key| &key.key);
    // Two transactions with the same new key: the second waits here, and then sees the first one's task. In order,
    // so that no two wait for each other.
    sqlx::query(
        "SELECT pg_advisory_xact_lock(h) FROM (SELECT DISTINCT hashtextextended(concat_ws('/', namespace, name, key), 0) \
         AS h FROM unnest($1::text[], $2::text[], $3::text[]) AS u (namespace, name, key) ORDER BY 1) locks",
    )
    .bind(&namespaces)
    .bind(&names)
    .bind(&texts)
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query(
        "SELECT u.n, t.task_uuid, t.correlation_id, t.trace_id \
         FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS u (namespace, name, key, n) \
         JOIN tasker.tasks t ON t.namespace = u.namespace AND t.name = u.name AND t.idempotency_key = u.key \
         WHERE t.idempotency_key IS NOT NULL",
    )
    .bind(&namespaces)
    .bind(&names)
    .bind(&texts)
    .fetch_all(connection)
    .await?;
    let mut found = vec![None; keys.len()];
    for row in &rows {
        let number: i64 = row.try_get("n")?;
        let existing = Existing {
            task_uuid: row.try_get("task_uuid")?,
            correlation_id: row.try_get("correlation_id")?,
            trace_id: parsed(row, "trace_id", trace_id)?,
        };
        if let Some(slot) = usize::try_from(number - 1).ok().and_then(|at| found.get_mut(at)) {
            *slot = Some(existing);
        }
    }
    Ok(found)
}

async fn workers(connection: &mut PgConnection, host: &str) -> sqlx::Result<Vec<WorkerProcess>> {
    let list = "SELECT worker_id, pid, process_started FROM tasker.workers WHERE host = $1";
    let rows = sqlx::query(list).bind(host).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(WorkerProcess {
                worker_id: row.try_get::<&str, _>("worker_id")?.into(),
                host: host.to_owned(),
                pid: u32::try_from(row.try_get::<i64, _>("pid")?).unwrap_or_default(),
                process_started: row.try_get("process_started")?,
            })
        })
        .collect()
}
