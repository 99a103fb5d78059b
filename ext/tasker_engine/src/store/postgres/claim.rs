//! Owns: what may be claimed, and what is due. Nothing here waits for another transaction.

use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::Row;

use super::load;
use super::rows::{bigint, count, time};
use super::write::Script;
use crate::clock::Micros;
use crate::store::catalogue::Catalogue;
use crate::store::{claim_order, Backlog, Candidate, Due, Loaded, Queue};

/// The most candidates looked at for each step that is wanted. Others may be at work on the first ones: while they are,
/// twice as many are looked at each time.
pub(super) const LOOK_AHEAD_MOST: usize = 64;

// The order is `store::claim_order`'s.
pub(super) const CLAIMABLE: &str = "SELECT s.task_id, s.position, s.priority, n.namespace \
    FROM (SELECT unnest($1::text[]) AS namespace UNION \
          SELECT namespace FROM tasker.templates WHERE cardinality($1::text[]) = 0) n \
    CROSS JOIN LATERAL (SELECT task_id, position, priority FROM tasker.steps \
      WHERE queued AND namespace = n.namespace AND task_id <> ALL ($3::bigint[]) \
      ORDER BY priority DESC, task_id, position LIMIT $2) s";

// Names their tasks for the rest of the transaction, if they are no more than $4: what follows in the same round trip
// loads them.
const CLAIMABLE_FEW: [&str; 2] = [
    "WITH found AS MATERIALIZED (",
    "), named AS MATERIALIZED (SELECT set_config('tasker.found', \
      CASE WHEN count(*) <= $4 THEN coalesce(array_agg(DISTINCT task_id), '{}') ELSE '{}' END::text, true) FROM found) \
    SELECT found.* FROM named LEFT JOIN found ON true",
];

/// What a session prepares for [`claimable`] and [`claimable_few`].
pub(super) fn prepare() -> String {
    let [with, named] = CLAIMABLE_FEW;
    format!(
        "PREPARE tasker_claimable (text[], bigint, bigint[]) AS {CLAIMABLE};\
         PREPARE tasker_claimable_few (text[], bigint, bigint[], bigint) AS {with}{CLAIMABLE}{named}"
    )
}

/// Enqueued steps, at most `limit` of each namespace. With `script`, which executes the prepared statement, in the same
/// round trip as what else stands there.
pub(super) async fn claimable(
    connection: &mut PgConnection,
    namespaces: &[String],
    limit: usize,
    except: &[i64],
    script: Option<&str>,
) -> sqlx::Result<Vec<Candidate>> {
    let rows = match script {
        Some(script) => sqlx::raw_sql(script).fetch_all(connection).await?,
        None => {
            let find = sqlx::query(CLAIMABLE).bind(namespaces).bind(bigint(limit)).bind(except);
            find.fetch_all(connection).await?
        }
    };
    candidates(&rows)
}

fn candidates(rows: &[PgRow]) -> sqlx::Result<Vec<Candidate>> {
    let step = |row: &PgRow| {
        Ok(Candidate {
            namespace: Arc::from(row.try_get::<&str, _>(3)?),
            priority: row.try_get(2)?,
            task_id: row.try_get(0)?,
            position: count(row, 1)?,
        })
    };
    let steps = rows.iter().map(step).collect::<sqlx::Result<Vec<_>>>()?;
    Ok(claim_order(steps, |step| step, |_, step| (step.task_id, step.position)))
}

/// As [`claimable`], with the tasks that nobody else has, locked and loaded, if all that there is are `limit` steps: all in
/// one round trip. `script` comes before.
pub(super) async fn claimable_few(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    namespaces: &[String],
    limit: usize,
    except: &[i64],
    mut script: Script,
) -> sqlx::Result<(Vec<Candidate>, Loaded)> {
    script.execute("tasker_claimable_few", |values| {
        values.texts(namespaces).int(bigint(limit + 1)).ints(except).int(bigint(limit));
    });
    let (found, loaded) = load::with_found(connection, catalogue, script).await?;
    Ok((candidates(&found)?, loaded))
}

