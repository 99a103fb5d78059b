//! Owns: the time of day that all processes of one boot of the machine agree on, whoever sets the wall clock: the first of
//! them that opens the file writes down what the clock since boot lacks to it.

use rusqlite::{params, Connection, OptionalExtension};

use crate::clock::Clock;
use crate::error::Result;

const FIND: &str = "SELECT clock_offset FROM boots WHERE boot_id = ?1";

/// Microseconds to add to the clock since boot. Where a boot has no name, each process has its own.
pub(super) fn offset(connection: &Connection, clock: &Clock) -> Result<i64> {
    let mine = clock.now().0 - clock.tick().0;
    let Some(boot_id) = clock.boot_id() else { return Ok(mine) };
    let find = || connection.query_row(FIND, [&boot_id], |row| row.get(0)).optional();
    if let Some(offset) = find()? {
        return Ok(offset);
    }
    connection.execute(
        "INSERT INTO boots (boot_id, clock_offset) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![boot_id, mine],
    )?;
    connection.execute("DELETE FROM boots WHERE boot_id <> ?1", [&boot_id])?;
    Ok(find()?.unwrap_or(mine))
}
