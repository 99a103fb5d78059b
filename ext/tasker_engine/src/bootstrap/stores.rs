//! Owns: which store a database's name means.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::asked::Asked;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::interrupt::lock;
use crate::store::catalogue::Catalogue;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{Observer, Store};
use tasker_telemetry::record::metrics::EngineHandle;

/// Brings the schema of the database that `config.database` names up to date, whatever `config.migrate` says. Gives
/// the versions before and after.
///
/// # Errors
/// [`Error::Store`] when it cannot be done; then nothing was changed.
pub fn migrate(config: &Config) -> Result<(usize, usize)> {
    config.check()?;
    if config.is_remote() {
        PostgresStore::migrate(config)
    } else {
        SqliteStore::migrate(config)
    }
}

/// As [`migrate`], for callers that look around meanwhile.
pub fn migrating(config: Config) -> Asked<(usize, usize)> {
    Asked::aside(move || migrate(&config))
}

/// The SQL that brings an empty PostgreSQL database to this version, for those who run it themselves. PGMQ must be
/// there before.
pub fn migration_sql() -> String {
    PostgresStore::migration_sql()
}

/// Files that SQLite believes this process has locked, because a parent of it had.
static REFUSED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From now on the file is not opened by this process.
pub(super) fn refuse(file: Option<PathBuf>) {
    lock(&REFUSED).extend(file);
}

/// The database's file, once it is there.
pub(super) fn file(config: &Config) -> Option<PathBuf> {
    std::fs::canonicalize(config.sqlite_file()?).ok()
}

pub(super) fn open(config: &Config, catalogue: &Arc<Catalogue>, clock: &Clock) -> Result<Box<dyn Store>> {
    if let Some(file) = file(config).filter(|file| lock(&REFUSED).contains(file)) {
        return Err(Error::Store(format!(
            "{} cannot be opened by this process: it was forked in the middle of a transaction, by something that did not \
             pass Process._fork. Fork before the first use of tasker_core, or with Process.fork or Process.daemon",
            file.display()
        )));
    }
    let catalogue = Arc::clone(catalogue);
    Ok(if config.is_remote() {
        Box::new(PostgresStore::open_with(config, catalogue, clock.clone())?)
    } else {
        Box::new(SqliteStore::open_with(config, catalogue, clock.clone())?)
    })
}

/// Takes note of what a store says of itself.
pub(super) struct Watching(pub(super) EngineHandle);

impl Observer for Watching {
    fn template(&self, found: bool) {
        self.0.templates.looked(found);
    }

    fn task(&self, found: bool) {
        self.0.tasks.looked(found);
    }

    fn notification(&self, milliseconds: f64) {
        self.0.notification.record(milliseconds);
    }
}