pub(super) const DUE_TASKS: &str = "SELECT id FROM tasker.tasks WHERE waits_until <= $1 AND id <> ALL ($3::bigint[]) \
    ORDER BY waits_until, id LIMIT $2 FOR UPDATE SKIP LOCKED";

pub(super) const DUE_STEPS: &str = "SELECT s.task_id, s.position \
    FROM tasker.steps s JOIN tasker.tasks t ON t.id = s.task_id \
    WHERE s.due_at <= $1 AND s.state = 'waiting_for_retry' AND s.task_id <> ALL ($3::bigint[]) \
    ORDER BY s.due_at, s.task_id, s.position LIMIT $2 FOR UPDATE OF t SKIP LOCKED";

pub(super) async fn due(connection: &mut PgConnection, now: Micros, limit: usize, except: &[i64]) -> sqlx::Result<Due> {
    let limit = bigint(limit);
    let tasks = sqlx::query_scalar(DUE_TASKS).bind(time(now)).bind(limit).bind(except);
    let mut due = Due { tasks: tasks.fetch_all(&mut *connection).await?, ..Due::default() };
    let steps = sqlx::query(DUE_STEPS).bind(time(now)).bind(limit).bind(except);
    for row in steps.fetch_all(connection).await? {
        due.retries.push((row.try_get(0)?, count(&row, 1)?));
    }
    Ok(due)
}

pub(super) const NEXT_DUE: &str = "SELECT least( \
    (SELECT waits_until FROM tasker.tasks WHERE waits_until IS NOT NULL AND id <> ALL ($1::bigint[]) \
      ORDER BY waits_until LIMIT 1), \
    (SELECT due_at FROM tasker.steps WHERE due_at IS NOT NULL AND state = 'waiting_for_retry' \
      AND task_id <> ALL ($1::bigint[]) ORDER BY due_at LIMIT 1)) AS next_due";

pub(super) async fn next_due(connection: &mut PgConnection, except: &[i64]) -> sqlx::Result<Option<Micros>> {
    let row = sqlx::query(NEXT_DUE).bind(except).fetch_one(connection).await?;
    super::rows::optional_micros(&row, "next_due")
}

// One row for each queue; without any, one without a namespace.
pub(super) const BACKLOG: &str = "WITH queues AS MATERIALIZED (SELECT DISTINCT namespace FROM tasker.templates), \
    waiting AS MATERIALIZED (SELECT namespace, task_id, state_since FROM queues CROSS JOIN LATERAL \
      (SELECT task_id, state_since FROM tasker.steps WHERE queued AND namespace = queues.namespace \
        LIMIT (SELECT greatest($1 / greatest(count(*), 1), 1) FROM queues)) s), \
    dated AS MATERIALIZED (SELECT task_id FROM tasker.steps WHERE due_at IS NOT NULL LIMIT $1) \
    SELECT queues.namespace, count(waiting.task_id) AS enqueued, min(waiting.state_since) AS oldest, \
      (SELECT count(*) FROM (SELECT task_id FROM waiting UNION SELECT task_id FROM dated) active) AS active, \
      (SELECT count(*) FROM tasker.workers WHERE lease_until > clock_timestamp()) AS workers \
    FROM (VALUES (1)) one (one) LEFT JOIN queues ON true LEFT JOIN waiting USING (namespace) GROUP BY 1 ORDER BY 1";

pub(super) async fn backlog(connection: &mut PgConnection, limit: usize) -> sqlx::Result<Backlog> {
    let mut backlog = Backlog::default();
    for row in sqlx::query(BACKLOG).bind(bigint(limit)).fetch_all(connection).await? {
        let number = |column| row.try_get::<i64, _>(column).map(|count| usize::try_from(count).unwrap_or(0));
        (backlog.tasks_active, backlog.workers) = (number("active")?, number("workers")?);
        if let Some(namespace) = row.try_get::<Option<&str>, _>("namespace")? {
            let oldest = super::rows::optional_micros(&row, "oldest")?;
            backlog.queues.push(Queue { namespace: namespace.into(), steps: number("enqueued")?, oldest });
        }
    }
    Ok(backlog)
}
