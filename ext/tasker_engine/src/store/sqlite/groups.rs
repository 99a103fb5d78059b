//! Owns: event groups in the file. Reads are made on the connection that reads; writes on the one that writes, between two
//! transactions of the engine's: no second writer of the process waits for the file's lock. What is lost with the power is
//! delivered again, so these commits wait for no disk. Refuses: holding up the engine for longer than some rows take.

mod rows;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{params, Connection, OptionalExtension};

use super::{check_file, Synchronous, Watcher, POLL_WATCHED};
use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::interrupt::lock;
use crate::store::groups::{
    DeadLetter, DueDeliveries, DueDelivery, From, GroupSpec, GroupView, Groups, Leased, Message, News, Position, Scan,
    Seen, Settlement,
};
use crate::store::journal::json_text;
use rows::{key, micros, must_exist, number, stored, view, write_rows, PARKED};

/// How often to look where nobody tells of other processes' events.
const POLL: Duration = Duration::from_millis(20);

pub(super) struct SqliteGroups {
    pub(super) writer: Arc<Mutex<Connection>>,
    pub(super) reading: Arc<Mutex<Connection>>,
    pub(super) clock: Clock,
    pub(super) boot: i64,
    pub(super) synchronous: Synchronous,
    pub(super) watcher: Option<Arc<Watcher>>,
    pub(super) news: Arc<News>,
    pub(super) file: Option<(u64, u64)>,
    pub(super) location: String,
}

impl SqliteGroups {
    fn now(&self) -> i64 {
        self.clock.tick().0.saturating_add(self.boot)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        work(&lock(&self.reading))
    }

    /// One transaction. `durable`: it survives a power failure, as the engine's do.
    fn write<T>(&self, durable: bool, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        check_file(&self.location, self.file)?;
        let connection = lock(&self.writer);
        let quick = !durable && self.synchronous == Synchronous::Full;
        if quick {
            connection.pragma_update(None, "synchronous", Synchronous::Normal.as_str())?;
        }
        let done = transact(&connection, work);
        if quick {
            connection.pragma_update(None, "synchronous", self.synchronous.as_str())?;
        }
        done
    }

    /// Tells all processes that there may be something.
    fn tell(&self) {
        self.news.ring();
        if let Some(watcher) = &self.watcher {
            watcher.hint();
        }
    }
}

fn transact<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = work(connection).and_then(|answer| {
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(answer)
    });
    if done.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    done
}

impl Groups for SqliteGroups {
    fn open(&self, spec: &GroupSpec, now: Micros) -> Result<()> {
        let patterns = json_text(&spec.patterns)?;
        self.write(true, |connection| {
            let newest = "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";
            let newest: i64 = connection.query_row(newest, [], |row| row.get(0))?;
            let cursor = match spec.from {
                From::Now => newest,
                From::Beginning => 0,
                From::At(time) => {
                    let first = "SELECT id - 1 FROM events WHERE fired_at >= ?1 ORDER BY id LIMIT 1";
                    connection.query_row(first, [time.0], |row| row.get(0)).optional()?.unwrap_or(newest)
                }
            };
            let open = "INSERT INTO event_groups (name, patterns, key_order, cursor_id, began_at) \
                VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO UPDATE SET patterns = excluded.patterns, \
                key_order = excluded.key_order";
            connection.execute(open, params![spec.name, patterns, spec.key_order, cursor, now.0])?;
            Ok(())
        })
    }

    fn lease(&self, group: &str, holder: &str, lease: Duration) -> Result<Leased> {
        // Who stands by asks often, and must not hold the file's lock for it.
        if let Some(left) =
            self.read(|connection| Ok(stored(connection, group)?.and_then(|s| s.others(holder, self.now()))))?
        {
            return Ok(Leased::Others(left));
        }
        self.write(false, |connection| {
            let now = self.now();
            let Some(stored) = stored(connection, group)? else { return Ok(Leased::Unknown) };
            if let Some(left) = stored.others(holder, now) {
                return Ok(Leased::Others(left));
            }
            let mine = stored.holder.as_deref() == Some(holder);
            let take = "UPDATE event_groups SET holder = ?2, held_until = ?3 WHERE name = ?1";
            let until = now.saturating_add(micros(lease));
            connection.prepare_cached(take)?.execute(params![group, holder, until])?;
            if !mine {
                let heal = "UPDATE event_deliveries AS d SET due_at = ?2 WHERE group_name = ?1 AND NOT dead \
                    AND due_at = ?3 AND (?4 OR NOT EXISTS (SELECT 1 FROM event_deliveries e WHERE \
                    e.group_name = d.group_name AND e.key = d.key AND e.event_row < d.event_row AND NOT e.dead))";
                connection.execute(heal, params![group, now, PARKED, !stored.state.key_order])?;
            }
            Ok(Leased::Mine(stored.state))
        })
    }

