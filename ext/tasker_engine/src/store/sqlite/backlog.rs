//! Owns: what waits in the file, and how many workers there are for it.

use std::sync::Arc;

use rusqlite::Connection;

use crate::clock::{Micros, Tick};
use crate::error::Result;
use crate::store::{Backlog, Queue};

/// What waits, going through at most `limit` rows of each kind, of each queue an equal share.
pub(super) fn look(connection: &Connection, limit: usize, tick: Tick) -> Result<Backlog> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "WITH queues AS MATERIALIZED (SELECT DISTINCT namespace FROM templates) \
         SELECT namespace, max(?1 / (SELECT count(*) FROM queues), 1) FROM queues ORDER BY namespace",
    )?;
    let queues = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let queues = queues.collect::<rusqlite::Result<Vec<(String, i64)>>>()?;
    let mut backlog = Backlog::default();
    let mut tasks = std::collections::HashSet::new();
    for (namespace, share) in queues {
        let mut statement = connection.prepare_cached(
            "SELECT task_id, state_since FROM steps INDEXED BY steps_enqueued \
             WHERE state = 'enqueued' AND namespace = ?1 LIMIT ?2",
        )?;
        let mut rows = statement.query((&namespace, share))?;
        let mut queue = Queue { namespace: Arc::from(namespace.as_str()), steps: 0, oldest: None };
        while let Some(row) = rows.next()? {
            tasks.insert(row.get::<_, i64>(0)?);
            let since = Micros(row.get(1)?);
            queue.steps += 1;
            queue.oldest = Some(queue.oldest.map_or(since, |oldest| oldest.min(since)));
        }
        backlog.queues.push(queue);
    }
    let mut statement = connection
        .prepare_cached("SELECT task_id FROM steps INDEXED BY steps_due WHERE state = 'waiting_for_retry' LIMIT ?1")?;
    let mut rows = statement.query([limit])?;
    while let Some(row) = rows.next()? {
        tasks.insert(row.get(0)?);
    }
    backlog.tasks_active = tasks.len();
    backlog.workers = connection
        .prepare_cached("SELECT count(*) FROM workers WHERE lease_until > ?1")?
        .query_row([tick.0], |row| row.get(0))?;
    Ok(backlog)
}
