//! Owns: deleting what is over and old, by whichever worker gets the lock.

use sqlx::postgres::PgConnection;

use super::rows::{bigint, time};
use crate::clock::Micros;

/// Names the lock: "prune" in ASCII.
const LOCK: i64 = 0x0070_7275_6e65;

pub(super) const OLD: &str = "SELECT id FROM tasker.tasks WHERE completed_at < $1 ORDER BY completed_at LIMIT $2 \
    FOR UPDATE SKIP LOCKED";
pub(super) const DELETE: &str = "WITH j AS (DELETE FROM tasker.journal WHERE task_id = ANY($1)), \
    s AS (DELETE FROM tasker.steps WHERE task_id = ANY($1)) \
    DELETE FROM tasker.tasks WHERE id = ANY($1)";

/// Deletes finished tasks that ended before `before`, at most `limit` of them, with all that belongs to them.
pub(super) async fn prune(connection: &mut PgConnection, before: Micros, limit: usize) -> sqlx::Result<usize> {
    let mine: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(&mut *connection).await?;
    if !mine {
        return Ok(0);
    }
    let old: Vec<i64> =
        sqlx::query_scalar(OLD).bind(time(before)).bind(bigint(limit)).fetch_all(&mut *connection).await?;
    if !old.is_empty() {
        sqlx::query(DELETE).bind(&old).execute(&mut *connection).await?;
    }
    Ok(old.len())
}
