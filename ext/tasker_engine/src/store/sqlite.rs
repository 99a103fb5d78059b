//! Owns: tasks in a SQLite file, or in memory. WAL, one writer with `BEGIN IMMEDIATE`, readers beside
//! it; any number of processes of one machine may share the file. Refuses: a file on a network drive
//! that cannot lock, which SQLite itself reports.

mod backlog;
mod boot;
mod events;
mod leases;
mod migrate;
mod prune;
mod reader;
mod rows;
mod transaction;
mod watch;
mod write;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::catalogue::Catalogue;
use super::{AroundFork, Change, Reader, Store, Transaction};
use crate::bell::Bell;
use crate::clock::{Clock, Micros};
use crate::config::{Config, Synchronous};
use crate::error::{Error, Result};
use crate::interrupt::lock;
use reader::SqliteReader;
use transaction::SqliteTransaction;
use watch::Watcher;

/// Pages the WAL may hold before they are copied into the file: 32 MB. Hot pages are then copied once
/// for many commits, and the copying is rare.
const AUTOCHECKPOINT_PAGES: u32 = 8192;

/// How often a worker that is told of other processes' commits looks all the same.
const POLL_WATCHED: Duration = Duration::from_millis(250);

impl From<rusqlite::Error> for Error {
    /// What is wrong with the data is told from what is wrong with the database.
    fn from(error: rusqlite::Error) -> Error {
        use rusqlite::ffi::ErrorCode;
        let message = error.to_string();
        let refused = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => matches!(
                failure.code,
                ErrorCode::TooBig
                    | ErrorCode::ConstraintViolation
                    | ErrorCode::TypeMismatch
                    | ErrorCode::ParameterOutOfRange
            ),
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows => true,
            _ => false,
        };
        if refused {
            Error::Refused(message)
        } else {
            Error::Store(message)
        }
    }
}

/// The SQLite store.
pub struct SqliteStore {
    writer: Arc<Mutex<Connection>>,
    reader: Arc<SqliteReader>,
    catalogue: Arc<Catalogue>,
    clock: Clock,
    /// What the clock since boot lacks to the time of day, in microseconds: the same for all processes of one boot.
    boot: i64,
    watcher: Option<Arc<Watcher>>,
    /// The file that was opened: its device and number.
    file: Option<(u64, u64)>,
    data_version: i64,
    location: String,
}

impl SqliteStore {
    /// Opens the database that `config.database` names, making file, folder and schema as needed.
    pub fn open(config: &Config, catalogue: Arc<Catalogue>) -> Result<SqliteStore> {
        SqliteStore::open_with(config, catalogue, Clock::System)
    }

    /// As [`SqliteStore::open`], with a clock of the caller's.
    pub fn open_with(config: &Config, catalogue: Arc<Catalogue>, clock: Clock) -> Result<SqliteStore> {
        let location = location(config);
        let in_memory = location == ":memory:";
        let failed = |error: Error| Error::Store(format!("cannot open {location:?}: {}", strip(&error)));
        if !in_memory {
            make_folder(&location)?;
        }
        let mut writer = connect(&location, config).map_err(failed)?;
        migrate::migrate(&mut writer, &location).map_err(failed)?;
        let boot = boot::offset(&writer, &clock).map_err(failed)?;
        let data_version = data_version(&writer)?;
        let writer = Arc::new(Mutex::new(writer));
        let reading = if in_memory {
            Arc::clone(&writer)
        } else {
            let reading = connect(&location, config).map_err(failed)?;
            reading.pragma_update(None, "query_only", true)?;
            Arc::new(Mutex::new(reading))
        };
        let watcher = (!in_memory).then(|| Arc::new(Watcher::new(&location)));
        let reader = Arc::new(SqliteReader::new(reading, Arc::clone(&catalogue), watcher.clone(), in_memory));
        let file = if in_memory { None } else { identity(&location) };
        Ok(SqliteStore { writer, reader, catalogue, clock, boot, watcher, file, data_version, location })
    }

    /// A file that was deleted, renamed or put in another's place goes on living for whoever has it open, and whatever is
    /// written to it is lost for everybody else.
    fn check_file(&self) -> Result<()> {
        if self.file.is_none() || identity(&self.location) == self.file {
            return Ok(());
        }
        Err(Error::Store(format!(
            "the database file {:?} was deleted, renamed or replaced while it was in use: put it back, or restart every \
             process that uses it",
            self.location
        )))
    }

