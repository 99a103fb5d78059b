//! A server that cannot be used is refused with the cure, and nothing is left behind.

use tasker_engine::bootstrap::Engine;
use tasker_engine::config::Config;
use tasker_engine::error::Error;

use crate::harness::config;
use crate::harness::postgres::Database;

/// The error of an engine that must not open, which names what is expected.
fn refused(config: &Config, names: &[&str]) -> String {
    let error = Engine::open(config).err().expect("it opened");
    let said = error.to_string();
    assert!(matches!(error, Error::Store(_)), "{said}");
    for name in names {
        assert!(said.contains(name), "{name:?} in: {said}");
    }
    assert!(!said.contains("secret"), "no password: {said}");
    said
}

fn with(url: &str, user: &str, password: &str) -> String {
    let (_, rest) = url.split_once('@').unwrap();
    format!("postgres://{user}:{password}@{rest}")
}

/// No schema of ours, and none of PGMQ's.
fn untouched(database: &Database) {
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('tasker', 'pgmq')";
    assert_eq!(database.sql(schemas), "0", "something was left behind");
}

#[test]
fn a_server_that_is_not_there() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    refused(&config(&format!("postgres://a:secret@127.0.0.1:{free}/x")), &["Is the server running", "DATABASE_URL"]);
}

#[test]
fn a_server_that_never_answers() {
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hangs.local_addr().unwrap().port();
    refused(&config(&format!("postgres://a:secret@127.0.0.1:{port}/x")), &["did not answer within 5 s"]);
}

#[test]
fn a_wrong_password_a_wrong_database_a_wrong_role() {
    let Some(database) = Database::new() else { return };
    let url = database.url();
    let (user, _) = url.trim_start_matches("postgres://").split_once(':').unwrap();
    refused(&config(&with(&url, user, "wrong")), &["28P01", "Check user and password"]);
    refused(&config(&with(&url, "nobody_here", "wrong")), &["28P01", "Check user and password"]);
    refused(&config(&url.replace(database.name(), "not_there")), &["3D000", "createdb"]);
    untouched(&database);
}

#[test]
fn a_role_that_may_not_create_what_is_missing() {
    let Some(database) = Database::new() else { return };
    let role = format!("{}_role", database.name());
    database.server(&format!("CREATE ROLE {role} LOGIN PASSWORD 'modest'"));
    let modest = config(&with(&database.url(), &role, "modest"));
    refused(&modest, &["may not create it", "rake tasker:migrate", &role]);
    untouched(&database);

    // Another role migrates; then this one lacks only what it needs to work.
    drop(Engine::open(&config(&database.url())).unwrap());
    refused(&modest, &["42501", "docs/operations/postgresql.md"]);
    database.sql("SELECT pgmq.create('default_steps')");
    database.sql(include_str!("../../migrations/postgres/grants.sql").replace(":role", &role).as_str());
    let engine = Engine::open(&modest).unwrap();
    crate::harness::register(&engine, crate::harness::LINEAR);
    crate::harness::submit(&engine, "linear");
    engine.close();
    database.sql(&format!("DROP OWNED BY {role} CASCADE"));
    database.server(&format!("DROP ROLE {role}"));
}

#[test]
fn a_replica_that_only_reads() {
    let Some(database) = Database::new() else { return };
    database.server(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()));
    refused(&config(&database.url()), &["read-only replica", "primary"]);
    database.server(&format!("ALTER DATABASE {} SET default_transaction_read_only = off", database.name()));
    untouched(&database);
}

#[test]
fn a_schema_of_a_newer_version_and_one_that_may_not_be_made() {
    let Some(database) = Database::new() else { return };
    let never = Config { migrate: false, ..config(&database.url()) };
    refused(&never, &["is not there", "migrate is off", "rake tasker:migrate"]);
    untouched(&database);
    drop(Engine::open(&config(&database.url())).unwrap());
    drop(Engine::open(&never).unwrap());
    let newer = "INSERT INTO tasker.schema_migrations (version, name, works_with)";
    database.sql(&format!("{newer} VALUES (2, 'that only adds', 1)"));
    drop(Engine::open(&never).unwrap());
    database.sql(&format!("{newer} VALUES (3, 'that old ones cannot live with', 3)"));
    refused(&config(&database.url()), &["upgrade the gem"]);
}

#[test]
fn a_migration_that_fails_leaves_nothing_of_itself() {
    let Some(database) = Database::new() else { return };
    database.sql("CREATE SCHEMA tasker; CREATE TABLE tasker.steps (mine text)");
    refused(&config(&database.url()), &["steps"]);
    assert_eq!(
        database.sql("SELECT string_agg(relname, ',') FROM pg_class WHERE relnamespace = 'tasker'::regnamespace"),
        "steps",
        "only what was there before"
    );
}

#[test]
fn an_encoding_that_cannot_hold_everything() {
    let Some(database) = Database::new() else { return };
    let name = format!("{}_latin", database.name());
    database
        .server(&format!("CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"));
    refused(&config(&database.url().replace(database.name(), &name)), &["LATIN1", "UTF8"]);
    database.server(&format!("DROP DATABASE {name}"));
}

#[test]
fn many_that_start_at_once_migrate_once() {
    let Some(database) = Database::new() else { return };
    let url = database.url();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| Engine::open(&config(&url)).unwrap().close());
        }
    });
    assert_eq!(database.sql("SELECT count(*) FROM tasker.schema_migrations"), "1");
}

#[test]
fn a_schema_made_by_hand_is_as_good() {
    let Some(database) = Database::new() else { return };
    drop(Engine::open(&config(&database.url())).unwrap());
    let made = "SELECT string_agg(table_name || '.' || column_name || ' ' || data_type, ',' \
        ORDER BY table_name, ordinal_position) FROM information_schema.columns WHERE table_schema = 'tasker'";
    let by_itself = database.sql(made);
    database.sql("DROP SCHEMA tasker CASCADE");
    database.sql(&tasker_engine::bootstrap::migration_sql());
    assert_eq!(database.sql(made), by_itself);
    drop(Engine::open(&Config { migrate: false, ..config(&database.url()) }).unwrap());
    assert_eq!(tasker_engine::bootstrap::migrate(&config(&database.url())).unwrap(), (1, 1), "nothing left to do");
}
