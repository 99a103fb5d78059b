//! Owns: the one connection that writes: made when needed, given up when it fails. Refuses: being used by two threads.

use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use tokio::runtime::{Builder, Runtime};

use super::connect::{explain, survives};
use super::rows::micros;
use super::settings::Settings;
use super::write::Probe;
use crate::clock::{Clock, Micros, Tick};
use crate::error::{Error, Result};
use crate::watchdog;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How much longer than its own statement timeout the server may take to say so.
const GRACE: Duration = Duration::from_secs(2);
/// How long, and how often in it, the server is asked how a transaction ended whose commit was not answered.
const ASK_END: Duration = Duration::from_secs(10);
const ASK_END_EVERY: Duration = Duration::from_millis(100);
/// The server's process for the connection, and its time.
const WHO: &str = "SELECT pg_backend_pid()::text, clock_timestamp() AS now";

/// Ends the session that was left behind, if it is still there: then its transaction is over, one way or the other.
const END_SESSION: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND usename = current_user \
    AND backend_start < now() AND pid <> pg_backend_pid() AND application_name = current_setting('application_name')";

const WAS_WRITTEN: &str =
    "SELECT coalesce((SELECT moves::text = $3 FROM tasker.journal WHERE task_id = $1 AND seq = $2), false)";

/// Behind a pooler nobody knows which session it was. But the row was there before the COMMIT was sent: whoever tries to
/// write it as well waits for the end of that transaction. It is rolled back in any case.
const WAIT_FOR_END: &str =
    "INSERT INTO tasker.journal (task_id, seq, at, since, moves) VALUES ($1, $2, now(), now(), '[]') \
    ON CONFLICT DO NOTHING";

/// The same for an event that was published outside of a task.
const WAS_PUBLISHED: &str = "SELECT EXISTS (SELECT 1 FROM tasker.events WHERE event_id = $1)";
const WAIT_FOR_PUBLISHED: &str = "INSERT INTO tasker.events (event_id, namespace, name, fired_at, message) \
    VALUES ($1, '', '', now(), '{}') ON CONFLICT DO NOTHING";

/// How long an answer is waited for awake, while answers usually take no longer than [`SMALL`]: to fall asleep and to be
/// woken takes half as long as a small transaction. While transactions are large, or the disk is slow, the thread sleeps.
const SPIN: Duration = Duration::from_micros(200);
const SMALL: Duration = Duration::from_millis(1);

async fn spin() {
    let began = Instant::now();
    while began.elapsed() < SPIN {
        tokio::task::yield_now().await;
    }
}

/// The connection, and the runtime that drives it on the thread that waits for it: an answer wakes nobody else.
pub(super) struct Writer {
    settings: Arc<Settings>,
    clock: Clock,
    runtime: Runtime,
    connection: Option<PgConnection>,
    /// What time the server said it was, and when.
    time: (Micros, Tick),
    /// How long answers have taken lately.
    usual: Cell<Duration>,
    /// How many sessions there have been.
    sessions: u64,
    /// The server's process for the connection: what it notifies of is no news here.
    backend: Arc<AtomicI32>,
    /// Whether the connection is there: for those who count.
    open: Arc<AtomicBool>,
    /// What each new session prepares; nothing until the schema is there, and nothing behind a pooler.
    prepare: Option<String>,
}

