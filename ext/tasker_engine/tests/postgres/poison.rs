//! What the server refuses fails alone.

use std::time::{Duration, Instant};

use tasker_engine::bootstrap::Engine;

use crate::harness::postgres::Database;
use crate::harness::{config, finished, next_event, register, request, succeed, until, worker, Handlers, SINGLE};

/// What one attempt may hold others up for.
const SOON: Duration = Duration::from_secs(5);

const REFUSE: &str = "CREATE FUNCTION tasker.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF NEW.result::text LIKE '%poison%' THEN RAISE EXCEPTION 'invalid input' USING ERRCODE = '22P02'; END IF; RETURN NEW; \
    END $$; CREATE TRIGGER refuse BEFORE UPDATE ON tasker.steps FOR EACH ROW EXECUTE FUNCTION tasker.refuse()";

#[test]
fn a_result_the_server_refuses_fails_its_attempt_and_no_other() {
    let Some(database) = Database::new() else { return };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, SINGLE);
    database.sql(REFUSE);
    engine.start_worker(worker(31)).unwrap();
    let submitted = engine.submit((0..31).map(|_| request("single", "{}")).collect()).unwrap();
    let tasks: Vec<_> = submitted.into_iter().map(|task| task.unwrap().task_uuid).collect();
    let events: Vec<_> = (0..31).map(|_| next_event(&engine)).collect();
    let began = Instant::now();
    for event in &events {
        let poison = event.task_uuid == tasks[17];
        succeed(&engine, event, if poison { "\"poison\"" } else { "1" });
    }
    for task in &tasks {
        let view = finished(&engine, *task);
        let error = view.steps[0].error.as_ref().map(|error| error["class"].as_str().unwrap().to_owned());
        if task == &tasks[17] {
            assert_eq!(view.state, "error");
            assert_eq!(error.as_deref(), Some("TaskerCore::UnserializableResultError"));
        } else {
            assert_eq!((view.state.as_str(), error), ("complete", None));
        }
    }
    let took = began.elapsed();
    assert!(took < SOON, "{took:?}");
    engine.close();
}

#[test]
fn a_task_that_cannot_be_read_is_left_alone_and_the_rest_goes_on() {
    let Some(database) = Database::new() else { return };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, SINGLE);
    let submitted = engine.submit((0..10).map(|_| request("single", "{}")).collect()).unwrap();
    let tasks: Vec<_> = submitted.into_iter().map(|task| task.unwrap().task_uuid).collect();
    database.sql(&format!("UPDATE tasker.tasks SET trace_id = 'zzz' WHERE task_uuid = '{}'", tasks[3]));
    engine.start_worker(worker(2)).unwrap();
    let handlers = Handlers::start(&engine, 2, |_| Ok("1".into()));
    for task in tasks.iter().filter(|task| **task != tasks[3]) {
        assert_eq!(finished(&engine, *task).state, "complete");
    }
    let left = engine.status().to_string();
    assert!(left.contains("zzz") && left.contains("trace_id"), "{left}");
    assert_eq!(engine.task(tasks[3]).unwrap().steps[0].state, "enqueued");
    until("what waits is known", || !database.sql("SELECT 1 FROM tasker.steps WHERE state = 'enqueued'").is_empty());
    engine.close();
    handlers.stop();
}

/// Several results that are larger than a message to the server may be, taken together.
#[test]
fn ends_of_attempts_that_are_too_large_together_go_apart() {
    let Some(database) = Database::new() else { return };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, SINGLE);
    engine.start_worker(worker(12)).unwrap();
    engine.submit((0..12).map(|_| request("single", "{}")).collect()).unwrap();
    let events: Vec<_> = (0..12).map(|_| next_event(&engine)).collect();
    // The first keeps the engine's thread busy, so that the others arrive together.
    database.sql(
        "CREATE FUNCTION tasker.slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN IF NEW.result::text = '0' THEN PERFORM pg_sleep(1); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE UPDATE ON tasker.steps FOR EACH ROW EXECUTE FUNCTION tasker.slow()",
    );
    let large = format!("\"{}\"", "x".repeat(4 * 1024 * 1024));
    succeed(&engine, &events[0], "0");
    until("the first is on its way", || {
        database.server("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") != "0"
    });
    events[1..].iter().for_each(|event| succeed(&engine, event, &large));
    for event in &events {
        assert_eq!(finished(&engine, event.task_uuid).state, "complete");
    }
    let transactions = "SELECT count(DISTINCT xmin::text) FROM tasker.steps WHERE length(result::text) > 9";
    let transactions: usize = database.sql(transactions).parse().unwrap();
    assert!(transactions >= 3, "44 MB in {transactions} transactions");
    engine.close();
}
