//! Owns: the rows of groups and their deliveries in the file.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{params, Connection, Row};

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::store::groups::{GroupState, GroupView, Position, Put, Settlement, Then, COUNTED, LONGEST_LEASE, WOKEN};

/// `due_at` of a delivery that waits for an earlier one of its key.
pub(super) const PARKED: i64 = i64::MAX;

/// A group's row.
pub(super) struct Stored {
    pub(super) state: GroupState,
    pub(super) holder: Option<String>,
    pub(super) held_until: i64,
}

impl Stored {
    /// For how long it is another one's than `holder`'s at the most; `None`: it may be his.
    pub(super) fn others(&self, holder: &str, now: i64) -> Option<Duration> {
        let left = self.held_until.saturating_sub(now);
        let held = self.holder.as_deref().is_some_and(|other| other != holder) && left > 0;
        // A lease is never longer: that is one of another time of the clock.
        (held && left <= micros(LONGEST_LEASE)).then(|| Duration::from_micros(left.unsigned_abs()))
    }
}

pub(super) fn stored(connection: &Connection, group: &str) -> Result<Option<Stored>> {
    let find = "SELECT cursor_id, patterns, key_order, holder, ifnull(held_until, 0) FROM event_groups WHERE name = ?1";
    let mut find = connection.prepare_cached(find)?;
    let mut rows = find.query([group])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let state = GroupState {
        cursor: Position { xid: 0, row: row.get(0)? },
        patterns: patterns(&row.get::<_, String>(1)?)?,
        key_order: row.get(2)?,
    };
    Ok(Some(Stored { state, holder: row.get(3)?, held_until: row.get(4)? }))
}

fn patterns(text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text).map_err(|error| Error::Refused(format!("a group's patterns make no sense: {error}")))
}

fn unknown(group: &str) -> Error {
    Error::NotFound(format!("there is no event group {group:?}; TaskerCore.event_groups lists those there are"))
}

pub(super) fn must_exist(connection: &Connection, group: &str) -> Result<()> {
    let found = connection.prepare_cached("SELECT 1 FROM event_groups WHERE name = ?1")?.exists([group])?;
    if found {
        Ok(())
    } else {
        Err(unknown(group))
    }
}

/// `limit`, as SQLite counts.
pub(super) fn number(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Arc<str>>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(Arc::from))
}

pub(super) fn write_rows(connection: &Connection, group: &str, now: i64, settlement: &Settlement) -> Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO event_deliveries (group_name, event_row, key, attempts, due_at, dead, error) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (group_name, event_row) DO UPDATE SET \
         attempts = excluded.attempts, due_at = excluded.due_at, dead = excluded.dead, \
         error = ifnull(excluded.error, error)",
    )?;
    for Put { row, key, attempts, then, error } in &settlement.put {
        let (due_at, dead) = match then {
            Then::After(pause) => (now.saturating_add(micros(*pause)).min(PARKED - 1), false),
            Then::Parked => (PARKED, false),
            Then::Dead => (now, true),
        };
        put.execute(params![group, row, key.as_deref(), attempts, due_at, dead, error])?;
    }
    let mut done =
        connection.prepare_cached("DELETE FROM event_deliveries WHERE group_name = ?1 AND event_row = ?2")?;
    for row in &settlement.done {
        done.execute(params![group, row])?;
    }
    let mut wake = connection.prepare_cached(
        "UPDATE event_deliveries SET due_at = ?3 WHERE group_name = ?1 AND event_row IN (SELECT event_row \
         FROM event_deliveries WHERE group_name = ?1 AND key = ?2 AND NOT dead AND due_at = ?4 \
         ORDER BY event_row LIMIT ?5)",
    )?;
    for key in &settlement.wake {
        wake.execute(params![group, &**key, now, PARKED, number(WOKEN)])?;
    }
    Ok(())
}

pub(super) fn view(connection: &Connection, group: &str, now: i64) -> Result<Option<GroupView>> {
    let Some(stored) = stored(connection, group)? else { return Ok(None) };
    let left = stored.held_until.saturating_sub(now);
    let mut behind = connection.prepare_cached(
        "SELECT name, count(*), min(fired_at) FROM (SELECT name, fired_at FROM events WHERE id > ?1 ORDER BY id \
         LIMIT ?2) GROUP BY name",
    )?;
    let behind = behind.query_map(params![stored.state.cursor.row, number(COUNTED)], |row| {
        Ok((row.get(0)?, row.get(1)?, Micros(row.get(2)?)))
    })?;
    let mut count = connection.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM event_deliveries WHERE group_name = ?1 AND dead = ?2 LIMIT ?3)",
    )?;
    let mut count = |dead: bool| count.query_row(params![group, dead, number(COUNTED)], |row| row.get(0));
    let began = "SELECT began_at FROM event_groups WHERE name = ?1";
    Ok(Some(GroupView {
        name: group.to_owned(),
        behind: behind.collect::<rusqlite::Result<_>>()?,
        retrying: count(false)?,
        dead: count(true)?,
        began_at: Micros(connection.query_row(began, [group], |row| row.get(0))?),
        patterns: stored.state.patterns,
        key_order: stored.state.key_order,
        holder: stored.holder.filter(|_| left > 0).map(|holder| (holder, Duration::from_micros(left.unsigned_abs()))),
    }))
}
