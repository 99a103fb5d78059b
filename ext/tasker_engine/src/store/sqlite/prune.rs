//! Owns: deleting what is over and old.

use rusqlite::{params, Connection};

use crate::clock::Micros;
use crate::error::Result;

/// Deletes finished tasks that ended before `before`, at most `limit` of them, with all that belongs to them.
pub(super) fn prune(connection: &Connection, before: Micros, limit: usize) -> Result<usize> {
    let ids: Vec<i64> = connection
        .prepare_cached("SELECT id FROM tasks WHERE completed_at < ?1 ORDER BY completed_at LIMIT ?2")?
        .query_map(params![before.0, i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for delete in [
        "DELETE FROM journal WHERE task_id = ?1",
        "DELETE FROM steps WHERE task_id = ?1",
        "DELETE FROM tasks WHERE id = ?1",
    ] {
        let mut delete = connection.prepare_cached(delete)?;
        for id in &ids {
            delete.execute([id])?;
        }
    }
    Ok(ids.len())
}
