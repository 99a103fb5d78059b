//! Owns: how groups and their deliveries are written in a row and read from it.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::Row;

use super::sql;
use crate::error::{Error, Result};
use crate::store::groups::{GroupState, GroupView, Position, Put, Then, COUNTED};
use crate::store::postgres::rows::{bigint, micros};

/// Deliveries to be written, a column each.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) row: Vec<i64>,
    pub(super) key: Vec<Option<&'a str>>,
    pub(super) attempts: Vec<i32>,
    /// Microseconds; none stands for ever.
    pub(super) pause: Vec<Option<i64>>,
    pub(super) dead: Vec<bool>,
    pub(super) error: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(put: &'a [Put]) -> Columns<'a> {
        let mut columns = Columns::default();
        for Put { row, key, attempts, then, error } in put {
            columns.row.push(*row);
            columns.key.push(key.as_deref());
            columns.attempts.push(i32::try_from(*attempts).unwrap_or(i32::MAX));
            columns.pause.push(match then {
                Then::After(pause) => Some(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)),
                Then::Parked => None,
                Then::Dead => Some(0),
            });
            columns.dead.push(*then == Then::Dead);
            columns.error.push(error.as_deref());
        }
        columns
    }
}

/// A place in the order, from `xid` and `id`.
pub(super) fn position(row: &PgRow) -> sqlx::Result<Position> {
    Ok(Position { xid: row.try_get::<&str, _>("xid")?.parse().unwrap_or(0), row: row.try_get("id")? })
}

/// A group, from `xid`, `cursor_id`, `patterns` and `key_order`.
pub(super) fn state(row: &PgRow) -> Result<GroupState> {
    let xid = row.try_get::<&str, _>("xid")?.parse().unwrap_or(0);
    Ok(GroupState {
        cursor: Position { xid, row: row.try_get("cursor_id")? },
        patterns: patterns(row)?,
        key_order: row.try_get("key_order")?,
    })
}

fn patterns(row: &PgRow) -> Result<Vec<String>> {
    let text: &str = row.try_get("patterns")?;
    serde_json::from_str(text).map_err(|error| Error::Refused(format!("a group's patterns make no sense: {error}")))
}

/// Seconds as the server says them; none less than zero.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// A group, from its row and from what is behind it.
pub(super) async fn view(connection: &mut PgConnection, row: &PgRow) -> Result<GroupView> {
    let name: String = row.try_get("name")?;
    let behind =
        sqlx::query(sql::BEHIND).bind(row.try_get::<&str, _>("xid")?).bind(row.try_get::<i64, _>("cursor_id")?);
    let behind = behind.bind(bigint(COUNTED)).fetch_all(&mut *connection).await?;
    let of_name = |row: &PgRow| Ok((row.try_get("name")?, number(row, "count")?, micros(row, "oldest")?));
    let counts = sqlx::query(sql::COUNT).bind(&name).bind(bigint(COUNTED)).fetch_one(connection).await?;
    let holder: Option<String> = row.try_get("holder")?;
    let held = row.try_get::<Option<f64>, _>("held")?.filter(|held| *held > 0.0);
    Ok(GroupView {
        behind: behind.iter().map(of_name).collect::<sqlx::Result<_>>()?,
        retrying: number(&counts, "retrying")?,
        dead: number(&counts, "dead")?,
        began_at: micros(row, "began_at")?,
        patterns: patterns(row)?,
        key_order: row.try_get("key_order")?,
        holder: holder.zip(held.map(seconds)),
        name,
    })
}

fn number(row: &PgRow, column: &str) -> sqlx::Result<usize> {
    Ok(usize::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}
