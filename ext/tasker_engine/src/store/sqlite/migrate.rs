//! Owns: bringing a file's schema up to date, in one transaction. Refuses: a schema that a newer version made and this one
//! cannot work with.

use rusqlite::{params, Connection, OptionalExtension, TransactionBehavior};

use crate::error::{Error, Result};

/// The schema, in order. A file remembers in `user_version` how many it has.
const MIGRATIONS: &[Migration] =
    &[Migration { name: "initial", works_with: 1, sql: include_str!("../../../migrations/sqlite/0001_initial.sql") }];

struct Migration {
    name: &'static str,
    /// The oldest version whose gem works with a schema that has this one.
    works_with: usize,
    sql: &'static str,
}

/// Brings the schema up to date, and gives the versions before and after.
pub(super) fn migrate(connection: &mut Connection, location: &str) -> Result<(usize, usize)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if applied > MIGRATIONS.len() {
        let works_with = works_with(&transaction)?.unwrap_or(applied);
        if works_with > MIGRATIONS.len() {
            return Err(Error::Store(format!(
                "{location:?} was made by a newer tasker_core (its schema needs version {works_with} or later, this one \
                 knows {}); upgrade the gem",
                MIGRATIONS.len()
            )));
        }
        return Ok((applied, applied));
    }
    for (version, Migration { name, works_with, sql }) in (1..).zip(MIGRATIONS).skip(applied) {
        transaction.execute_batch(sql)?;
        transaction.execute(
            "INSERT INTO schema_migrations (version, name, works_with) VALUES (?1, ?2, ?3)",
            params![version, name, works_with],
        )?;
    }
    if applied < MIGRATIONS.len() {
        transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    }
    transaction.commit()?;
    Ok((applied, MIGRATIONS.len()))
}

/// The oldest version that works with a newer one's schema, as the newer one says.
fn works_with(connection: &Connection) -> Result<Option<usize>> {
    let is_told = connection.query_row("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'", [], |_| Ok(()));
    if is_told.optional()?.is_none() {
        return Ok(None);
    }
    Ok(connection.query_row("SELECT max(works_with) FROM schema_migrations", [], |row| row.get(0))?)
}
