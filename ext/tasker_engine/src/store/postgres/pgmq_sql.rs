//! Owns: installing PGMQ where the server has none, as PGMQ's own crate would: the same SQL, the same lock and the same
//! record of what was applied, so that its tools can upgrade it later. The crate itself would bring a second sqlx, built
//! for macros that nobody uses. Refuses: changing a PGMQ that is there.

use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::Executor;

use super::settings::Settings;

/// PGMQ 1.11.1, unchanged: its `pgmq.sql`, cut where a statement ends.
const SQL: &str = concat!(
    include_str!("../../../migrations/pgmq/01.sql"),
    include_str!("../../../migrations/pgmq/02.sql"),
    include_str!("../../../migrations/pgmq/03.sql"),
    include_str!("../../../migrations/pgmq/04.sql"),
    include_str!("../../../migrations/pgmq/05.sql"),
    include_str!("../../../migrations/pgmq/06.sql"),
    include_str!("../../../migrations/pgmq/07.sql"),
    include_str!("../../../migrations/pgmq/08.sql"),
    include_str!("../../../migrations/pgmq/09.sql"),
);
const VERSION: &str = "1.11.1";
/// The lock under which PGMQ's crate installs.
const LOCK: i64 = i64::MIN + 4149;
/// Where PGMQ's crate records what it applied.
const RECORD: &str = "CREATE SCHEMA IF NOT EXISTS pgmq; CREATE TABLE IF NOT EXISTS pgmq.__pgmq_migrations \
    (name TEXT PRIMARY KEY NOT NULL, version TEXT NOT NULL, \
    run_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp()); \
    LOCK TABLE pgmq.__pgmq_migrations IN ACCESS EXCLUSIVE MODE";

/// It needs no extension on the server. It comes before our schema, in a transaction of its own: should ours fail, it is
/// there for the next try.
pub(super) async fn install(settings: &Settings) -> sqlx::Result<()> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(settings.options.clone()).await?;
    let installed = async {
        let mut transaction = pool.begin().await?;
        apply(&mut transaction).await?;
        transaction.commit().await
    }
    .await;
    pool.close().await;
    installed
}

async fn apply(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    connection.execute(RECORD).await?;
    // Another program may have been quicker.
    let applied = "SELECT 1 FROM pgmq.__pgmq_migrations WHERE name = 'pgmq.sql'";
    if sqlx::query(applied).fetch_optional(&mut *connection).await?.is_some() {
        return Ok(());
    }
    connection.execute(SQL).await?;
    sqlx::query("INSERT INTO pgmq.__pgmq_migrations (name, version) VALUES ('pgmq.sql', $1)")
        .bind(VERSION)
        .execute(connection)
        .await?;
    Ok(())
}
