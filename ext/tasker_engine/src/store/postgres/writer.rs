//! Owns: the one connection that writes: made when needed, given up when it fails. Refuses: being used by two threads.

use std::future::Future;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use tokio::runtime::{Builder, Runtime};

use super::connect::{explain, survives};
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::watchdog;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How much longer than its own statement timeout the server may take to say so.
const GRACE: Duration = Duration::from_secs(2);
/// How often, and for how long in between, the end of a transaction is asked about whose commit was not answered.
const ASK_END: u32 = 20;
const ASK_END_EVERY: Duration = Duration::from_millis(250);

/// The server's process for the connection, and its timeline; a replica has none of its own.
const WHO: &str = "SELECT pg_backend_pid()::text, \
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END";

/// The connection, and the runtime that drives it on the thread that waits for it: an answer wakes nobody else.
pub(super) struct Writer {
    settings: Arc<Settings>,
    runtime: Runtime,
    connection: Option<PgConnection>,
    /// The server's process for the connection: what it notifies of is no news here.
    backend: Arc<AtomicI32>,
    /// What each new session prepares; nothing until the schema is there, and nothing behind a pooler.
    prepare: Option<String>,
    /// The server's timeline: after a failover the numbers of transactions may mean others.
    timeline: String,
}

impl Writer {
    pub(super) fn new(settings: Arc<Settings>) -> Result<Writer> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Internal(format!("no runtime for PostgreSQL: {error}")))?;
        Ok(Writer {
            settings,
            runtime,
            connection: None,
            backend: Arc::default(),
            prepare: None,
            timeline: String::new(),
        })
    }

    /// Begins a transaction, on a new connection if need be.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.connect()?;
        let begin = self.settings.begin();
        self.run(async |connection| connection.execute(begin.as_str()).await.map(drop))
    }

    /// Makes the connection unless it is there.
    pub(super) fn connect(&mut self) -> Result<()> {
        if self.connection.is_some() {
            return Ok(());
        }
        let (settings, prepare) = (Arc::clone(&self.settings), self.prepare.clone());
        let connect = async move {
            let mut connection = PgConnection::connect_with(&settings.options).await?;
            if let Some(session) = settings.session() {
                connection.execute(session).await?;
            }
            if let Some(prepare) = prepare {
                connection.execute(prepare.as_str()).await?;
            }
            let row = sqlx::raw_sql(WHO).fetch_one(&mut connection).await?;
            let (backend, timeline) = (row.try_get::<String, _>(0)?, row.try_get::<Option<String>, _>(1)?);
            Ok::<_, sqlx::Error>((connection, backend.parse().unwrap_or(0), timeline.unwrap_or_default()))
        };
        let (connection, backend, timeline) = self.wait(CONNECT, connect)?.map_err(|error| explain(&error))?;
        self.backend.store(backend, Ordering::Relaxed);
        self.timeline = timeline;
        self.connection = Some(connection);
        Ok(())
    }

    /// Prepares statements in this session and in each one to come.
    pub(super) fn prepare(&mut self, statements: String) -> Result<()> {
        if self.settings.session().is_some() {
            self.connect()?;
            self.run(async |connection| connection.execute(statements.as_str()).await)?;
            self.prepare = Some(statements);
        }
        Ok(())
    }

    /// Whether statements are prepared.
    pub(super) fn is_prepared(&self) -> bool {
        self.prepare.is_some()
    }

    /// Does something with the connection, which is given up if it fails.
    pub(super) fn run<T>(&mut self, work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>) -> Result<T> {
        let limit = self.settings.statement_timeout + GRACE;
        self.run_within(limit, work)
    }

    /// As [`Writer::run`], with a limit of its own.
    pub(super) fn run_within<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T> {
        let Some(mut connection) = self.connection.take() else {
            return Err(Error::Store("the connection to PostgreSQL was lost".into()));
        };
        let outcome = self.wait(limit, work(&mut connection))?;
        match outcome {
            Ok(answer) => {
                self.connection = Some(connection);
                Ok(answer)
            }
            Err(error) => {
                self.connection = survives(&error).then_some(connection);
                Err(explain(&error))
            }
        }
    }

    /// The server's process for the connection.
    pub(super) fn backend(&self) -> Arc<AtomicI32> {
        Arc::clone(&self.backend)
    }

    /// Looks at something in a transaction that changes nothing.
    pub(super) fn look<T>(&mut self, work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>) -> Result<T> {
        self.begin()?;
        self.run(async |connection| {
            let found = work(connection).await;
            connection.execute("ROLLBACK").await?;
            found
        })
    }

    /// Whether the connection is there.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether a transaction of which only the number is known was committed. `None`: nobody could be asked.
    pub(super) fn was_committed(&mut self, xid: &str) -> Option<bool> {
        let timeline = self.timeline.clone();
        for _ in 0..ASK_END {
            let status = sqlx::query_scalar::<_, Option<String>>("SELECT pg_xact_status($1::text::xid8)");
            let status = status.bind(xid.to_owned());
            let asked = self.look(async |connection| status.fetch_one(connection).await);
            if asked.is_ok() && self.timeline != timeline {
                return None;
            }
            match asked.as_ref().map(Option::as_deref) {
                Ok(Some("committed")) => return Some(true),
                Ok(Some("aborted")) => return Some(false),
                // Its session has not noticed yet that we are gone; or the server is not there yet.
                Ok(_) | Err(_) => std::thread::sleep(ASK_END_EVERY),
            }
        }
        None
    }

    fn wait<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T> {
        let _waiting = watchdog::waits(limit);
        let waited = self.runtime.block_on(async { tokio::time::timeout(limit, work).await });
        waited.map_err(|_| {
            Error::Store(format!(
                "PostgreSQL did not answer within {:.0} s; the connection was given up",
                limit.as_secs_f64()
            ))
        })
    }
}
