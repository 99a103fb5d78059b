//! Owns: bringing the schema up to date, once, whoever comes first: PGMQ's part by its own SQL, ours in one
//! transaction. Refuses: a server that cannot be used, a schema that a newer version made.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};

use super::pgmq_sql;
use super::rows;
use super::settings::Settings;
use super::writer::Writer;
use crate::error::{Error, Result};

/// The schema, in order. `tasker.schema_migrations` remembers which of them a database has.
const MIGRATIONS: &[Migration] =
    &[Migration { name: "initial", works_with: 1, sql: include_str!("../../../migrations/postgres/0001_initial.sql") }];

struct Migration {
    name: &'static str,
    /// The oldest version whose gem works with a schema that has this one.
    works_with: i32,
    sql: &'static str,
}

/// Where the versions are kept.
const VERSIONS: &str = "CREATE SCHEMA IF NOT EXISTS tasker; CREATE TABLE IF NOT EXISTS tasker.schema_migrations \
    (version integer PRIMARY KEY, name text NOT NULL, works_with integer NOT NULL, \
    applied_at timestamptz NOT NULL DEFAULT now());";

/// All migrations, as a person runs them.
pub(super) fn sql() -> String {
    let mut sql = format!(
        "-- tasker_core {}. PGMQ 1.10 or later comes first: CREATE EXTENSION pgmq, or its own pgmq.sql.\n\
         BEGIN;\n{VERSIONS}\n",
        env!("CARGO_PKG_VERSION")
    );
    for (version, Migration { name, works_with, sql: migration }) in (1..).zip(MIGRATIONS) {
        sql.push_str(&format!(
            "\n{migration}\nINSERT INTO tasker.schema_migrations (version, name, works_with) \
             VALUES ({version}, '{name}', {works_with});\n"
        ));
    }
    sql.push_str("COMMIT;\n");
    sql
}

/// Names the lock under which migrations run: "tasker" in ASCII.
const LOCK: i64 = 0x0074_6173_6b65_7200;
/// How long one may take, or wait for another process's.
const LONGEST: Duration = Duration::from_secs(600);

/// What a look at the server tells.
struct Server {
    version: i32,
    encoding: String,
    replica: bool,
    may_create: bool,
    user: String,
    database: String,
    /// Migrations applied; `None` when there is no schema of ours.
    applied: Option<usize>,
    /// The oldest version whose gem works with them.
    works_with: usize,
    /// Whether a PGMQ is there that can do what is needed.
    pgmq: Pgmq,
}

#[derive(PartialEq, Eq)]
enum Pgmq {
    Missing,
    Old,
    Usable,
}

/// Brings the schema up to date if `allowed`, and gives the number of migrations before and after.
pub(super) fn migrate(writer: &mut Writer, settings: &Arc<Settings>, allowed: bool) -> Result<(usize, usize)> {
    let server = writer.look(look)?;
    check(&server)?;
    let before = server.applied.unwrap_or(0);
    if before >= MIGRATIONS.len() && server.pgmq == Pgmq::Usable {
        return Ok((before, before));
    }
    let there = if server.applied.is_some() { format!("is at version {before}") } else { "is not there".into() };
    if !allowed {
        return Err(Error::Store(format!(
            "the schema tasker in {} {there}, this version needs {}, and migrate is off: run `rake tasker:migrate`",
            server.database,
            MIGRATIONS.len()
        )));
    }
    if !server.may_create {
        return Err(Error::Store(format!(
            "the schema tasker in {} {there}, this version needs {}, and the role {} may not create it. Let a role with \
             CREATE on the database run `rake tasker:migrate`, or grant it: docs/operations/postgresql.md lists the grants",
            server.database,
            MIGRATIONS.len(),
            server.user
        )));
    }
    let settings = Arc::clone(settings);
    writer.run_within(LONGEST, async |connection| apply(connection, &settings).await)?;
    let after = writer.look(look)?;
    check(&after)?;
    tracing::info!(database = %after.database, from = before, to = MIGRATIONS.len(), "Database schema migrated");
    Ok((before, after.applied.unwrap_or(0)))
}

