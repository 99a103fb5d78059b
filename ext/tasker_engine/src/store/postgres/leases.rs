//! Owns: workers and their leases, by the server's clock. Nothing here waits for another transaction.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::Row;

use super::rows::{int, micros, time};
use crate::clock::Micros;
use crate::store::{Claim, Holdings, LapsedWorker, WorkerProcess};

/// Renews the lease and says what the worker holds. Without its row it fails with "division by zero", whatever else is in
/// the same message; with a row that somebody else has in hand, as one that could not be locked.
pub(super) const HOLD: &str = "WITH mine AS MATERIALIZED ( \
      SELECT worker_id FROM tasker.workers WHERE worker_id = $1 FOR UPDATE NOWAIT), \
    held AS (UPDATE tasker.workers w SET lease_until = clock_timestamp() + $2, tasks = $3, unbegun = $4 FROM mine \
      WHERE w.worker_id = mine.worker_id RETURNING 1) SELECT 1 / count(*) FROM held";

/// The SQLSTATE of a [`HOLD`] that found no row.
pub(super) const NO_ROW: &str = "22012";

pub(super) fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}

pub(super) async fn hold(
    connection: &mut PgConnection,
    worker_id: &str,
    lease: Duration,
    holdings: &Holdings,
) -> sqlx::Result<()> {
    let hold = sqlx::query(HOLD).bind(worker_id).bind(interval(lease));
    hold.bind(&holdings.tasks).bind(tokens(&holdings.unbegun)).execute(connection).await.map(drop)
}

pub(super) fn tokens(tokens: &[u64]) -> Vec<i64> {
    tokens.iter().map(|token| token.cast_signed()).collect()
}

pub(super) async fn register(
    connection: &mut PgConnection,
    worker: &WorkerProcess,
    lease: Duration,
    now: Micros,
) -> sqlx::Result<()> {
    let insert = "INSERT INTO tasker.workers (worker_id, host, pid, process_started, started_at, lease_until) \
        VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6) ON CONFLICT (worker_id) DO UPDATE SET host = excluded.host, \
        pid = excluded.pid, process_started = excluded.process_started, started_at = excluded.started_at, \
        lease_until = excluded.lease_until";
    let insert = sqlx::query(insert).bind(&*worker.worker_id).bind(&worker.host).bind(i64::from(worker.pid));
    let insert = insert.bind(&worker.process_started).bind(time(now)).bind(interval(lease));
    insert.execute(connection).await.map(drop)
}

pub(super) const RENEW: &str = "UPDATE tasker.workers SET lease_until = clock_timestamp() + $2 WHERE worker_id = $1 \
    RETURNING clock_timestamp() AS now";

/// Gives the server's time.
pub(super) async fn renew(
    connection: &mut PgConnection,
    worker_id: &str,
    lease: Duration,
) -> sqlx::Result<Option<Micros>> {
    let renewed = sqlx::query(RENEW).bind(worker_id).bind(interval(lease)).fetch_optional(connection).await?;
    renewed.map(|row| micros(&row, "now")).transpose()
}

pub(super) const LAPSED: &str = "SELECT worker_id, tasks, unbegun FROM tasker.workers \
    WHERE lease_until < clock_timestamp() OR worker_id = ANY($1) ORDER BY worker_id FOR UPDATE SKIP LOCKED";

pub(super) async fn lapsed(connection: &mut PgConnection, named: &[String]) -> sqlx::Result<Vec<LapsedWorker>> {
    let rows = sqlx::query(LAPSED).bind(named).fetch_all(connection).await?;
    let worker = |row: &PgRow| {
        Ok(LapsedWorker { worker_id: Arc::from(row.try_get::<&str, _>(0)?), holdings: holdings_at(row, 1)? })
    };
    rows.iter().map(worker).collect()
}

pub(super) const LOST: &str = "SELECT u.n FROM unnest($1::bigint[], $2::int[], $3::text[]) WITH ORDINALITY \
      AS u (task_id, position, token, n) \
    LEFT JOIN tasker.steps s ON s.task_id = u.task_id AND s.position = u.position AND s.state = 'in_progress' \
      AND s.span_id = u.token WHERE s.task_id IS NULL";

pub(super) async fn lost(connection: &mut PgConnection, claims: &[Claim]) -> sqlx::Result<Vec<Claim>> {
    let find = sqlx::query_scalar(LOST)
        .bind(claims.iter().map(|claim| claim.task_id).collect::<Vec<_>>())
        .bind(claims.iter().map(|claim| int(claim.position)).collect::<Vec<_>>())
        .bind(claims.iter().map(|claim| format!("{:016x}", claim.token)).collect::<Vec<_>>());
    let lost: Vec<i64> = find.fetch_all(connection).await?;
    Ok(lost.into_iter().filter_map(|n| claims.get(usize::try_from(n - 1).ok()?).copied()).collect())
}

pub(super) async fn holdings(connection: &mut PgConnection, worker_id: &str) -> sqlx::Result<Option<Holdings>> {
    let find = sqlx::query("SELECT tasks, unbegun FROM tasker.workers WHERE worker_id = $1").bind(worker_id);
    let row = find.fetch_optional(connection).await?;
    row.map(|row| holdings_at(&row, 0)).transpose()
}

fn holdings_at(row: &PgRow, column: usize) -> sqlx::Result<Holdings> {
    let unbegun: Vec<i64> = row.try_get(column + 1)?;
    Ok(Holdings { tasks: row.try_get(column)?, unbegun: unbegun.into_iter().map(i64::cast_unsigned).collect() })
}

pub(super) async fn deregister(connection: &mut PgConnection, workers: &[Arc<str>]) -> sqlx::Result<()> {
    let workers: Vec<String> = workers.iter().map(ToString::to_string).collect();
    let delete = sqlx::query("DELETE FROM tasker.workers WHERE worker_id = ANY($1)").bind(workers);
    delete.execute(connection).await.map(drop)
}

pub(super) async fn workers(connection: &mut PgConnection, host: &str) -> sqlx::Result<Vec<WorkerProcess>> {
    let list = "SELECT worker_id, pid, process_started FROM tasker.workers WHERE host = $1";
    let rows = sqlx::query(list).bind(host).fetch_all(connection).await?;
    let worker = |row: &PgRow| {
        Ok(WorkerProcess {
            worker_id: row.try_get::<&str, _>(0)?.into(),
            host: host.to_owned(),
            pid: u32::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default(),
            process_started: row.try_get(2)?,
        })
    };
    rows.iter().map(worker).collect()
}
