//! Owns: what is set about the connections: where to, and how they behave.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::ConnectOptions;

use crate::config::Config;
use crate::error::{Error, Result};

/// How long a server may leave a transaction of ours without a statement before it ends it, and with it what the
/// transaction holds: a process that was stopped in the middle of one must not stop others.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(15);

/// The settings of one database.
pub(super) struct Settings {
    pub(super) options: PgConnectOptions,
    /// Whether a pooler gives each transaction another session: then none may be relied on.
    pub(super) pooler: bool,
    /// The most connections that read.
    pub(super) pool_size: u32,
    /// The longest a statement may run.
    pub(super) statement_timeout: Duration,
    /// The longest it waits for another transaction: a lease must be renewed in the meantime.
    lock_timeout: Duration,
}

const SHORTEST_LOCK: Duration = Duration::from_millis(250);
const LONGEST_LOCK: Duration = Duration::from_secs(3);

impl Settings {
    /// Reads `config.database`. Besides what libpq's URLs know, it may say `pgbouncer=true`: a pooler in transaction
    /// mode stands between here and the server.
    pub(super) fn read(config: &Config) -> Result<Settings> {
        let (url, pooler) = ours(&config.database)?;
        let wrong = |error: sqlx::Error| {
            Error::Configuration(format!(
                "database: the PostgreSQL URL cannot be used: {error}. Write postgres://user:password@host:5432/name"
            ))
        };
        let mut options = PgConnectOptions::from_str(&url).map_err(wrong)?;
        if options.get_application_name().is_none() {
            options = options.application_name("tasker_core");
        }
        options = options.disable_statement_logging();
        let statement_timeout = Duration::from_secs_f64(config.statement_timeout);
        let lock_timeout = (config.worker.lease() / 4).clamp(SHORTEST_LOCK, LONGEST_LOCK);
        if pooler {
            options = options.statement_cache_capacity(0).extra_float_digits(None);
        } else {
            let timeout = format!("{}ms", statement_timeout.as_millis());
            let idle = format!("{}ms", IDLE_IN_TRANSACTION.as_millis());
            let lock = format!("{}ms", lock_timeout.as_millis());
            options = options.options([
                ("statement_timeout", timeout.as_str()),
                ("idle_in_transaction_session_timeout", idle.as_str()),
                ("lock_timeout", lock.as_str()),
                ("client_min_messages", "warning"),
            ]);
        }
        Ok(Settings { options, pooler, pool_size: config.pool_size, statement_timeout, lock_timeout })
    }

    /// Whether to LISTEN: a session of one's own is needed for it.
    pub(super) fn listens(&self) -> bool {
        !self.pooler
    }

    /// Where the data is, without the password.
    pub(super) fn describe(&self) -> String {
        let options = &self.options;
        let host =
            options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
        let (user, port) = (options.get_username(), options.get_port());
        format!("postgres://{user}@{host}:{port}/{}", options.get_database().unwrap_or(user))
    }

    /// What a transaction that writes begins with. Its statements work by number on rows that are always few: the
    /// planner must not be led astray by what it believes of a table that has only begun to grow. Behind a pooler the
    /// session may be anybody's, with his settings and prepared statements.
    pub(super) fn begin(&self) -> String {
        if self.pooler {
            let timeout = self.statement_timeout.as_millis();
            let idle = IDLE_IN_TRANSACTION.as_millis();
            let lock = self.lock_timeout.as_millis();
            let local = SESSION.replace("SET ", "SET LOCAL ");
            format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; DEALLOCATE ALL; SET LOCAL statement_timeout = {timeout}; \
                 SET LOCAL idle_in_transaction_session_timeout = {idle}; SET LOCAL lock_timeout = {lock}; {local}"
            )
        } else {
            "BEGIN ISOLATION LEVEL READ COMMITTED".into()
        }
    }

    /// What a read begins with; `None` when it needs no transaction.
    pub(super) fn begin_read(&self) -> Option<&'static str> {
        self.pooler.then_some("BEGIN READ ONLY; DEALLOCATE ALL")
    }

    /// What a read of one moment begins with.
    pub(super) fn begin_snapshot(&self) -> &'static str {
        if self.pooler {
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; DEALLOCATE ALL"
        } else {
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        }
    }

    /// What the session that writes is told once.
    pub(super) fn session(&self) -> Option<&'static str> {
        (!self.pooler).then_some(SESSION)
    }
}

pub(super) const SESSION: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
    SET plan_cache_mode = force_generic_plan; SET timezone = 'UTC'";

/// Parameters of a URL that mean something here. Frameworks put others beside them (`pool`, `timeout`, …).
const PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The URL with nothing but what is known, and whether it asks for a pooler.
fn ours(url: &str) -> Result<(String, bool)> {
    let Some((base, query)) = url.split_once('?') else { return Ok((url.to_owned(), false)) };
    let mut pooler = false;
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("pgbouncer", "true")) => pooler = true,
            Some(("pgbouncer", "false")) => pooler = false,
            Some(("pgbouncer", other)) => {
                return Err(Error::Configuration(format!("database: pgbouncer is true or false, not {other:?}")));
            }
            Some((key, _)) if PARAMETERS.contains(&key) || key.starts_with("options[") => rest.push(pair),
            _ => {}
        }
    }
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Ok((url, pooler))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Settings> {
        Settings::read(&Config { database: url.into(), ..Config::default() })
    }

    #[test]
    fn a_password_is_never_shown_and_a_pooler_is_asked_for_by_name() {
        let settings = read("postgres://shop:s3cret@db.example:6432/orders?pgbouncer=true&sslmode=require").unwrap();
        assert_eq!(settings.describe(), "postgres://shop@db.example:6432/orders");
        assert!(settings.pooler && !settings.listens() && settings.begin().contains("SET LOCAL statement_timeout"));
        assert!(settings.session().is_none());
        let direct = read("postgres://shop@db.example/orders").unwrap();
        assert!(
            !direct.pooler && direct.listens() && direct.begin().starts_with("BEGIN ISOLATION LEVEL READ COMMITTED")
        );
    }

    #[test]
    fn a_url_that_is_none_is_refused_with_an_example() {
        for url in ["postgres://[", "postgres://h:notaport/x", "postgres://h/x?pgbouncer=maybe"] {
            assert!(matches!(read(url), Err(Error::Configuration(_))), "{url}");
        }
    }
}
