//! A hostile world: clocks that are set, rows that make no sense, results the database does not take, processes that are
//! stopped or killed, files that disappear. What is at fault fails; everything else goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "hostile/ahead.rs"]
mod ahead;
#[path = "support/child.rs"]
mod child;
#[path = "hostile/clocks.rs"]
mod clocks;
#[path = "hostile/files.rs"]
mod files;
#[path = "support/harness.rs"]
mod harness;
#[path = "hostile/leases.rs"]
mod leases;
#[path = "hostile/panics.rs"]
mod panics;
#[path = "hostile/poison.rs"]
mod poison;
#[path = "hostile/refused.rs"]
mod refused;
#[path = "../../tasker_telemetry/tests/support/scrape.rs"]
mod scrape;
#[path = "../../tasker_telemetry/tests/support/story.rs"]
mod story;
#[path = "hostile/watching.rs"]
mod watching;

use harness::{Folder, PATIENCE};

/// Another program at the same file.
fn connection(folder: &Folder) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(folder.sqlite()).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection
}

/// What another program does to the file.
fn sql(folder: &Folder, sql: &str) {
    connection(folder).execute_batch(sql).unwrap();
}

/// A number another program reads in the file.
fn number(folder: &Folder, sql: &str) -> i64 {
    connection(folder).query_row(sql, [], |row| row.get(0)).unwrap()
}
