//! Domain events from one end to the other: declared, published by handlers and outside of them, kept with the steps they
//! tell of, and heard in this process. With TEST_STORE=postgres on a server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "domain_events/bus.rs"]
mod bus;
#[path = "support/harness.rs"]
mod harness;
#[path = "domain_events/lifecycle.rs"]
mod lifecycle;
#[path = "domain_events/outbox.rs"]
mod outbox;
#[path = "domain_events/outside.rs"]
mod outside;

use harness::{on_server, Folder};
use serde_json::Value;

/// The messages that are stored, in order.
fn stored(folder: &Folder) -> Vec<Value> {
    let told = if on_server() {
        harness::postgres::psql(&folder.database(), "SELECT message FROM tasker.events ORDER BY id")
    } else {
        let connection = rusqlite::Connection::open(folder.sqlite()).unwrap();
        connection.busy_timeout(harness::PATIENCE).unwrap();
        let mut statement = connection.prepare("SELECT message FROM events ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(|row| row.unwrap()).collect::<Vec<_>>().join("\n")
    };
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The names of the events that are stored, in order.
fn names(folder: &Folder) -> Vec<String> {
    stored(folder).iter().map(|event| event["event_name"].as_str().unwrap().to_owned()).collect()
}

/// Their keys.
fn keys(folder: &Folder) -> Vec<Option<String>> {
    let told = if on_server() {
        harness::postgres::psql(&folder.database(), "SELECT coalesce(key, '-') FROM tasker.events ORDER BY id")
    } else {
        let connection = rusqlite::Connection::open(folder.sqlite()).unwrap();
        let mut statement = connection.prepare("SELECT coalesce(key, '-') FROM events ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(|row| row.unwrap()).collect::<Vec<_>>().join("\n")
    };
    told.split('\n').map(|key| (key != "-").then(|| key.to_owned())).collect()
}