    fn release(&self, group: &str, holder: &str) -> Result<()> {
        let release = "UPDATE event_groups SET holder = NULL, held_until = NULL WHERE name = ?1 AND holder = ?2";
        let released = self.write(false, |connection| Ok(connection.execute(release, params![group, holder])?))?;
        if released > 0 {
            self.tell();
        }
        Ok(())
    }

    fn due(&self, group: &str, except: &[i64], limit: usize) -> Result<DueDeliveries> {
        let (now, except) = (self.now(), json_text(except)?);
        self.read(|connection| {
            let mut find = connection.prepare_cached(
                "SELECT event_row, key, attempts FROM event_deliveries d WHERE group_name = ?1 AND NOT dead \
                 AND due_at <= ?2 AND event_row NOT IN (SELECT value FROM json_each(?3)) \
                 AND (key IS NULL OR NOT EXISTS (SELECT 1 FROM event_deliveries e WHERE e.group_name = d.group_name \
                 AND e.key = d.key AND e.event_row < d.event_row AND NOT e.dead AND e.due_at > ?2)) \
                 ORDER BY event_row LIMIT ?4",
            )?;
            let rows = find.query_map(params![group, now, except, number(limit)], |row| {
                Ok(DueDelivery { at: Position { xid: 0, row: row.get(0)? }, key: key(row, 1)?, attempts: row.get(2)? })
            })?;
            let rows = rows.collect::<rusqlite::Result<_>>()?;
            let mut next = connection.prepare_cached(
                "SELECT min(due_at) FROM event_deliveries WHERE group_name = ?1 AND NOT dead AND due_at > ?2 \
                 AND due_at < ?3",
            )?;
            let next: Option<i64> = next.query_row(params![group, now, PARKED], |row| row.get(0))?;
            Ok(DueDeliveries { rows, next: next.map(|due| Duration::from_micros((due - now).unsigned_abs())) })
        })
    }

    fn scan(&self, group: &str, after: Position, limit: usize) -> Result<Scan> {
        self.read(|connection| {
            let mut find = connection.prepare_cached(
                "SELECT id, name, key, EXISTS (SELECT 1 FROM event_deliveries d WHERE d.group_name = ?1 \
                 AND d.event_row = events.id) FROM events WHERE id > ?2 ORDER BY id LIMIT ?3",
            )?;
            let mut rows = find.query(params![group, after.row, number(limit)])?;
            let (mut scan, mut found) = (Scan::default(), 0);
            while let Some(row) = rows.next()? {
                let at = Position { xid: 0, row: row.get(0)? };
                (scan.last, found) = (Some(at), found + 1);
                if !row.get::<_, bool>(3)? {
                    scan.events.push(Seen { at, name: row.get(1)?, key: key(row, 2)? });
                }
            }
            scan.more = found == limit;
            Ok(scan)
        })
    }

