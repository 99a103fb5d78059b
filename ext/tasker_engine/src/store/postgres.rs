//! Owns: tasks in PostgreSQL, their messages in PGMQ. One connection writes, a pool reads, one listens. Any number of
//! processes and machines may share the database: a transaction holds the tasks it works on, and no two wait for each
//! other. Refuses: a session's state between transactions where a pooler of connections stands in between.

mod claim;
mod connect;
mod echo;
mod events;
mod idempotency;
mod leases;
mod listen;
mod load;
mod migrate;
mod notices;
mod pgmq_sql;
mod prune;
mod queue;
mod queue_statements;
mod reader;
mod remembered;
mod rows;
mod settings;
mod transaction;
mod write;
mod writer;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::echo::Echo;
use super::catalogue::Catalogue;
use super::{AroundFork, Change, Loaded, Reader, Store, Transaction};
use crate::bell::Bell;
use crate::clock::{Clock, Micros};
use crate::config::Config;
use crate::error::{Error, Result};
use listen::Listener;
use notices::Notices;
use queue_statements::QueueStatements;
use reader::PostgresReader;
use remembered::Remembered;
use settings::Settings;
use sqlx::Executor;
use transaction::{EventQueues, PostgresTransaction};
use write::Script;
use writer::Writer;

/// How often a worker looks for what others committed, though it would be notified.
const POLL_NOTIFIED: Duration = Duration::from_secs(1);
/// How often it looks when nobody notifies it.
const POLL_UNNOTIFIED: Duration = Duration::from_millis(100);

/// The statements whose cost must not grow with what has been finished, by name, and the settings of the session that
/// executes them: for whoever wants to EXPLAIN them.
pub const STATEMENTS: &[(&str, &str)] = &[
    ("session", settings::SESSION),
    ("lock tasks", load::TASKS),
    ("lock free tasks", load::FREE_TASKS),
    ("lock claimable tasks", load::CLAIMABLE_TASKS),
    ("load steps", load::STEPS),
    ("load last of journals", load::LAST),
    ("load inputs", load::CONTEXTS),
    ("find claimable", claim::CLAIMABLE),
    ("find due tasks", claim::DUE_TASKS),
    ("find due steps", claim::DUE_STEPS),
    ("find next due", claim::NEXT_DUE),
    ("count backlog", claim::BACKLOG),
    ("lock remembered tasks", write::LOCK_NOW),
    ("insert tasks", write::INSERT_TASKS),
    ("insert steps", write::INSERT_STEPS),
    ("insert journal", write::INSERT_JOURNAL),
    ("update tasks", write::UPDATE_TASKS),
    ("update steps", write::UPDATE_STEPS),
    ("settle steps", write::SETTLE_STEPS),
    ("send messages", queue::SEND),
    ("delete messages", queue::DELETE),
    ("write events", events::WRITE),
    ("renew a lease", leases::RENEW),
    ("hold claims", leases::HOLD),
    ("find lapsed workers", leases::LAPSED),
    ("find lost claims", leases::LOST),
    ("find old tasks", prune::OLD),
    ("delete old tasks", prune::DELETE),
    ("read a task", reader::TASK),
    ("read steps", reader::STEPS),
    ("read a journal", reader::JOURNAL),
];

/// Numbers for new tasks that were drawn and not used. They grow with age: what is not used soon is thrown away.
#[derive(Default)]
struct TaskIds {
    left: Vec<i64>,
    drawn: Option<Instant>,
    ahead: usize,
}

/// How long a number keeps.
const FRESH: Duration = Duration::from_millis(500);
/// The most that are drawn ahead.
const AHEAD: usize = 64;

impl TaskIds {
    /// As many as are wanted, or none.
    fn take(&mut self, wanted: usize) -> Vec<i64> {
        if self.drawn.is_none_or(|drawn| drawn.elapsed() > FRESH) {
            self.left.clear();
        }
        if self.left.len() < wanted {
            return Vec::new();
        }
        self.left.drain(..wanted).collect()
    }

    /// Keeps those of the numbers that are not wanted at once; gives the others.
    fn keep(&mut self, mut found: Vec<i64>, wanted: usize) -> Vec<i64> {
        self.left = found.split_off(wanted.min(found.len()));
        self.drawn = Some(Instant::now());
        found
    }

    /// How many to draw for so many: more each time that those before were gone while they were fresh.
    fn draw(&mut self, wanted: usize) -> usize {
        let fresh = self.drawn.is_some_and(|drawn| drawn.elapsed() <= FRESH);
        self.ahead = if fresh { (2 * self.ahead).min(AHEAD) } else { 1 };
        wanted + self.ahead
    }
}

/// The PostgreSQL store.
pub struct PostgresStore {
    settings: Arc<Settings>,
    writer: Writer,
    reader: Arc<PostgresReader>,
    listener: Arc<Listener>,
    catalogue: Arc<Catalogue>,
    remembered: Remembered,
    notices: Notices,
    task_ids: TaskIds,
    queues: QueueStatements,
    event_statements: QueueStatements,
    event_queues: EventQueues,
    /// The session in which what is remembered and what was drawn is true.
    session: u64,
    /// Candidates looked at for each step that is wanted.
    look_ahead: usize,
    asked: Instant,
}

impl PostgresStore {
    /// Connects to the database that `config.database` names, and brings its schema up to date unless
    /// `config.migrate` forbids it.
    ///
    /// # Errors
    /// [`Error::Store`] when the server cannot be used as it is; [`Error::Configuration`] for a URL that is none. The
    /// message has a hint.
    pub fn open(config: &Config, catalogue: Arc<Catalogue>) -> Result<PostgresStore> {
        PostgresStore::open_with(config, catalogue, Clock::System)
    }