impl Writer {
    pub(super) fn new(settings: Arc<Settings>, clock: Clock) -> Result<Writer> {
        let runtime = Builder::new_current_thread().enable_all().event_interval(1).build();
        let runtime = runtime.map_err(|error| Error::Internal(format!("no runtime for PostgreSQL: {error}")))?;
        Ok(Writer {
            settings,
            clock,
            runtime,
            connection: None,
            time: Default::default(),
            usual: Cell::default(),
            sessions: 0,
            backend: Arc::default(),
            open: Arc::default(),
            prepare: None,
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
            let backend: String = row.try_get(0)?;
            Ok::<_, sqlx::Error>((connection, backend.parse().unwrap_or(0), micros(&row, "now")?))
        };
        let (connection, backend, now) = self.wait(CONNECT, connect)?.map_err(|error| explain(&error))?;
        self.backend.store(backend, Ordering::Relaxed);
        self.connection = Some(connection);
        self.open.store(true, Ordering::Relaxed);
        self.set_time(now);
        self.sessions += 1;
        Ok(())
    }

    /// Which session this is, or was: counted from 1.
    pub(super) fn session(&self) -> u64 {
        self.sessions
    }

    /// The server has just said what time it is. Where the clock is a test's, so is the server's.
    pub(super) fn set_time(&mut self, now: Micros) {
        let tick = self.clock.tick();
        self.time = (if matches!(self.clock, Clock::System) { now } else { Micros(tick.0) }, tick);
    }

    /// The server's time, as far as this process can tell without asking.
    pub(super) fn time(&self) -> Micros {
        let (said, at) = self.time;
        said.after(self.clock.tick().since(at))
    }

    /// Prepares statements in this session and in each one to come.
    pub(super) fn prepare(&mut self, statements: String) -> Result<()> {
        if self.settings.session().is_some() {
            self.connect()?;
            self.execute(&statements)?;
            self.prepare = Some(statements);
        }
        Ok(())
    }

    /// Executes statements, in one message.
    pub(super) fn execute(&mut self, statements: &str) -> Result<()> {
        self.run(async |connection| connection.execute(statements).await.map(drop))
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
        let outcome = self.wait(limit, work(&mut connection));
        let outcome = outcome.inspect_err(|_| self.open.store(false, Ordering::Relaxed))?;
        match outcome {
            Ok(answer) => {
                self.connection = Some(connection);
                Ok(answer)
            }
            Err(error) => {
                self.connection = survives(&error).then_some(connection);
                self.open.store(self.connection.is_some(), Ordering::Relaxed);
                Err(explain(&error))
            }
        }
    }

    /// The server's process for the connection.
    pub(super) fn backend(&self) -> Arc<AtomicI32> {
        Arc::clone(&self.backend)
    }

    /// Whether the connection is there, for whoever counts connections.
    pub(super) fn open(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.open)
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

    /// What a transaction begins with.
    pub(super) fn begin_statement(&self) -> String {
        self.settings.begin()
    }

    /// Whether a transaction was committed that should have left that row. `None`: nobody could be asked.
    pub(super) fn was_written(&mut self, probe: &Probe) -> Option<bool> {
        let (began, behind) = (Instant::now(), self.backend.load(Ordering::Relaxed));
        let pooler = self.settings.pooler;
        while began.elapsed() < ASK_END {
            if pooler || matches!(self.is_over(behind), Ok(true)) {
                let (find, wait) = match probe {
                    Probe::Journal { task_id, seq, moves } => (
                        sqlx::query_scalar(WAS_WRITTEN).bind(task_id).bind(seq).bind(moves),
                        sqlx::query(WAIT_FOR_END).bind(task_id).bind(seq),
                    ),
                    Probe::Event(event_id) => (
                        sqlx::query_scalar(WAS_PUBLISHED).bind(event_id),
                        sqlx::query(WAIT_FOR_PUBLISHED).bind(event_id),
                    ),
                };
                let written = self.look(async |connection| {
                    if pooler && wait.execute(&mut *connection).await?.rows_affected() == 1 {
                        return Ok(false);
                    }
                    find.fetch_one(connection).await
                });
                if let Ok(written) = written {
                    return Some(written);
                }
            }
            // Its session has not ended yet; or the server is not there yet.
            std::thread::sleep(ASK_END_EVERY);
        }
        None
    }

    /// Whether the session that was left behind is gone.
    fn is_over(&mut self, backend: i32) -> Result<bool> {
        let end = sqlx::query(END_SESSION).bind(backend);
        let found = self.look(async |connection| end.fetch_all(connection).await)?;
        Ok(found.is_empty())
    }

    fn wait<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T> {
        let _waiting = watchdog::waits(limit);
        let (began, awake) = (Instant::now(), self.usual.get() < SMALL);
        let answer = async {
            let mut work = std::pin::pin!(work);
            tokio::select! {
                biased;
                answer = &mut work => answer,
                () = spin(), if awake => work.await,
            }
        };
        let waited = self.runtime.block_on(async { tokio::time::timeout(limit, answer).await });
        self.usual.set((3 * self.usual.get() + began.elapsed()) / 4);
        waited.map_err(|_| {
            Error::Store(format!(
                "PostgreSQL did not answer within {:.0} s; the connection was given up",
                limit.as_secs_f64()
            ))
        })
    }
}
