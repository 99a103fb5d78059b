//! No statement goes through a whole table, nor through a whole index.

use std::sync::Arc;

use tasker_engine::bootstrap::Engine;
use tasker_engine::store::postgres::STATEMENTS;

use crate::harness::postgres::Database;
use crate::harness::{config, finished, register, request, worker, Handlers, LINEAR};

/// Tasks in one slice of the work.
const SLICE: usize = 500;
/// What is small, always: read as it comes.
const SMALL: &[&str] = &["workers", "templates", "event_groups"];
/// Entries read of each index, and rows of each table read from one end to the other.
const READ: &str =
    "SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE schemaname IN ('tasker', 'pgmq') \
    AND relname NOT IN ('workers', 'templates')";
const SCANNED: &str =
    "SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE schemaname IN ('tasker', 'pgmq') \
    AND relname NOT IN ('workers', 'templates', 'meta', 'schema_migrations')";

/// The plan of a statement that is executed again and again, with whatever values.
fn plan(database: &Database, session: &str, sql: &str) -> String {
    let values = (1..100).take_while(|number| sql.contains(&format!("${number}"))).map(|_| "NULL").collect::<Vec<_>>();
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    database.sql(&format!("{session}; PREPARE hot AS {sql}; EXPLAIN EXECUTE hot{values}"))
}

/// The scans of tables in a plan that are bound by nothing but a filter. An index that holds only what waits may be read
/// whole by whoever wants all of it, in its order.
fn unbound(plan: &str) -> Vec<String> {
    const WAITING: &[&str] = &["steps_queued", "steps_due", "tasks_due", "workers_"];
    let lines: Vec<&str> = plan.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let whole =
            line.contains("Seq Scan on") && !SMALL.iter().any(|table| line.contains(&format!("Seq Scan on {table} ")));
        let index = line.contains("Index Scan") || line.contains("Index Only Scan");
        let depth = |line: &str| line.len() - line.trim_start().len();
        let bound = lines[at + 1..]
            .iter()
            .take_while(|below| depth(below) > depth(line) && !below.contains("->"))
            .any(|below| below.contains("Index Cond"));
        let small = WAITING.iter().any(|name| line.contains(name)) || SMALL.iter().any(|name| line.contains(name));
        if whole || index && !bound && !small {
            found.push((*line).to_owned());
        }
    }
    found
}

fn figure(database: &Database, sql: &str) -> i64 {
    database.sql(sql).parse().unwrap()
}

/// Carries out a slice of work with a process of its own, and gives what was read for it: entries of indexes, rows of
/// tables without one.
fn slice(database: &Database, url: &str) -> (i64, i64) {
    let before = (figure(database, READ), figure(database, SCANNED));
    let engine = Engine::open(&config(url)).unwrap();
    register(&engine, LINEAR);
    engine.start_worker(worker(4)).unwrap();
    let handlers = Handlers::start(&engine, 4, |_| Ok("1".into()));
    work(&engine);
    engine.close();
    handlers.stop();
    drop(engine);
    // A session's figures are there at the latest when it has ended.
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", database.name());
    crate::harness::until("its sessions have ended", || database.server(&sessions) == "0");
    (figure(database, READ) - before.0, figure(database, SCANNED) - before.1)
}

fn work(engine: &Arc<Engine>) {
    let submitted = engine.submit((0..SLICE).map(|_| request("linear", "{}")).collect()).unwrap();
    for task in submitted {
        assert_eq!(finished(engine, task.unwrap().task_uuid).state, "complete");
    }
}

#[test]
fn no_statement_reads_a_whole_table() {
    let Some(database) = Database::new() else { return };
    let url = database.url();
    slice(&database, &url);
    // What autovacuum does on the way is none of ours.
    for table in ["tasks", "steps", "journal"] {
        database.sql(&format!("ALTER TABLE tasker.{table} SET (autovacuum_enabled = off)"));
    }
    let session = STATEMENTS[0].1;
    for analyzed in [false, true] {
        if analyzed {
            database.sql("ANALYZE");
        }
        for (name, sql) in &STATEMENTS[1..] {
            let plan = plan(&database, session, sql);
            assert_eq!(unbound(&plan), Vec::<String>::new(), "{name} (analyzed: {analyzed}):\n{plan}");
        }
    }
    let young = slice(&database, &url);
    for _ in 0..4 {
        slice(&database, &url);
    }
    let old = slice(&database, &url);
    assert!(old.0 < young.0 * 2, "entries of indexes read for {SLICE} tasks: {} at first, {} later", young.0, old.0);
    let rows = i64::try_from(SLICE).unwrap();
    assert!(old.1 < rows, "rows read without an index: {}", old.1);
}

/// A plan without its index shows.
#[test]
fn a_missing_index_is_noticed() {
    let Some(database) = Database::new() else { return };
    drop(Engine::open(&config(&database.url())).unwrap());
    let session = STATEMENTS[0].1;
    let sql = |wanted: &str| STATEMENTS.iter().find(|(name, _)| *name == wanted).unwrap().1;
    for (name, index) in
        [("find claimable", "steps_queued"), ("find due steps", "steps_due"), ("read a task", "tasks_uuid")]
    {
        assert_eq!(unbound(&plan(&database, session, sql(name))), Vec::<String>::new(), "{name}");
        database.sql(&format!("DROP INDEX tasker.{index}"));
        assert_ne!(unbound(&plan(&database, session, sql(name))), Vec::<String>::new(), "{name} without {index}");
    }
}
