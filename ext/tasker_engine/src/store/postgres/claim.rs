//! Owns: what may be claimed, what is due, and who holds what. Nothing here waits for another transaction.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::Row;

use super::queue;
use super::rows::{bigint, count, int, time};
use crate::clock::Micros;
use crate::store::{in_turn, Backlog, Candidate, Due, Enqueued, Held};

/// Candidates looked at for each step that is wanted: others may be at work on the first ones.
const LOOK_AHEAD: i64 = 2;

// The order is `store::in_turn`'s. The last row says how many there were, whether or not others are at work on them.
pub(super) const ENQUEUED: &str = "WITH candidates AS MATERIALIZED ( \
      SELECT s.task_id, s.position, s.priority, n.namespace, \
        row_number() OVER (PARTITION BY n.namespace, s.priority ORDER BY s.task_id, s.position) AS turn \
      FROM (SELECT unnest($1::text[]) AS namespace UNION \
            SELECT namespace FROM tasker.templates WHERE cardinality($1::text[]) = 0) n \
      CROSS JOIN LATERAL (SELECT task_id, position, priority FROM tasker.steps \
        WHERE state = 'enqueued' AND namespace = n.namespace ORDER BY priority DESC, task_id, position LIMIT $3) s), \
    mine AS MATERIALIZED ( \
      SELECT c.* FROM candidates c JOIN tasker.tasks t ON t.id = c.task_id \
      ORDER BY c.priority DESC, c.turn, c.task_id, c.position LIMIT $2 FOR UPDATE OF t SKIP LOCKED) \
    SELECT task_id, position, priority, namespace, turn FROM mine UNION ALL \
    SELECT 0, -1, 0, '', count(*) FROM candidates";

/// Enqueued steps whose tasks this transaction holds from here on.
pub(super) async fn enqueued(
    connection: &mut PgConnection,
    namespaces: &[String],
    limit: usize,
) -> sqlx::Result<Enqueued> {
    let limit = bigint(limit);
    let rows = sqlx::query(ENQUEUED)
        .bind(namespaces)
        .bind(limit)
        .bind(limit.saturating_mul(LOOK_AHEAD))
        .fetch_all(connection)
        .await?;
    let mut steps = Vec::with_capacity(rows.len());
    let mut there: i64 = 0;
    for row in &rows {
        if row.try_get::<i32, _>("position")? < 0 {
            there = row.try_get("turn")?;
            continue;
        }
        steps.push(Candidate {
            namespace: Arc::from(row.try_get::<&str, _>("namespace")?),
            priority: row.try_get("priority")?,
            task_id: row.try_get("task_id")?,
            position: count(row, "position")?,
        });
    }
    let more = there > bigint(steps.len());
    Ok(Enqueued { steps: in_turn(steps, |step| step, |_, step| (step.task_id, step.position)), more })
}

pub(super) const DUE_TASKS: &str =
    "SELECT id FROM tasker.tasks WHERE waits_until <= $1 ORDER BY waits_until, id LIMIT $2 \
    FOR UPDATE SKIP LOCKED";
pub(super) const DUE_STEPS: &str = "SELECT s.task_id, s.position, s.state = 'in_progress' AS leased \
    FROM tasker.steps s JOIN tasker.tasks t ON t.id = s.task_id WHERE s.due_at <= $1 \
    ORDER BY s.due_at, s.task_id, s.position LIMIT $2 FOR UPDATE OF t SKIP LOCKED";

pub(super) async fn due(connection: &mut PgConnection, now: Micros, limit: usize) -> sqlx::Result<Due> {
    let limit = bigint(limit);
    let mut due = Due {
        tasks: sqlx::query_scalar(DUE_TASKS).bind(time(now)).bind(limit).fetch_all(&mut *connection).await?,
        ..Due::default()
    };
    for row in sqlx::query(DUE_STEPS).bind(time(now)).bind(limit).fetch_all(connection).await? {
        let step = (row.try_get("task_id")?, count(&row, "position")?);
        if row.try_get("leased")? { &mut due.leases } else { &mut due.retries }.push(step);
    }
    Ok(due)
}

pub(super) const NEXT_DUE: &str =
    "SELECT least((SELECT min(waits_until) FROM tasker.tasks WHERE waits_until IS NOT NULL), \
    (SELECT min(due_at) FROM tasker.steps WHERE due_at IS NOT NULL)) AS next_due";

