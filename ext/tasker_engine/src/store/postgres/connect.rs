//! Owns: what went wrong between here and the server, with a hint at what helps.

use sqlx::error::DatabaseError;

use crate::error::Error;

/// The error as the engine knows it.
pub(super) fn explain(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(error) => database(error.as_ref()),
        sqlx::Error::Io(error) if error.to_string().contains("certificate") => Error::Store(format!(
            "no TLS connection to PostgreSQL: {error}. Check sslmode and sslrootcert in DATABASE_URL"
        )),
        sqlx::Error::Io(error) => Error::Store(format!(
            "no connection to PostgreSQL: {error}. Is the server running and reachable at the host and port of DATABASE_URL?"
        )),
        sqlx::Error::Tls(error) => Error::Store(format!(
            "no TLS connection to PostgreSQL: {error}. Check sslmode and sslrootcert in DATABASE_URL"
        )),
        sqlx::Error::PoolTimedOut => Error::Store(
            "no connection to PostgreSQL could be had within 5 s: the server accepts no more of them (max_connections), \
             is not reachable, or all of pool_size are in use"
                .into(),
        ),
        sqlx::Error::Protocol(said) => Error::Store(format!(
            "PostgreSQL: {said}. If a pooler in transaction mode stands in between, add ?pgbouncer=true to DATABASE_URL"
        )),
        other => Error::Store(format!("PostgreSQL: {other}")),
    }
}

fn database(error: &dyn DatabaseError) -> Error {
    let code = error.code().unwrap_or_default();
    let said = error.message();
    if code == "23505" && error.constraint() == Some("journal_seq") {
        return Error::Contention("another transaction was faster with one of the tasks".into());
    }
    if code == super::leases::NO_ROW {
        return Error::LeaseLost("its row is gone".into());
    }
    // What was written is at fault: a value the server does not take, or too much of it.
    if ["22", "23", "54"].contains(&code.get(..2).unwrap_or_default()) {
        return Error::Refused(format!("PostgreSQL: {said} ({code})"));
    }
    let hint = match &*code {
        "40001" | "40P01" | "55P03" => return Error::Contention(format!("PostgreSQL: {said} ({code})")),
        "28P01" | "28000" => "Check user and password in DATABASE_URL, and the server's pg_hba.conf",
        "3D000" => "Create the database (createdb), or name another one in DATABASE_URL",
        "42501" => {
            "Give the role what it lacks: docs/operations/postgresql.md lists the grants; or let a role that has them run \
             `rake tasker:migrate`"
        }
        "25006" => "This server is a read-only replica: name the primary in DATABASE_URL",
        "53300" => "The server is out of connections: raise max_connections, lower pool_size, or use PgBouncer",
        "53100" | "53200" => "The server is out of disk or memory",
        "57014" => "A statement ran longer than statement_timeout; see what the server waits for in pg_stat_activity",
        "57P01" | "57P02" | "57P03" | "25P03" => "The server ended the connection; it is made again by itself",
        "42P01" | "3F000" | "42883" | "42703" => {
            "The schema is not the one this version needs: run `rake tasker:migrate`"
        }
        "26000" | "42P05" => STATEMENTS_LOST,
        "08P01" => protocol(said),
        _ => return Error::Store(format!("PostgreSQL: {said} ({code})")),
    };
    Error::Store(format!("PostgreSQL: {said} ({code}). {hint}"))
}

const STATEMENTS_LOST: &str = "Prepared statements are lost between transactions: add ?pgbouncer=true to \
    DATABASE_URL if a pooler in transaction mode stands in between";

/// What helps where the protocol is said to be violated. PgBouncer says so of whatever it refuses.
fn protocol(said: &str) -> &'static str {
    let said = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["prepared statement", "extra_float_digits"]) {
        STATEMENTS_LOST
    } else if has(&["startup parameter"]) {
        "Take that parameter out of DATABASE_URL, or name it in PgBouncer's ignore_startup_parameters"
    } else if has(&["authentication failed", "no such user", "password"]) {
        "Check user and password in DATABASE_URL, and that PgBouncer's auth_file or auth_query has them"
    } else if has(&["no such database"]) {
        "Name a database in DATABASE_URL that the section [databases] of PgBouncer's configuration has"
    } else if has(&["max_client_conn", "max_db_connections", "max_user_connections", "query_wait_timeout"]) {
        "PgBouncer is out of connections: raise that limit or default_pool_size, or lower pool_size"
    } else {
        "If PgBouncer stands in between, its log says more"
    }
}

/// Whether the connection may be used again after that error.
pub(super) fn survives(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            !(code.starts_with("57P") || code.starts_with("08") || matches!(&*code, "25P03" | "25P04"))
        }
        sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbouncer_refuses_has_the_hint_that_helps() {
        for (said, hint) in [
            ("bind message supplies 2 parameters, but prepared statement \"sqlx_s_1\" requires 1", "?pgbouncer=true"),
            ("unsupported startup parameter: extra_float_digits", "?pgbouncer=true"),
            ("unsupported startup parameter: options", "ignore_startup_parameters"),
            ("SASL authentication failed", "user and password"),
            ("no such user: shop", "user and password"),
            ("no such database: orders", "[databases]"),
            ("no more connections allowed (max_client_conn)", "out of connections"),
            ("query_wait_timeout", "out of connections"),
            ("server conn crashed?", "its log"),
        ] {
            assert!(protocol(said).contains(hint), "{said}: {}", protocol(said));
        }
    }
}
