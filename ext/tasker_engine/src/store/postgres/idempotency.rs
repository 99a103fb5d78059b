//! Owns: finding tasks by the keys their callers gave them, one process at a time.

use sqlx::{PgConnection, Row};

use super::rows::{parsed, trace_id};
use crate::store::{Existing, IdempotencyKey};

/// The tasks that the keys name, in the order of the keys.
pub(super) async fn find(
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
