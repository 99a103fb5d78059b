//! Two workers finish the last two parents of a join at the same instant.

use std::sync::{Arc, Barrier};

use tasker_engine::bootstrap::Engine;
use tasker_engine::channel::StepEvent;
use tasker_engine::clock::Clock;

use crate::harness::postgres::Database;
use crate::harness::{completion, config, finished, next_event, register, submit, worker};

const JOIN: &str = "{name: join, steps: [{name: left, handler: L}, {name: right, handler: R}, \
    {name: both, handler: B, dependencies: [left, right]}]}";

/// How many joins: JOINS=10000 for the long run.
fn joins() -> usize {
    std::env::var("JOINS").ok().and_then(|count| count.parse().ok()).unwrap_or(300)
}

/// Completes it as if its handler had been slow: nobody claims ahead of slow handlers.
fn complete(engine: &Engine, event: &StepEvent) {
    engine.channel().complete(completion(event, Ok("1".into()), Some((Clock::System.now(), 1000.0))));
}

#[test]
fn a_join_is_enqueued_exactly_once_however_its_parents_end() {
    let Some(database) = Database::new() else { return };
    let engines: Vec<Arc<Engine>> = (0..2).map(|_| Engine::open(&config(&database.url())).unwrap()).collect();
    register(&engines[0], JOIN);
    engines.iter().for_each(|engine| engine.start_worker(worker(1)).unwrap());
    for _ in 0..joins() {
        let task = submit(&engines[0], "join").task_uuid;
        let parents: Vec<StepEvent> = engines.iter().map(|engine| next_event(engine)).collect();
        let now = Barrier::new(2);
        std::thread::scope(|scope| {
            for (engine, event) in engines.iter().zip(&parents) {
                scope.spawn(|| {
                    now.wait();
                    complete(engine, event);
                });
            }
        });
        let (engine, child) = loop {
            let found = engines.iter().find_map(|engine| Some((engine, engine.channel().try_poll()?)));
            match found {
                Some(found) => break found,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(&*child.step_name, "both");
        complete(engine, &child);
        assert_eq!(finished(&engines[0], task).state, "complete");
    }
    let wrong = database.sql(
        "SELECT count(*) FROM (SELECT task_id FROM tasker.step_transitions WHERE position = 2 \
         GROUP BY task_id HAVING count(*) FILTER (WHERE to_state = 'enqueued') <> 1 \
         OR count(*) FILTER (WHERE to_state = 'complete') <> 1) wrong",
    );
    assert_eq!(wrong, "0", "joins enqueued or completed more or less than once");
    let workers = "SELECT count(DISTINCT metadata ->> 'worker') FROM tasker.step_transitions \
        WHERE position < 2 AND to_state = 'complete' GROUP BY task_id";
    assert_eq!(
        database
            .sql(&format!("SELECT count(*) FROM ({workers} HAVING count(DISTINCT metadata ->> 'worker') = 2) pairs")),
        joins().to_string(),
        "each pair of parents ran on two workers"
    );
    assert_eq!(database.sql("SELECT count(*) FROM pgmq.q_default_steps"), "0", "no message is left");
    engines.iter().for_each(|engine| engine.close());
}