    /// As [`PostgresStore::open`], with a clock of the caller's.
    pub fn open_with(config: &Config, catalogue: Arc<Catalogue>, clock: Clock) -> Result<PostgresStore> {
        let settings = Arc::new(Settings::read(config)?);
        let mut writer = Writer::new(Arc::clone(&settings), clock)?;
        migrate::migrate(&mut writer, &settings, config.migrate)?;
        writer.prepare(format!("{};{};{}", load::prepare(), claim::prepare(), write::prepare()))?;
        let listener = Arc::new(Listener::new(writer.backend(), Echo::new(catalogue.observer())));
        let reader =
            Arc::new(PostgresReader::open(&settings, Arc::clone(&catalogue), Arc::clone(&listener), writer.open())?);
        Ok(PostgresStore {
            settings,
            writer,
            reader,
            notices: Notices::new(listener.echo()),
            listener,
            remembered: Remembered::new(catalogue.observer()),
            catalogue,
            task_ids: TaskIds::default(),
            queues: QueueStatements::of(queue_statements::of_steps),
            event_statements: QueueStatements::of(events::statement),
            event_queues: EventQueues::default(),
            session: 0,
            look_ahead: 1,
            asked: Instant::now(),
        })
    }

    /// Brings the schema of the database that `config.database` names up to date, and says what it did: the versions
    /// before and after.
    ///
    /// # Errors
    /// As for [`PostgresStore::open`]; then nothing was changed.
    pub fn migrate(config: &Config) -> Result<(usize, usize)> {
        let settings = Arc::new(Settings::read(config)?);
        let mut writer = Writer::new(Arc::clone(&settings), Clock::System)?;
        migrate::migrate(&mut writer, &settings, true)
    }

    /// Where the database that `config.database` names is, without the password and without connecting: for fuzzing.
    #[doc(hidden)]
    pub fn describe_url(config: &Config) -> Result<String> {
        Settings::read(config).map(|settings| settings.describe())
    }

    /// The SQL that brings an empty database to this version, for a person to run with psql.
    pub fn migration_sql() -> String {
        migrate::sql()
    }
}

impl Store for PostgresStore {
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        self.session()?;
        self.queues.prepare(&mut self.writer)?;
        self.event_statements.prepare(&mut self.writer)?;
        self.notices.awaited = self.listener.is_awaited();
        Ok(Box::new(PostgresTransaction {
            writer: &mut self.writer,
            catalogue: &self.catalogue,
            remembered: &mut self.remembered,
            notices: &mut self.notices,
            task_ids: &mut self.task_ids,
            queues: &mut self.queues,
            event_statements: &mut self.event_statements,
            event_queues: &mut self.event_queues,
            look_ahead: &mut self.look_ahead,
            begun: false,
            script: Script::default(),
            written: Vec::new(),
            unlocked: HashSet::new(),
            found: Loaded::default(),
            probe: None,
        }))
    }

    fn session(&mut self) -> Result<u64> {
        self.writer.connect()?;
        let session = self.writer.session();
        if std::mem::replace(&mut self.session, session) != session {
            self.remembered.clear();
            self.task_ids = TaskIds::default();
        }
        Ok(session)
    }

    fn time(&self) -> Micros {
        self.writer.time()
    }

    fn changed_elsewhere(&mut self) -> Result<Option<Change>> {
        let heard = self.listener.take();
        if self.asked.elapsed() >= self.poll_interval(Duration::ZERO) {
            self.asked = Instant::now();
            return Ok(Some(Change::Any));
        }
        Ok(heard)
    }

    fn subscribe(&mut self, bell: Option<Arc<Bell>>) {
        if let (true, Some(runtime)) = (self.settings.listens(), self.reader.runtime()) {
            self.listener.rings(runtime, self.reader.pool(), bell);
        }
    }

    fn poll_interval(&self, configured: Duration) -> Duration {
        configured.max(if self.listener.hears_work() { POLL_NOTIFIED } else { POLL_UNNOTIFIED })
    }

    fn flush_notices(&mut self) -> Option<Duration> {
        if self.notices.are_due() {
            let mut script = Script::default();
            // Nothing of it is on the disk: it waits for none.
            script.statement("SET LOCAL synchronous_commit = off");
            self.notices.write(&mut script);
            let sent = self
                .writer
                .connect()
                .and_then(|()| self.writer.run(async |connection| connection.execute(script.text()).await.map(drop)));
            match sent {
                Ok(()) => self.notices.were_sent(),
                Err(error) => {
                    self.notices.were_lost();
                    tracing::debug!(%error, "Other processes were not told of commits; they look");
                }
            }
        }
        self.notices.wait()
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }

    fn around_fork(&self) -> Arc<dyn AroundFork> {
        Arc::new(LeaveAlone)
    }

    fn describe(&self) -> String {
        self.settings.describe()
    }
}

/// A connection is a socket that parent and child would share. The child never touches its copy, not even to close
/// it: a goodbye would end the parent's session. It is forgotten together with the engine.
struct LeaveAlone;

impl AroundFork for LeaveAlone {
    fn around_fork(&self, fork: &mut dyn FnMut() -> bool) {
        fork();
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("database", &self.describe()).finish_non_exhaustive()
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        connect::explain(&error)
    }
}
