//! What the database does not take: its own attempt fails, and nothing that came with it.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::bootstrap::Engine;
use tasker_engine::channel::StepEvent;

use crate::harness::*;
use crate::{connection, sql};

/// The database takes no result with that word in it.
const NO_POISON: &str = "CREATE TRIGGER no_poison BEFORE UPDATE ON steps WHEN NEW.result LIKE '%poison%' \
    BEGIN SELECT RAISE(ABORT, 'no poison here'); END";

/// Hands in results while the database is locked: all but the first share a transaction, as far as they may.
fn together(engine: &Engine, folder: &Folder, results: &[(&StepEvent, String)]) {
    let other = connection(folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = |engine: &Engine| engine.status()["channel"]["completions"].as_u64().unwrap();
    for (number, (event, result)) in results.iter().enumerate() {
        succeed(engine, event, result);
        if number == 0 {
            until("the engine waits for the database", || waiting(engine) == 0);
        }
    }
    other.execute_batch("ROLLBACK").unwrap();
}

fn claimed(engine: &Engine, count: usize) -> Vec<StepEvent> {
    let requests = (0..count).map(|_| request("single", "{}")).collect();
    engine.submit(requests).unwrap();
    (0..count).map(|_| next_event(engine)).collect()
}

#[test]
fn a_result_that_is_refused_fails_its_own_attempt_and_no_other() {
    let folder = Folder::new();
    let engine = working(&folder.sqlite(), manual(), 32, SINGLE);
    sql(&folder, NO_POISON);
    let events = claimed(&engine, 32);
    let result = |number: usize| if number == 17 { "\"poison\"".to_owned() } else { number.to_string() };
    let results: Vec<_> = events.iter().enumerate().map(|(number, event)| (event, result(number))).collect();
    together(&engine, &folder, &results);
    for (number, event) in events.iter().enumerate() {
        let view = finished(&engine, event.task_uuid);
        if number == 17 {
            let error = view.steps[0].error.as_ref().unwrap();
            assert_eq!(
                (view.state.as_str(), &error["class"]),
                ("error", &"TaskerCore::UnserializableResultError".into())
            );
            assert!(error["message"].as_str().unwrap().contains("no poison here"), "{error}");
        } else {
            assert_eq!((view.state.as_str(), result_of(&view, "only")), ("complete", number.to_string()));
        }
        assert_eq!(view.steps[0].attempts, 1);
    }
    // Whoever waits may hear of the end before it is counted.
    until("all are counted", || total(&engine, "steps_settled") == 32);
    assert_eq!(total(&engine, "stale_completions"), 0);
    // Halves of halves find one among thirty-one, not one after the other.
    assert!(total(&engine, "store_errors") <= 12, "{}", engine.status());
    submit(&engine, "single");
    run(&engine, "only", "1");
}

#[test]
fn a_result_outlives_a_database_that_takes_nothing() {
    let (folder, clock) = (Folder::new(), manual());
    let engine = working(&folder.sqlite(), clock.clone(), 2, SINGLE);
    let events = claimed(&engine, 1);
    let other = connection(&folder);
    other.execute_batch("ALTER TABLE steps RENAME TO steps_elsewhere").unwrap();
    succeed(&engine, &events[0], "\"kept\"");
    for failures in 1..8 {
        until("it is tried again", || total(&engine, "store_errors") >= failures);
        clock.advance(Duration::from_millis(1300));
    }
    assert_eq!(engine.status()["quarantined"], serde_json::json!([]), "the database is at fault, not the task");
    other.execute_batch("ALTER TABLE steps_elsewhere RENAME TO steps").unwrap();
    until("it is settled", || {
        clock.advance(Duration::from_millis(1300));
        total(&engine, "steps_settled") == 1
    });
    assert_eq!(result_of(&finished(&engine, events[0].task_uuid), "only"), "\"kept\"");
}

#[test]
fn a_transaction_carries_results_up_to_a_size() {
    let folder = Folder::new();
    let engine = working(&folder.sqlite(), manual(), 8, SINGLE);
    let events = claimed(&engine, 7);
    let large = format!("\"{}\"", "x".repeat(8 << 20));
    let result = |number: usize| if number == 0 { "1".to_owned() } else { large.clone() };
    let before = total(&engine, "transactions");
    let results: Vec<_> = events.iter().enumerate().map(|(number, event)| (event, result(number))).collect();
    together(&engine, &folder, &results);
    for event in &events {
        assert_eq!(finished(&engine, event.task_uuid).state, "complete");
    }
    assert!(total(&engine, "transactions") - before >= 4, "six results of 8 MiB are three transactions of 16");
}

#[test]
fn a_claim_that_is_refused_takes_no_result_with_it_and_no_other_claim() {
    let folder = Folder::new();
    let engine = working(&folder.sqlite(), manual(), 3, SINGLE);
    let running = claimed(&engine, 3);
    let waiting: Vec<_> = (0..5).map(|_| submit(&engine, "single").task_uuid).collect();
    let refused = waiting[1];
    sql(
        &folder,
        &format!(
            "CREATE TRIGGER no_claim BEFORE UPDATE ON steps WHEN NEW.state = 'in_progress' \
             AND NEW.task_id = (SELECT id FROM tasks WHERE task_uuid = '{refused}') \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        ),
    );
    let results: Vec<_> = running.iter().map(|event| (event, "\"mine\"".to_owned())).collect();
    together(&engine, &folder, &results);
    for event in &running {
        assert_eq!(result_of(&finished(&engine, event.task_uuid), "only"), "\"mine\"");
    }
    for task in waiting.into_iter().filter(|task| *task != refused) {
        let event = next_event(&engine);
        assert_eq!(event.task_uuid, task, "in their order");
        succeed(&engine, &event, "2");
        assert_eq!(finished(&engine, task).state, "complete");
    }
    let left = engine.status()["quarantined"].clone();
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    assert!(left[0]["why"].as_str().unwrap().contains("not this one"), "{left}");
}

#[test]
fn a_request_that_is_refused_is_answered_and_keeps_nobody_back() {
    let folder = Folder::new();
    let engine = working(&folder.sqlite(), manual(), 1, SINGLE);
    sql(
        &folder,
        "CREATE TRIGGER no_task BEFORE INSERT ON tasks WHEN NEW.context LIKE '%poison%' \
         BEGIN SELECT RAISE(ABORT, 'no poison here'); END",
    );
    let event = claimed(&engine, 1).remove(0);
    let other = connection(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    succeed(&engine, &event, "1");
    until("the engine waits", || engine.status()["channel"]["completions"] == 0);
    let ask = |context: &'static str| {
        let engine = Arc::clone(&engine);
        std::thread::spawn(move || engine.submit(vec![request("single", context)]).map(|mut answers| answers.remove(0)))
    };
    let asked = ["{}", "{\"a\":\"poison\"}", "{}"].map(ask);
    other.execute_batch("ROLLBACK").unwrap();
    let answers = asked.map(|thread| thread.join().unwrap().and_then(|answer| answer));
    let refused = answers[1].as_ref().unwrap_err();
    assert!(refused.kind() == "refused" && refused.to_string().contains("no poison here"), "{refused}");
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert_eq!(finished(&engine, event.task_uuid).state, "complete");
}
