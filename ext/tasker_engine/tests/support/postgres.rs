//! A PostgreSQL database of a test's own, on the server that TEST_DATABASE_URL names (`bin/postgres run` gives one).
#![allow(dead_code, clippy::print_stderr)]

use std::process::Command;

/// A database that ends with the value.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// `None`, with a word about it, where there is no server. In CI there must be one.
    pub fn new() -> Option<Database> {
        let Ok(server) = std::env::var("TEST_DATABASE_URL") else {
            assert!(std::env::var("CI").is_err(), "TEST_DATABASE_URL is not set");
            eprintln!("skipped: TEST_DATABASE_URL is not set; run it as `bin/postgres run cargo test`");
            return None;
        };
        let unique = uuid::Uuid::from_u64_pair(rand::random(), rand::random());
        let database = Database { server, name: format!("test_{}", unique.simple()) };
        database.server(&format!("CREATE DATABASE {}", database.name));
        Some(database)
    }

    /// What an engine is given.
    pub fn url(&self) -> String {
        let (base, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (address, _) = base.rsplit_once('/').unwrap();
        format!("{address}/{}{}{query}", self.name, if query.is_empty() { "" } else { "?" })
    }

    /// Runs SQL in it and gives what it says: rows a line each, columns separated by `|`.
    pub fn sql(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    /// Runs SQL on the server's own database.
    pub fn server(&self, sql: &str) -> String {
        psql(&self.server, sql)
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.server(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Runs SQL in the database that a URL names.
pub fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{sql}: {errors}");
    said.trim_end().to_owned()
}