    /// Brings the schema up to date, and gives the versions before and after.
    pub fn migrate(config: &Config) -> Result<(usize, usize)> {
        let location = location(config);
        let failed = |error: Error| Error::Store(format!("cannot open {location:?}: {}", strip(&error)));
        if location != ":memory:" {
            make_folder(&location)?;
        }
        let mut writer = connect(&location, config).map_err(failed)?;
        migrate::migrate(&mut writer, &location).map_err(failed)
    }
}

fn location(config: &Config) -> String {
    let location = config.database.strip_prefix("sqlite:").unwrap_or(&config.database);
    location.strip_prefix("//").unwrap_or(location).to_owned()
}

impl Store for SqliteStore {
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        self.check_file()?;
        let watcher = self.watcher.as_deref();
        Ok(Box::new(SqliteTransaction::begin(lock(&self.writer), &self.catalogue, &self.clock, watcher)?))
    }

    fn time(&self) -> Micros {
        Micros(self.clock.tick().0.saturating_add(self.boot))
    }

    fn changed_elsewhere(&mut self) -> Result<Option<Change>> {
        let now = data_version(&lock(&self.writer))?;
        Ok((std::mem::replace(&mut self.data_version, now) != now).then_some(Change::Any))
    }

    fn subscribe(&mut self, bell: Option<Arc<Bell>>) {
        if let Some(watcher) = &self.watcher {
            watcher.rings(bell);
        }
    }

    fn poll_interval(&self, configured: Duration) -> Duration {
        if self.watcher.as_ref().is_some_and(|watcher| watcher.is_watching()) {
            configured.max(POLL_WATCHED)
        } else {
            configured
        }
    }

    fn flush_notices(&mut self) -> Option<Duration> {
        None
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }

    fn around_fork(&self) -> Arc<dyn AroundFork> {
        Arc::new(Connections { writer: Arc::clone(&self.writer), reading: self.reader.connection() })
    }

    fn describe(&self) -> String {
        format!("sqlite:{}", self.location)
    }
}

/// Both connections of a process; the same one twice for a database in memory.
struct Connections {
    writer: Arc<Mutex<Connection>>,
    reading: Arc<Mutex<Connection>>,
}

impl AroundFork for Connections {
    /// SQLite keeps one record per file and process of the locks it holds. Between two transactions it
    /// is clean, and closing the connections in the child removes it there, so that the file can be
    /// opened anew. The parent's locks are the parent's: the child's closing leaves them alone.
    fn around_fork(&self, fork: &mut dyn FnMut() -> bool) {
        let mut writer = lock(&self.writer);
        let mut reading = (!Arc::ptr_eq(&self.writer, &self.reading)).then(|| lock(&self.reading));
        if fork() {
            close_inherited(&mut writer);
            reading.iter_mut().for_each(|reading| close_inherited(reading));
        }
    }

    fn close_inherited(&self) -> bool {
        let free = |connection: &Mutex<Connection>| match connection.try_lock() {
            Ok(mut connection) => {
                close_inherited(&mut connection);
                true
            }
            Err(_) => false,
        };
        let writer = free(&self.writer);
        let reading = Arc::ptr_eq(&self.writer, &self.reading) || free(&self.reading);
        writer && reading
    }
}

fn close_inherited(connection: &mut Connection) {
    match Connection::open_in_memory() {
        Ok(nothing) => drop(std::mem::replace(connection, nothing)),
        Err(error) => tracing::error!(error = %error, "A forked child could not close the database it inherited"),
    }
}

fn strip(error: &Error) -> String {
    match error {
        Error::Store(message) => message.clone(),
        other => other.to_string(),
    }
}

fn make_folder(location: &str) -> Result<()> {
    let folder = Path::new(location).parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(folder) = folder else { return Ok(()) };
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::Store(format!("cannot make the folder {} for the database: {error}", folder.display())))
}

fn connect(location: &str, config: &Config) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(location, flags)?;
    let busy_timeout = Duration::try_from_secs_f64(config.busy_timeout)
        .map_err(|_| Error::Configuration("busy_timeout must be a number of seconds".into()))?;
    connection.busy_timeout(busy_timeout)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    let synchronous = match config.synchronous {
        Synchronous::Full => "full",
        Synchronous::Normal => "normal",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES)?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn identity(location: &str) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(location).ok().map(|file| (file.dev(), file.ino()))
}

fn data_version(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}