    fn blocked(&self, group: &str, keys: &[&str]) -> Result<HashSet<String>> {
        let keys = json_text(keys)?;
        self.read(|connection| {
            let mut find = connection.prepare_cached(
                "SELECT value FROM json_each(?2) AS k WHERE EXISTS (SELECT 1 FROM event_deliveries d \
                 WHERE d.group_name = ?1 AND d.key = k.value AND NOT d.dead)",
            )?;
            let found = find.query_map(params![group, keys], |row| row.get(0))?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn messages(&self, rows: &[i64]) -> Result<HashMap<i64, Message>> {
        self.read(|connection| {
            let mut find = connection.prepare_cached("SELECT message, traceparent FROM events WHERE id = ?1")?;
            let mut messages = HashMap::with_capacity(rows.len());
            for id in rows {
                let found = find.query_row([id], |row| Ok(Message { event: row.get(0)?, traceparent: row.get(1)? }));
                messages.extend(found.optional()?.map(|message| (*id, message)));
            }
            Ok(messages)
        })
    }

    fn settle(&self, group: &str, holder: &str, lease: Duration, settlement: &Settlement) -> Result<Leased> {
        self.write(false, |connection| {
            let now = self.now();
            let Some(mut stored) = stored(connection, group)? else { return Ok(Leased::Unknown) };
            if stored.holder.as_deref() != Some(holder) {
                return Ok(Leased::Others(stored.others(holder, now).unwrap_or_default()));
            }
            if stored.state.patterns == settlement.patterns {
                stored.state.cursor = settlement.cursor;
            }
            let hold = "UPDATE event_groups SET cursor_id = ?2, held_until = ?3 WHERE name = ?1";
            let until = now.saturating_add(micros(lease));
            connection.prepare_cached(hold)?.execute(params![group, stored.state.cursor.row, until])?;
            write_rows(connection, group, now, settlement)?;
            Ok(Leased::Mine(stored.state))
        })
    }

    fn list(&self) -> Result<Vec<GroupView>> {
        let now = self.now();
        self.read(|connection| {
            let mut names = connection.prepare_cached("SELECT name FROM event_groups ORDER BY name")?;
            let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            names.iter().filter_map(|name| view(connection, name, now).transpose()).collect()
        })
    }

    fn dead(&self, group: &str, limit: usize) -> Result<Vec<DeadLetter>> {
        self.read(|connection| {
            must_exist(connection, group)?;
            let mut find = connection.prepare_cached(
                "SELECT d.event_row, e.key, d.attempts, d.due_at, d.error, e.message FROM event_deliveries d \
                 JOIN events e ON e.id = d.event_row WHERE d.group_name = ?1 AND d.dead ORDER BY d.event_row LIMIT ?2",
            )?;
            let letters = find.query_map(params![group, number(limit)], |row| {
                Ok(DeadLetter {
                    row: row.get(0)?,
                    key: row.get(1)?,
                    attempts: row.get(2)?,
                    died_at: Micros(row.get(3)?),
                    error: row.get(4)?,
                    event: row.get(5)?,
                })
            })?;
            Ok(letters.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn requeue(&self, group: &str, rows: Option<&[i64]>) -> Result<usize> {
        let (now, rows) = (self.now(), rows.map(json_text).transpose()?);
        let requeued = self.write(true, |connection| {
            must_exist(connection, group)?;
            let requeue = "UPDATE event_deliveries SET dead = 0, attempts = 0, due_at = ?2 WHERE group_name = ?1 \
                AND dead AND (?3 IS NULL OR event_row IN (SELECT value FROM json_each(?3)))";
            Ok(connection.execute(requeue, params![group, now, rows])?)
        })?;
        self.tell();
        Ok(requeued)
    }

    fn forget(&self, group: &str, rows: Option<&[i64]>) -> Result<usize> {
        let rows = rows.map(json_text).transpose()?;
        self.write(true, |connection| {
            must_exist(connection, group)?;
            let forget = "DELETE FROM event_deliveries WHERE group_name = ?1 AND dead \
                AND (?2 IS NULL OR event_row IN (SELECT value FROM json_each(?2)))";
            Ok(connection.execute(forget, params![group, rows])?)
        })
    }

    fn remove(&self, group: &str) -> Result<bool> {
        self.write(true, |connection| {
            let Some(stored) = stored(connection, group)? else { return Ok(false) };
            let left = stored.others("", self.now());
            if let Some(holder) = stored.holder.filter(|_| left.is_some()) {
                return Err(Error::IllegalTransition(format!(
                    "event group {group:?} is in use by {holder}: stop its subscriber first"
                )));
            }
            connection.execute("DELETE FROM event_deliveries WHERE group_name = ?1", [group])?;
            Ok(connection.execute("DELETE FROM event_groups WHERE name = ?1", [group])? > 0)
        })
    }

    fn news(&self) -> &Arc<News> {
        &self.news
    }

    fn listen(&self) -> Duration {
        match &self.watcher {
            Some(watcher) if watcher.on_news(&self.news) => POLL_WATCHED,
            Some(_) => POLL,
            // Nobody else can write.
            None => Duration::from_secs(1),
        }
    }
}
