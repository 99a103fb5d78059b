//! Owns: what a process may set about the engine and its worker, with the defaults. Refuses:
//! telemetry settings, which come from the environment alone (`telemetry/config.rs`).

mod database;
mod web;

use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};
pub use web::{Token, WebConfig, WebSettings};

/// The engine's settings. Every field has a default: `{}` is a whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A SQLite file, `:memory:`, or `sqlite:` followed by one of the two; or a `postgres://` URL.
    pub database: String,
    /// SQLite's `synchronous`: `full` survives power loss, `normal` only a crash of the process.
    pub synchronous: Synchronous,
    /// PostgreSQL: what a crash of the server may cost.
    pub durability: Durability,
    /// How long a transaction waits for another process that writes, in seconds.
    pub busy_timeout: f64,
    /// PostgreSQL: whether to bring the schema up to date at the start. Otherwise an old one is an error.
    pub migrate: bool,
    /// PostgreSQL: the most connections that read; one more writes, and one listens.
    pub pool_size: u32,
    /// PostgreSQL: the longest a statement may run, in seconds.
    pub statement_timeout: f64,
    /// The worker's settings; a process that only submits ignores them.
    pub worker: WorkerConfig,
    /// The web server's settings; only a worker has one.
    pub web: WebConfig,
}

/// SQLite's `synchronous` pragma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Every commit is on the disk before it is acknowledged.
    Full,
    /// A power failure may take the last commits; a crash of the process takes none.
    Normal,
}

impl Synchronous {
    /// As SQLite has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Synchronous::Full => "full",
            Synchronous::Normal => "normal",
        }
    }
}

/// Which commits are on the database's disk before the engine goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// All of them, except those that only claim steps which have an attempt left: what was settled stays settled.
    Step,
    /// Those that somebody is told of, and those that end a task. After a crash of the server, not of a worker, steps that
    /// were settled in the last moments (on PostgreSQL three times `wal_writer_delay`, 0.6 s) may run again.
    Task,
}

/// What a worker may take and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Handler threads: how many steps run at once.
    pub concurrency: usize,
    /// The namespaces whose steps this worker claims; empty means all.
    pub namespaces: Vec<String>,
    /// A claim is this worker's for so long, in seconds, and is renewed at a third of it.
    pub lease_seconds: f64,
    /// How long a stop waits for handlers that still run, in seconds.
    pub shutdown_timeout: f64,
    /// How often an idle worker looks whether another process wrote, in seconds.
    pub poll_interval: f64,
    /// For how many days finished tasks are kept; 0 is for ever.
    pub retention_days: f64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            database: "storage/tasker.sqlite3".into(),
            synchronous: Synchronous::Full,
            durability: Durability::Step,
            busy_timeout: 10.0,
            migrate: true,
            pool_size: 5,
            statement_timeout: 30.0,
            worker: WorkerConfig::default(),
            web: WebConfig::default(),
        }
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        WorkerConfig {
            concurrency: 10,
            namespaces: Vec::new(),
            lease_seconds: 30.0,
            shutdown_timeout: 25.0,
            poll_interval: 0.01,
            retention_days: 30.0,
        }
    }
}

impl Config {
    /// Reads a JSON object; unknown keys and impossible values are refused by name.
    pub fn from_json(json: &str) -> Result<Config> {
        let mut config: Config =
            serde_json::from_str(json).map_err(|error| Error::Configuration(format!("configuration: {error}")))?;
        config.database = database::normal(&config.database);
        config.check()?;
        Ok(config)
    }

    /// Whether the database is a server's.
    pub fn is_remote(&self) -> bool {
        database::is_postgres(&self.database)
    }

    /// The file the database is; `None` for a server's, and for one in memory.
    pub fn sqlite_file(&self) -> Option<&str> {
        (!self.is_remote()).then(|| database::sqlite_path(&self.database)).filter(|path| *path != ":memory:")
    }
}

impl Config {
    /// Refuses what nothing can run with.
    pub fn check(&self) -> Result<()> {
        database::check(&self.database)?;
        let refuse = |message: &str| Err(Error::Configuration(message.into()));
        if !(1..=1000).contains(&self.pool_size) {
            return refuse("pool_size must be between 1 and 1000");
        }
        if !(0.1..=86_400.0).contains(&self.statement_timeout) {
            return refuse("statement_timeout must be between 0.1 and 86400 seconds");
        }
        self.worker.check()
    }
}

impl WorkerConfig {
    /// Refuses what no worker can run with.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::Configuration(format!("worker: {message}")));
        if !(1..=1000).contains(&self.concurrency) {
            return refuse("concurrency must be between 1 and 1000");
        }
        if !(1.0..=86_400.0).contains(&self.lease_seconds) {
            return refuse("lease_seconds must be between 1 and 86400");
        }
        if !(0.0..=86_400.0).contains(&self.shutdown_timeout) {
            return refuse("shutdown_timeout must be between 0 and 86400 seconds");
        }
        if !(0.001..=60.0).contains(&self.poll_interval) {
            return refuse("poll_interval must be between 0.001 and 60 seconds");
        }
        if !(0.0..=36_500.0).contains(&self.retention_days) {
            return refuse("retention_days must be between 0 (for ever) and 36500");
        }
        Ok(())
    }

    /// How long finished tasks are kept; `None` is for ever.
    pub fn retention(&self) -> Option<Duration> {
        (self.retention_days > 0.0).then(|| Duration::from_secs_f64(self.retention_days * 86_400.0))
    }

    /// The lease as a duration.
    pub fn lease(&self) -> Duration {
        Duration::from_secs_f64(self.lease_seconds)
    }
}
