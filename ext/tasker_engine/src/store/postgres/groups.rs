//! Owns: event groups on a server, on connections of the pool: a group's work shares no transaction, no lock and no
//! connection with the engine's, and waits for no disk. Refuses: reading an event while a transaction that began before
//! its own is open: that one may still publish what comes before.

mod rows;
pub(super) mod sql;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor, Row};

use super::leases::interval;
use super::listen::Listener;
use super::reader::PostgresReader;
use super::rows::{bigint, count, micros, time};
use super::settings::Settings;
use super::{POLL_NOTIFIED, POLL_UNNOTIFIED};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::store::groups::{
    DeadLetter, DueDeliveries, DueDelivery, From, GroupSpec, GroupView, Groups, Leased, Message, News, Position, Scan,
    Seen, Settlement, WOKEN,
};
use crate::store::journal::json_text;
use rows::{position, seconds, state, view, Columns};

pub(super) struct PostgresGroups {
    pub(super) reader: Arc<PostgresReader>,
    pub(super) settings: Arc<Settings>,
    pub(super) listener: Arc<Listener>,
}

impl PostgresGroups {
    /// Does something that changes rows: one statement, which is a transaction by itself, or what is behind a pooler one.
    fn write<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let begin = self.settings.pooler.then(|| self.settings.begin());
        self.reader.on_connection(async |connection| {
            let Some(begin) = begin else { return work(connection).await };
            connection.execute(begin.as_str()).await?;
            let done = work(connection).await;
            connection.execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
            done
        })
    }

    fn read<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        self.reader.read(work)
    }
}

async fn must_exist(connection: &mut PgConnection, group: &str) -> Result<()> {
    let find = sqlx::query("SELECT 1 FROM tasker.event_groups WHERE name = $1").bind(group);
    match find.fetch_optional(connection).await? {
        Some(_) => Ok(()),
        None => Err(Error::NotFound(format!(
            "there is no event group {group:?}; TaskerCore.event_groups lists those there are"
        ))),
    }
}

/// Who has the lease that could not be had.
async fn others(connection: &mut PgConnection, group: &str) -> Result<Leased> {
    let left = sqlx::query_scalar::<_, Option<f64>>(sql::LEFT).bind(group).fetch_optional(connection).await?;
    Ok(left.map_or(Leased::Unknown, |left| Leased::Others(seconds(left.unwrap_or_default()))))
}

impl Groups for PostgresGroups {
    fn open(&self, spec: &GroupSpec, now: Micros) -> Result<()> {
        let patterns = json_text(&spec.patterns)?;
        self.write(async |connection| {
            let newest = async |connection: &mut PgConnection| sqlx::query(sql::NOW).fetch_one(connection).await;
            let cursor = match spec.from {
                From::Beginning => Position::default(),
                From::Now => position(&newest(connection).await?)?,
                From::At(at) => {
                    let first = sqlx::query(sql::SINCE).bind(time(at)).fetch_optional(&mut *connection).await?;
                    match first {
                        Some(first) => position(&first)?.before(),
                        None => position(&newest(connection).await?)?,
                    }
                }
            };
            let open = sqlx::query(sql::OPEN).bind(&spec.name).bind(patterns).bind(spec.key_order);
            let open = open.bind(cursor.xid.to_string()).bind(cursor.row).bind(time(now));
            Ok(open.execute(connection).await.map(drop)?)
        })
    }

    fn lease(&self, group: &str, holder: &str, lease: Duration) -> Result<Leased> {
        self.write(async |connection| {
            let take = sqlx::query(sql::LEASE).bind(group).bind(holder).bind(interval(lease));
            let Some(row) = take.fetch_optional(&mut *connection).await? else {
                return others(connection, group).await;
            };
            let state = state(&row)?;
            if row.try_get("taken")? {
                sqlx::query(sql::HEAL).bind(group).bind(!state.key_order).execute(connection).await?;
            }
            Ok(Leased::Mine(state))
        })
    }

    fn release(&self, group: &str, holder: &str) -> Result<()> {
        let release = sqlx::query(sql::RELEASE).bind(group).bind(holder);
        self.write(async |connection| Ok(release.execute(connection).await.map(drop)?))
    }

    fn due(&self, group: &str, except: &[i64], limit: usize) -> Result<DueDeliveries> {
        self.read(async |connection| {
            let find = sqlx::query(sql::DUE).bind(group).bind(except).bind(bigint(limit));
            let rows = find.fetch_all(&mut *connection).await?;
            let row = |row: &PgRow| {
                let xid = row.try_get::<Option<&str>, _>("xid")?.and_then(|xid| xid.parse().ok()).unwrap_or(0);
                Ok(DueDelivery {
                    at: Position { xid, row: row.try_get("event_row")? },
                    key: row.try_get::<Option<&str>, _>("key")?.map(Arc::from),
                    attempts: count(row, "attempts")?,
                })
            };
            let rows = rows.iter().map(row).collect::<sqlx::Result<_>>()?;
            let next = sqlx::query_scalar::<_, Option<f64>>(sql::NEXT_DUE).bind(group).fetch_one(connection).await?;
            Ok(DueDeliveries { rows, next: next.map(seconds) })
        })
    }

