//! No statement goes through a whole table.

use tasker_engine::bootstrap::Engine;
use tasker_engine::store::postgres::STATEMENTS;

use crate::harness::postgres::Database;
use crate::harness::{config, finished, register, request, worker, Handlers, LINEAR};

const TASKS: usize = 2_000;
/// Tables read from one end to the other more often than for the making of their indexes. The index on
/// task_transitions is made on and on, by autovacuum.
const SCANNED: &str =
    "SELECT coalesce(string_agg(relname || ' ' || seq_scan, ', '), 'none') FROM pg_stat_user_tables t \
    WHERE schemaname IN ('tasker', 'pgmq') AND relname IN ('tasks', 'steps', 'step_transitions', 'q_default_steps') \
    AND seq_scan > (SELECT count(*) FROM pg_index i WHERE i.indrelid = t.relid)";

/// The plan of a statement that is executed again and again, with whatever values.
fn plan(database: &Database, session: &str, sql: &str) -> String {
    let values = (1..100).take_while(|number| sql.contains(&format!("${number}"))).map(|_| "NULL").collect::<Vec<_>>();
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    database.sql(&format!("{session}; PREPARE hot AS {sql}; EXPLAIN EXECUTE hot{values}"))
}

#[test]
fn no_statement_reads_a_whole_table() {
    let Some(database) = Database::new() else { return };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, LINEAR);
    engine.start_worker(worker(4)).unwrap();
    let handlers = Handlers::start(&engine, 4, |_| Ok("1".into()));
    let submitted = engine.submit((0..TASKS).map(|_| request("linear", "{}")).collect()).unwrap();
    let last = submitted.into_iter().next_back().unwrap().unwrap().task_uuid;
    assert_eq!(finished(&engine, last).state, "complete");
    engine.close();
    handlers.stop();

    let session = STATEMENTS[0].1;
    for analyzed in [false, true] {
        if analyzed {
            database.sql("ANALYZE");
        }
        for (name, sql) in &STATEMENTS[1..] {
            let plan = plan(&database, session, sql);
            assert!(!plan.contains("Seq Scan"), "{name} (analyzed: {analyzed}):\n{plan}");
        }
    }
    assert_eq!(database.sql(SCANNED), "none", "what really happened");
}
