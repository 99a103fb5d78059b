//! Owns: domain events in their table: writing them, and deleting those that are old.

use std::sync::Arc;

use rusqlite::{params, Connection};
use uuid::fmt::Hyphenated;
use uuid::Uuid;

use crate::clock::Micros;
use crate::error::Result;
use crate::event::DomainEvent;

const INSERT: &str =
    "INSERT INTO events (event_id, namespace, name, key, task_uuid, step_uuid, correlation_id, fired_at, \
    traceparent, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// The oldest events, of which those go that are old enough and that no group still has to deal with. What such groups keep
/// does not hold up the others.
const PRUNE: &str = "DELETE FROM events WHERE id IN ( \
    SELECT id FROM (SELECT id, fired_at FROM events ORDER BY id LIMIT ?2 + (SELECT count(*) FROM event_deliveries)) \
    WHERE fired_at < ?1 AND id NOT IN (SELECT event_row FROM event_deliveries) ORDER BY id LIMIT ?2)";

/// Writes events, in their order.
pub(super) fn write(connection: &Connection, events: &[Arc<DomainEvent>]) -> Result<()> {
    let mut statement = connection.prepare_cached(INSERT)?;
    for event in events {
        let metadata = &event.metadata;
        let mut ids = [[0; Hyphenated::LENGTH]; 4];
        let [event_id, task, step, correlation] = &mut ids;
        statement.execute(params![
            text(Some(event.event_id), event_id),
            &*metadata.namespace,
            &*event.event_name,
            event.key.as_deref(),
            text(metadata.task_uuid, task),
            text(metadata.step_uuid, step),
            text(metadata.correlation_id, correlation),
            metadata.fired_at.0,
            event.traceparent(),
            event.message(),
        ])?;
    }
    Ok(())
}

/// Whether some group follows events. Nobody else need be woken for them.
pub(super) fn are_followed(connection: &Connection) -> Result<bool> {
    let look = "SELECT EXISTS (SELECT 1 FROM event_groups)";
    Ok(connection.prepare_cached(look)?.query_row([], |row| row.get(0))?)
}

/// Deletes events that were fired before `before`, at most `limit` of them.
pub(super) fn prune(connection: &Connection, before: Micros, limit: usize) -> Result<usize> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX / 2);
    Ok(connection.prepare_cached(PRUNE)?.execute(params![before.0, limit])?)
}

fn text(id: Option<Uuid>, buffer: &mut [u8; Hyphenated::LENGTH]) -> Option<&str> {
    id.map(|id| &*id.hyphenated().encode_lower(buffer))
}