    fn scan(&self, group: &str, after: Position, limit: usize) -> Result<Scan> {
        self.read(async |connection| {
            let find = sqlx::query(sql::SCAN).bind(group).bind(after.xid.to_string()).bind(after.row);
            let rows = find.bind(bigint(limit)).fetch_all(connection).await?;
            let mut scan = Scan::default();
            for row in &rows {
                if !row.try_get("readable")? {
                    scan.hidden = true;
                    break;
                }
                let at = position(row)?;
                scan.last = Some(at);
                if !row.try_get("stands")? {
                    let key = row.try_get::<Option<&str>, _>("key")?.map(Arc::from);
                    scan.events.push(Seen { at, name: row.try_get("name")?, key });
                }
            }
            scan.more = rows.len() == limit && !scan.hidden;
            Ok(scan)
        })
    }

    fn blocked(&self, group: &str, keys: &[&str]) -> Result<HashSet<String>> {
        let find = sqlx::query_scalar(sql::BLOCKED).bind(group).bind(keys);
        self.read(async |connection| Ok(find.fetch_all(connection).await?.into_iter().collect()))
    }

    fn messages(&self, rows: &[i64]) -> Result<HashMap<i64, Message>> {
        let find = sqlx::query(sql::MESSAGES).bind(rows);
        self.read(async |connection| {
            let found = find.fetch_all(connection).await?;
            let message = |row: &PgRow| {
                Ok((
                    row.try_get("id")?,
                    Message { event: row.try_get("message")?, traceparent: row.try_get("traceparent")? },
                ))
            };
            Ok(found.iter().map(message).collect::<sqlx::Result<_>>()?)
        })
    }

    fn settle(&self, group: &str, holder: &str, lease: Duration, settlement: &Settlement) -> Result<Leased> {
        let put = Columns::of(&settlement.put);
        let patterns = json_text(&settlement.patterns)?;
        let wake: Vec<&str> = settlement.wake.iter().map(|key| &**key).collect();
        self.write(async |connection| {
            let settle = sqlx::query(sql::SETTLE).bind(group).bind(holder).bind(interval(lease));
            let settle = settle.bind(settlement.cursor.xid.to_string()).bind(settlement.cursor.row);
            let settle = settle.bind(&settlement.done).bind(&put.row).bind(&put.key).bind(&put.attempts);
            let settle = settle.bind(&put.pause).bind(&put.dead).bind(&put.error).bind(&wake);
            let settle = settle.bind(bigint(WOKEN)).bind(&patterns);
            let settled = settle.fetch_optional(&mut *connection).await?;
            let Some(row) = settled else { return others(connection, group).await };
            Ok(Leased::Mine(state(&row)?))
        })
    }

    fn list(&self) -> Result<Vec<GroupView>> {
        self.read(async |connection| {
            let rows = sqlx::query(sql::LIST).fetch_all(&mut *connection).await?;
            let mut groups = Vec::with_capacity(rows.len());
            for row in &rows {
                groups.push(view(connection, row).await?);
            }
            Ok(groups)
        })
    }

    fn dead(&self, group: &str, limit: usize) -> Result<Vec<DeadLetter>> {
        self.read(async |connection| {
            must_exist(connection, group).await?;
            let rows = sqlx::query(sql::DEAD).bind(group).bind(bigint(limit)).fetch_all(connection).await?;
            let letter = |row: &PgRow| {
                Ok(DeadLetter {
                    row: row.try_get("event_row")?,
                    key: row.try_get("key")?,
                    attempts: count(row, "attempts")?,
                    died_at: micros(row, "due_at")?,
                    error: row.try_get("error")?,
                    event: row.try_get("message")?,
                })
            };
            Ok(rows.iter().map(letter).collect::<sqlx::Result<_>>()?)
        })
    }

    fn requeue(&self, group: &str, rows: Option<&[i64]>) -> Result<usize> {
        let requeued = self.write(async |connection| {
            must_exist(connection, group).await?;
            let requeue = sqlx::query_scalar::<_, i64>(sql::REQUEUE).bind(group).bind(rows);
            Ok(requeue.fetch_one(connection).await?)
        })?;
        self.news().ring();
        Ok(usize::try_from(requeued).unwrap_or(0))
    }

    fn forget(&self, group: &str, rows: Option<&[i64]>) -> Result<usize> {
        self.write(async |connection| {
            must_exist(connection, group).await?;
            let forgotten = sqlx::query(sql::FORGET).bind(group).bind(rows).execute(connection).await?;
            Ok(usize::try_from(forgotten.rows_affected()).unwrap_or(0))
        })
    }

    fn remove(&self, group: &str) -> Result<bool> {
        self.write(async |connection| {
            let left = match others(&mut *connection, group).await? {
                Leased::Others(left) => left,
                _ => return Ok(false),
            };
            if !left.is_zero() {
                return Err(Error::IllegalTransition(format!(
                    "event group {group:?} is in use: stop its subscriber first"
                )));
            }
            let remove = "WITH gone AS (DELETE FROM tasker.event_groups WHERE name = $1 RETURNING 1) \
                DELETE FROM tasker.event_deliveries WHERE group_name = $1";
            sqlx::query(remove).bind(group).execute(connection).await?;
            Ok(true)
        })
    }

    fn news(&self) -> &Arc<News> {
        self.listener.news()
    }

    fn listen(&self) -> Duration {
        let runtime = self.reader.runtime().filter(|_| self.settings.listens());
        let heard = runtime.is_some_and(|runtime| self.listener.on_news(runtime, self.reader.pool()));
        if heard {
            POLL_NOTIFIED
        } else {
            POLL_UNNOTIFIED
        }
    }
}
