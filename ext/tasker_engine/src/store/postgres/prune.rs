//! Owns: deleting what is over and old, by whichever worker gets the lock.

use sqlx::postgres::PgConnection;

use super::rows::{bigint, time};
use crate::clock::Micros;

/// Names the lock: "prune" in ASCII.
const LOCK: i64 = 0x0070_7275_6e65;

pub(super) const OLD: &str = "SELECT id FROM tasker.tasks WHERE completed_at < $1 ORDER BY completed_at LIMIT $2 \
    FOR UPDATE SKIP LOCKED";
pub(super) const DELETE: &str = "WITH st AS (DELETE FROM tasker.step_transitions WHERE task_id = ANY($1)), \
    tt AS (DELETE FROM tasker.task_transitions WHERE task_id = ANY($1)), \
    s AS (DELETE FROM tasker.steps WHERE task_id = ANY($1)) \
    DELETE FROM tasker.tasks WHERE id = ANY($1)";
pub(super) const WORKERS: &str = "DELETE FROM tasker.workers w WHERE started_at < $1 AND NOT EXISTS \
    (SELECT 1 FROM tasker.steps s WHERE s.due_at IS NOT NULL AND s.worker_id = w.worker_id)";
const ARCHIVES: &str = "SELECT queue_name FROM pgmq.meta \
    WHERE queue_name LIKE '%\\_steps' OR queue_name LIKE '%\\_domain\\_events'";

/// Deletes finished tasks that ended before `before`, at most `limit` of them, with all that belongs to them; of each
/// archive of our queues as many messages.
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
    sqlx::query(WORKERS).bind(time(before)).execute(&mut *connection).await?;
    let queues: Vec<String> = sqlx::query_scalar(ARCHIVES).fetch_all(&mut *connection).await?;
    for queue in queues {
        // A queue's name is checked where it is made: lower-case letters, digits, `_`.
        let delete = format!(
            "DELETE FROM pgmq.\"a_{queue}\" WHERE msg_id IN \
             (SELECT msg_id FROM pgmq.\"a_{queue}\" WHERE archived_at < $1 ORDER BY archived_at LIMIT $2)"
        );
        sqlx::query(&delete).bind(time(before)).bind(bigint(limit)).persistent(false).execute(&mut *connection).await?;
    }
    Ok(old.len())
}
