//! A step has a message exactly while it is left to whoever claims it, or waits for its retry; the message carries the
//! task's trace.

use std::time::Duration;

use tasker_engine::bootstrap::Engine;
use tasker_engine::clock::Clock;
use tasker_engine::interrupt::Interrupt;

use crate::harness::postgres::Database;
use crate::harness::{completion, config, failure, finished, next_event, register, request, submit, worker, LINEAR};

const VISIBLE: &str =
    "SELECT coalesce(string_agg((vt <= clock_timestamp())::text, ','), 'none') FROM pgmq.q_default_steps";

#[test]
fn a_message_lives_as_long_as_its_step_waits() {
    let Some(database) = Database::new() else { return };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, LINEAR);
    let submitted = submit(&engine, "linear");
    assert_eq!(database.sql(VISIBLE), "true", "enqueued: to be seen at once");
    let said = database.sql(
        "SELECT headers ->> 'traceparent', headers ->> 'correlation_id', message ->> 'task_uuid', message ->> 'step_name' \
         FROM pgmq.q_default_steps",
    );
    let fields: Vec<&str> = said.split('|').collect();
    assert!(fields[0].starts_with(&format!("00-{}-", submitted.trace_id)), "{said}");
    assert_eq!(fields[1], submitted.correlation_id.to_string());
    assert_eq!(fields[2], submitted.task_uuid.to_string());

    engine.start_worker(worker(1)).unwrap();
    let event = next_event(&engine);
    assert_eq!(database.sql(VISIBLE), "none", "claimed: nobody else may have it");
    let mut error = failure("later", true);
    error.retry_after = Some(3600.0);
    engine.channel().complete(completion(&event, Err(error), Some((Clock::System.now(), 1.0))));
    let waits = "SELECT count(*) FROM pgmq.q_default_steps WHERE vt > clock_timestamp() + interval '50 minutes'";
    let began = std::time::Instant::now();
    while database.sql(waits) != "1" {
        assert!(began.elapsed() < Duration::from_secs(10), "it waits for its retry as its step does");
    }
    engine.cancel(submitted.task_uuid).unwrap();
    assert_eq!(database.sql(VISIBLE), "none", "cancelled: gone");
    assert_eq!(database.sql("SELECT last_value FROM pgmq.q_default_steps_msg_id_seq"), "2", "no others were sent");
    engine.stop_worker(Duration::from_secs(5), &Interrupt::new()).unwrap();
    engine.close();
}

/// The first transaction of a session sends by PGMQ's functions, those after it by the queue's own statements.
#[test]
fn every_message_belongs_to_its_step_however_it_was_sent() {
    let Some(database) = Database::new() else { return };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, LINEAR);
    engine.start_worker(worker(1)).unwrap();
    let submit_three = || (0..3).for_each(|_| drop(submit(&engine, "linear")));
    submit_three();
    let mut error = failure("later", true);
    error.retry_after = Some(3600.0);
    let event = next_event(&engine);
    engine.channel().complete(completion(&event, Err(error), Some((Clock::System.now(), 1.0))));
    let began = std::time::Instant::now();
    while database.sql("SELECT count(*) FROM tasker.steps WHERE state = 'waiting_for_retry'") != "1" {
        assert!(began.elapsed() < Duration::from_secs(10), "the retry is ordered");
    }
    engine.stop_worker(Duration::from_secs(5), &Interrupt::new()).unwrap();
    submit_three();
    let right = "SELECT count(*) FROM pgmq.q_default_steps q JOIN tasker.steps s ON s.message_id = q.msg_id \
        JOIN tasker.tasks t ON t.id = s.task_id WHERE q.message ->> 'step_uuid' = s.step_uuid::text \
          AND q.headers ->> 'correlation_id' = t.correlation_id::text \
          AND (q.vt > clock_timestamp()) = (s.state = 'waiting_for_retry')";
    let waiting = "SELECT count(*) FROM tasker.steps WHERE state IN ('enqueued', 'waiting_for_retry')";
    assert_eq!((database.sql(right), database.sql(waiting)), ("6".into(), "6".into()));
    assert_eq!(database.sql("SELECT count(*) FROM pgmq.q_default_steps"), "6");
    engine.close();
}

#[test]
fn the_reference_query_finds_a_tasks_timeline() {
    let Some(database) = Database::new() else { return };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, "{name: single, steps: [{name: s, handler: S}]}");
    engine.start_worker(worker(1)).unwrap();
    let handlers = crate::harness::Handlers::start(&engine, 1, |_| Ok("1".into()));
    let submitted = submit(&engine, "single");
    finished(&engine, submitted.task_uuid);
    let timeline = database.sql(&format!(
        "SELECT created_at, from_state, to_state, metadata->>'duration_ms' as duration FROM tasker.task_transitions \
         WHERE metadata->>'correlation_id' = '{}' ORDER BY created_at",
        submitted.correlation_id
    ));
    let lines: Vec<&str> = timeline.lines().collect();
    assert!(lines[0].contains("|pending|initializing|"), "{timeline}");
    assert!(lines[lines.len() - 1].contains("|complete|"), "{timeline}");
    engine.close();
    handlers.stop();
}

#[test]
fn a_key_that_many_processes_use_at_once_makes_one_task() {
    let Some(database) = Database::new() else { return };
    let engines: Vec<_> = (0..4).map(|_| Engine::open(&config(&database.url())).unwrap()).collect();
    register(&engines[0], LINEAR);
    let made: usize = std::thread::scope(|scope| {
        let submit = |engine: &std::sync::Arc<Engine>| {
            let mut made = 0;
            for number in 0..50 {
                let mut requests = vec![request("linear", "{}"), request("linear", "{}")];
                requests[0].idempotency_key = Some(format!("key {number}"));
                requests[1].idempotency_key = Some(format!("key {}", 49 - number));
                let answers = engine.submit(requests).unwrap();
                made += answers.into_iter().filter(|answer| answer.as_ref().unwrap().created).count();
            }
            made
        };
        let threads: Vec<_> = engines.iter().map(|engine| scope.spawn(move || submit(engine))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(made, 50);
    assert_eq!(database.sql("SELECT count(*) FROM tasker.tasks"), "50");
    engines.iter().for_each(|engine| engine.close());
}
