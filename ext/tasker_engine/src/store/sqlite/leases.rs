//! Owns: workers and their leases, by the machine's clock since boot: it is the same for all who share the file, and
//! nobody sets it.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{params, Connection, OptionalExtension, Row};

use crate::clock::{Micros, Tick};
use crate::error::Result;
use crate::store::{journal, Claim, Holdings, LapsedWorker, WorkerProcess};

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn register(
    connection: &Connection,
    worker: &WorkerProcess,
    lease: Duration,
    now: Micros,
    tick: Tick,
) -> Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO workers (worker_id, host, pid, process_started, started_at, lease_until, lease) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            &*worker.worker_id,
            worker.host,
            worker.pid,
            worker.process_started,
            now.0,
            tick.after(lease).0,
            micros(lease)
        ],
    )?;
    Ok(())
}

pub(super) fn renew(connection: &Connection, worker_id: &str, lease: Duration, tick: Tick) -> Result<bool> {
    let renewed = connection
        .prepare_cached("UPDATE workers SET lease_until = ?2, lease = ?3 WHERE worker_id = ?1")?
        .execute(params![worker_id, tick.after(lease).0, micros(lease)])?;
    Ok(renewed == 1)
}

/// Renews the lease and says what the worker holds.
pub(super) fn hold(
    connection: &Connection,
    worker_id: &str,
    lease: Duration,
    holdings: &Holdings,
    tick: Tick,
) -> Result<bool> {
    let held = connection
        .prepare_cached(
            "UPDATE workers SET lease_until = ?2, lease = ?3, tasks = ?4, unbegun = ?5 WHERE worker_id = ?1",
        )?
        .execute(params![
            worker_id,
            tick.after(lease).0,
            micros(lease),
            format!("{:?}", holdings.tasks),
            // Tokens are 64 bits without a sign, which no JSON number of SQLite's is.
            format!("{:?}", holdings.unbegun.iter().map(|token| token.cast_signed()).collect::<Vec<_>>()),
        ])?;
    Ok(held == 1)
}

// A lease can be no longer than one renewal lasts: one that seems to be, by more
// than a second, is of another boot of the machine.
const LAPSED: &str = "SELECT worker_id, tasks, unbegun FROM workers \
    WHERE lease_until < ?1 OR lease_until - lease > ?1 + 1000000 OR worker_id IN (SELECT value FROM json_each(?2))";

pub(super) fn lapsed(connection: &Connection, named: &[String], tick: Tick) -> Result<Vec<LapsedWorker>> {
    let named = journal::json_text(named)?;
    let mut statement = connection.prepare_cached(LAPSED)?;
    let lapsed = statement.query_map(params![tick.0, named], |row| {
        Ok(LapsedWorker { worker_id: Arc::from(row.get_ref(0)?.as_str()?), holdings: holdings_at(row, 1)? })
    })?;
    Ok(lapsed.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn lost(connection: &Connection, claims: &[Claim]) -> Result<Vec<Claim>> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM steps WHERE task_id = ?1 AND position = ?2 AND state = 'in_progress' AND span_id = ?3",
    )?;
    let mut lost = Vec::new();
    for claim in claims {
        let position = i64::try_from(claim.position).unwrap_or(i64::MAX);
        if !statement.exists(params![claim.task_id, position, format!("{:016x}", claim.token)])? {
            lost.push(*claim);
        }
    }
    Ok(lost)
}

pub(super) fn holdings(connection: &Connection, worker_id: &str) -> Result<Option<Holdings>> {
    let mut statement = connection.prepare_cached("SELECT tasks, unbegun FROM workers WHERE worker_id = ?1")?;
    Ok(statement.query_row([worker_id], |row| holdings_at(row, 0)).optional()?)
}

fn holdings_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Holdings> {
    let (tasks, unbegun): (String, String) = (row.get(column)?, row.get(column + 1)?);
    let unbegun: Vec<i64> = serde_json::from_str(&unbegun).unwrap_or_default();
    Ok(Holdings {
        tasks: serde_json::from_str(&tasks).unwrap_or_default(),
        unbegun: unbegun.into_iter().map(i64::cast_unsigned).collect(),
    })
}

pub(super) fn deregister(connection: &Connection, workers: &[Arc<str>]) -> Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM workers WHERE worker_id = ?1")?;
    for worker_id in workers {
        statement.execute([&**worker_id])?;
    }
    Ok(())
}

pub(super) fn workers(connection: &Connection, host: &str) -> Result<Vec<WorkerProcess>> {
    let mut statement =
        connection.prepare_cached("SELECT worker_id, pid, process_started FROM workers WHERE host = ?1")?;
    let workers = statement.query_map([host], |row| {
        Ok(WorkerProcess {
            worker_id: Arc::from(row.get_ref(0)?.as_str()?),
            host: host.to_owned(),
            pid: row.get(1)?,
            process_started: row.get(2)?,
        })
    })?;
    Ok(workers.collect::<rusqlite::Result<_>>()?)
}
