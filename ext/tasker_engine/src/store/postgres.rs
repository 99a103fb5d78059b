//! Owns: tasks in PostgreSQL, their messages in PGMQ. One connection writes, a pool reads, one listens. Any number of
//! processes and machines may share the database: a transaction holds the tasks it works on, and no two wait for each
//! other. Refuses: a session's state between transactions where a pooler of connections stands in between.

mod apply;
mod claim;
mod connect;
mod listen;
mod load;
mod migrate;
mod prune;
mod queue;
mod reader;
mod rows;
mod settings;
mod transaction;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catalogue::Catalogue;
use super::{AroundFork, Change, Reader, Store, Transaction};
use crate::channel::Bell;
use crate::config::Config;
use crate::error::{Error, Result};
use listen::Listener;
use reader::PostgresReader;
use settings::Settings;
use transaction::PostgresTransaction;
use writer::Writer;

/// How often a worker looks for what others committed, though it would be told.
const ASK_TOLD: Duration = Duration::from_secs(1);
/// How often it looks when nobody tells it.
const ASK_UNTOLD: Duration = Duration::from_millis(100);

/// The statements whose cost must not grow with what has been finished, by name, and the settings of the session that
/// executes them: for whoever wants to EXPLAIN them.
pub const STATEMENTS: &[(&str, &str)] = &[
    ("session", settings::SESSION),
    ("lock tasks", load::TASKS),
    ("load steps", load::STEPS),
    ("load inputs", load::CONTEXTS),
    ("find enqueued", claim::ENQUEUED),
    ("find due tasks", claim::DUE_TASKS),
    ("find due steps", claim::DUE_STEPS),
    ("find next due", claim::NEXT_DUE),
    ("count backlog", claim::BACKLOG),
    ("renew leases", claim::RENEW),
    ("insert tasks", apply::INSERT_TASKS),
    ("insert steps", apply::INSERT_STEPS),
    ("send messages", queue::SEND),
    ("hide messages", queue::HIDE),
    ("write", apply::WRITE),
    ("find old tasks", prune::OLD),
    ("delete old tasks", prune::DELETE),
    ("delete old workers", prune::WORKERS),
    ("read a task", reader::TASK),
    ("read steps", reader::STEPS),
    ("read transitions", reader::TRANSITIONS),
];

/// The PostgreSQL store.
pub struct PostgresStore {
    settings: Arc<Settings>,
    writer: Writer,
    reader: Arc<PostgresReader>,
    listener: Arc<Listener>,
    catalogue: Arc<Catalogue>,
    asked: Instant,
}

impl PostgresStore {
    /// Connects to the database that `config.database` names, and brings its schema up to date unless
    /// `config.migrate` forbids it.
    ///
    /// # Errors
    /// [`Error::Store`] when the server cannot be used as it is; [`Error::Configuration`] for a URL that is none. The
    /// message names the cure.
    pub fn open(config: &Config, catalogue: Arc<Catalogue>) -> Result<PostgresStore> {
        let settings = Arc::new(Settings::read(config)?);
        let mut writer = Writer::new(Arc::clone(&settings))?;
        migrate::migrate(&mut writer, &settings, config.migrate)?;
        writer.prepare(load::prepare())?;
        let reader = Arc::new(PostgresReader::open(&settings, Arc::clone(&catalogue))?);
        let listener = Arc::new(Listener::new(writer.backend()));
        Ok(PostgresStore { settings, writer, reader, listener, catalogue, asked: Instant::now() })
    }

    /// Brings the schema of the database that `config.database` names up to date, and says what it did: the versions
    /// before and after.
    ///
    /// # Errors
    /// As for [`PostgresStore::open`]; then nothing was changed.
    pub fn migrate(config: &Config) -> Result<(usize, usize)> {
        let settings = Arc::new(Settings::read(config)?);
        let mut writer = Writer::new(Arc::clone(&settings))?;
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
        Ok(Box::new(PostgresTransaction::begin(&mut self.writer, &self.catalogue)?))
    }

    fn changed_elsewhere(&mut self) -> Result<Option<Change>> {
        let told = self.listener.take();
        if self.asked.elapsed() >= self.ask_every(Duration::ZERO) {
            self.asked = Instant::now();
            return Ok(Some(Change::Any));
        }
        Ok(told)
    }

    fn ring(&mut self, bell: Arc<Bell>) {
        if let (true, Some(runtime)) = (self.settings.listens(), self.reader.runtime()) {
            self.listener.start(runtime, self.reader.pool(), bell);
        }
    }

    fn ask_every(&self, configured: Duration) -> Duration {
        configured.max(if self.listener.is_listening() { ASK_TOLD } else { ASK_UNTOLD })
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }

    fn connections(&self) -> usize {
        1 + usize::from(self.settings.listens()) + self.settings.pool_size as usize
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