pub(super) async fn next_due(connection: &mut PgConnection) -> sqlx::Result<Option<Micros>> {
    let row = sqlx::query(NEXT_DUE).fetch_one(connection).await?;
    super::rows::optional_micros(&row, "next_due")
}

pub(super) const BACKLOG: &str = "WITH waiting AS MATERIALIZED \
      (SELECT task_id, state_since FROM tasker.steps WHERE state = 'enqueued' LIMIT $1), \
    dated AS MATERIALIZED (SELECT task_id FROM tasker.steps WHERE due_at IS NOT NULL LIMIT $1) \
    SELECT count(*) AS enqueued, min(state_since) AS oldest, \
      (SELECT count(*) FROM (SELECT task_id FROM waiting UNION SELECT task_id FROM dated) active) AS active \
    FROM waiting";

pub(super) async fn backlog(connection: &mut PgConnection, limit: usize) -> sqlx::Result<Backlog> {
    let row = sqlx::query(BACKLOG).bind(bigint(limit)).fetch_one(connection).await?;
    let number = |column| row.try_get::<i64, _>(column).map(|count| usize::try_from(count).unwrap_or(0));
    Ok(Backlog {
        tasks_active: number("active")?,
        steps_enqueued: number("enqueued")?,
        oldest: super::rows::optional_micros(&row, "oldest")?,
    })
}

// A step that somebody else has locked is being cancelled, or the like: its next renewal will tell.
pub(super) const RENEW: &str = "WITH held AS ( \
      SELECT u.n, s.task_id, s.position FROM unnest($2::bigint[], $3::int[], $4::int[]) WITH ORDINALITY \
        AS u (task_id, position, attempt, n) \
      JOIN tasker.steps s ON s.task_id = u.task_id AND s.position = u.position \
      WHERE s.state = 'in_progress' AND s.attempts = u.attempt AND s.worker_id = $1), \
    mine AS MATERIALIZED ( \
      SELECT s.task_id, s.position FROM tasker.steps s JOIN held USING (task_id, position) \
      FOR UPDATE OF s SKIP LOCKED), \
    renewed AS ( \
      UPDATE tasker.steps s SET due_at = $5 FROM mine WHERE s.task_id = mine.task_id AND s.position = mine.position \
      RETURNING s.namespace, s.message_id) \
    SELECT n, NULL AS namespace, NULL::bigint AS message_id FROM held \
    UNION ALL SELECT 0, namespace, message_id FROM renewed";

/// Renews leases, and the messages with them; gives those that are lost.
pub(super) async fn renew(
    connection: &mut PgConnection,
    worker_id: &str,
    held: &[Held],
    until: Micros,
) -> sqlx::Result<Vec<Held>> {
    let rows = sqlx::query(RENEW)
        .bind(worker_id)
        .bind(held.iter().map(|claim| claim.task_id).collect::<Vec<_>>())
        .bind(held.iter().map(|claim| int(claim.position)).collect::<Vec<_>>())
        .bind(held.iter().map(|claim| int(claim.attempt)).collect::<Vec<_>>())
        .bind(time(until))
        .fetch_all(&mut *connection)
        .await?;
    let mut kept = HashSet::new();
    let mut hidden = queue::Hidden::default();
    for row in &rows {
        match row.try_get::<i64, _>("n")? {
            0 => hidden.push(row.try_get("namespace")?, row.try_get("message_id")?, until),
            number => drop(kept.insert(number)),
        }
    }
    hidden.apply(connection).await?;
    Ok((1..).zip(held).filter(|(number, _)| !kept.contains(number)).map(|(_, claim)| *claim).collect())
}

/// Leaves a worker's leases due at once.
pub(super) async fn forget(connection: &mut PgConnection, worker_id: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE tasker.steps s SET due_at = 'epoch' FROM ( \
           SELECT task_id, position FROM tasker.steps WHERE due_at IS NOT NULL AND state = 'in_progress' \
           AND worker_id = $1 FOR UPDATE SKIP LOCKED) mine \
         WHERE s.task_id = mine.task_id AND s.position = mine.position",
    )
    .bind(worker_id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM tasker.workers WHERE worker_id = $1").bind(worker_id).execute(connection).await?;
    Ok(())
}