async fn look(connection: &mut PgConnection) -> sqlx::Result<Server> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), \
         pg_is_in_recovery() OR current_setting('transaction_read_only')::bool, \
         has_database_privilege(current_database(), 'CREATE'), current_user::text, current_database()::text, \
         to_regclass('tasker.schema_migrations') IS NOT NULL, to_regclass('pgmq.meta') IS NOT NULL, \
         to_regproc('pgmq.validate_queue_name') IS NOT NULL \
           AND to_regprocedure('pgmq.set_vt(text,bigint[],timestamp with time zone)') IS NOT NULL \
           AND to_regprocedure('pgmq.send_batch(text,jsonb[],jsonb[],timestamp with time zone)') IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await?;
    let (mut applied, mut works_with) = (None, 0);
    if row.try_get(6)? {
        let count =
            "SELECT count(*)::int AS applied, coalesce(max(works_with), 0) AS works_with FROM tasker.schema_migrations";
        let row = sqlx::query(count).fetch_one(connection).await?;
        (applied, works_with) = (Some(rows::count(&row, "applied")?), rows::count(&row, "works_with")?);
    }
    let pgmq = match (row.try_get(7)?, row.try_get(8)?) {
        (_, true) => Pgmq::Usable,
        (true, false) => Pgmq::Old,
        (false, false) => Pgmq::Missing,
    };
    Ok(Server {
        version: row.try_get(0)?,
        encoding: row.try_get(1)?,
        replica: row.try_get(2)?,
        may_create: row.try_get(3)?,
        user: row.try_get(4)?,
        database: row.try_get(5)?,
        applied,
        works_with,
        pgmq,
    })
}

fn check(server: &Server) -> Result<()> {
    let refuse = |message: String| Err(Error::Store(message));
    let Server { version, encoding, database, .. } = server;
    if *version < 140_000 {
        return refuse(format!("PostgreSQL {} is too old: version 14 or later is needed", version / 10_000));
    }
    if encoding != "UTF8" {
        return refuse(format!("the database {database} is encoded in {encoding}: create it with ENCODING 'UTF8'"));
    }
    if server.replica {
        return refuse(format!("{database} is on a read-only replica: name the primary in DATABASE_URL"));
    }
    if server.works_with > MIGRATIONS.len() {
        return refuse(format!(
            "the schema tasker in {database} needs version {} or later, this version of tasker_core knows {}: \
             upgrade the gem (a newer one has migrated the database)",
            server.works_with,
            MIGRATIONS.len()
        ));
    }
    if server.pgmq == Pgmq::Old {
        return refuse(format!(
            "the PGMQ in {database} is too old: 1.10 or later is needed. Run `ALTER EXTENSION pgmq UPDATE`, or install \
             its SQL anew"
        ));
    }
    Ok(())
}

async fn apply(connection: &mut PgConnection, settings: &Settings) -> sqlx::Result<()> {
    connection.execute(settings.begin().as_str()).await?;
    // Whoever comes second waits for the first, however long that takes.
    let wait = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
        SET LOCAL idle_in_transaction_session_timeout = 0";
    connection.execute(wait).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    let outcome = apply_locked(connection, settings).await;
    connection.execute(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    outcome
}

async fn apply_locked(connection: &mut PgConnection, settings: &Settings) -> sqlx::Result<()> {
    // Another process may have been quicker.
    let server = look(connection).await?;
    if server.pgmq == Pgmq::Missing {
        pgmq_sql::install(settings).await?;
    }
    connection.execute(VERSIONS).await?;
    for (version, migration) in (1i32..).zip(MIGRATIONS).skip(server.applied.unwrap_or(0)) {
        connection.execute(migration.sql).await?;
        sqlx::query("INSERT INTO tasker.schema_migrations (version, name, works_with) VALUES ($1, $2, $3)")
            .bind(version)
            .bind(migration.name)
            .bind(migration.works_with)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
