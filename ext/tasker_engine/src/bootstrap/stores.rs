//! Owns: which store a database's name means.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::store::catalogue::Catalogue;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::store::Store;

/// Brings the schema of the database that `config.database` names up to date, whatever `config.migrate` says. Gives
/// the versions before and after.
///
/// # Errors
/// [`Error::Store`] when it cannot be done; then nothing was changed.
pub fn migrate(config: &Config) -> Result<(usize, usize)> {
    config.check()?;
    if is_postgres(&config.database) {
        PostgresStore::migrate(config)
    } else {
        SqliteStore::migrate(config)
    }
}

/// The SQL that brings an empty PostgreSQL database to this version, for those who run it themselves. PGMQ must be
/// there before.
pub fn migration_sql() -> String {
    PostgresStore::migration_sql()
}

/// Whether a database's name is a PostgreSQL server's.
fn is_postgres(database: &str) -> bool {
    database.starts_with("postgres://") || database.starts_with("postgresql://")
}

pub(super) fn open(config: &Config, catalogue: &Arc<Catalogue>, clock: &Clock) -> Result<Box<dyn Store>> {
    let catalogue = Arc::clone(catalogue);
    Ok(if is_postgres(&config.database) {
        Box::new(PostgresStore::open(config, catalogue)?)
    } else {
        Box::new(SqliteStore::open_with(config, catalogue, clock.clone())?)
    })
}
