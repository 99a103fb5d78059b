//! Steps claimed ahead of free handlers: what a crash of their worker costs them.

use std::collections::HashMap;
use std::time::Duration;

use tasker_engine::bootstrap::Engine;
use tasker_engine::channel::StepEvent;
use tasker_engine::clock::Clock;
use uuid::Uuid;

use crate::child::{self, Process};
use crate::harness::*;

const AGAIN: &str = "
name: again
steps:
  - {name: only, handler: noop, retry: {max_attempts: 3}}
";

/// Hands in a result of a handler that took no time.
fn quick(engine: &Engine, event: &StepEvent) {
    engine.channel().complete(completion(event, Ok("1".into()), Some((event.dispatched_at, 0.001))));
}

fn waiting(engine: &Engine) -> u64 {
    engine.status()["channel"]["waiting"].as_u64().unwrap()
}

fn submit_many(engine: &Engine, name: &str, count: usize) -> Vec<Uuid> {
    let answers = engine.submit((0..count).map(|_| request(name, "{}")).collect()).unwrap();
    answers.into_iter().map(|answer| answer.unwrap().task_uuid).collect()
}

/// The worker's handlers are quick: works until it claims ahead. Then one event has begun and others wait.
fn claims_ahead(engine: &Engine) -> StepEvent {
    for _ in 0..10_000 {
        let event = next_event(engine);
        settled(engine);
        if waiting(engine) > 0 {
            return event;
        }
        quick(engine, &event);
    }
    panic!("nothing was ever claimed ahead: {}", engine.status())
}

#[test]
fn a_step_on_its_last_attempt_is_never_claimed_ahead_and_all_run_in_their_order() {
    let engine = working(":memory:", Clock::System, 1, SINGLE);
    register(&engine, AGAIN);
    submit_many(&engine, "again", 200);
    quick(&engine, &claims_ahead(&engine));
    until("the rest has run", || {
        engine.channel().try_poll().iter().for_each(|event| quick(&engine, event));
        total(&engine, "tasks_finalized") == 200
    });
    let mut tasks = Vec::new();
    for _ in 0..30 {
        for (name, count) in [("again", 3), ("single", 2)] {
            tasks.extend(submit_many(&engine, name, count).into_iter().map(|task| (name, task)));
        }
    }
    for (number, (_, task)) in tasks.iter().enumerate() {
        let event = next_event(&engine);
        assert_eq!(event.task_uuid, *task, "number {number}: who waits for a handler is passed by nobody");
        settled(&engine);
        if tasks.get(number + 1).is_some_and(|(name, _)| *name == "single") {
            assert_eq!(waiting(&engine), 0, "number {number}: the next one waits for this handler, and all behind it");
        }
        quick(&engine, &event);
    }
}

#[test]
fn a_last_attempt_is_claimed_for_a_free_handler_only() {
    let engine = working(":memory:", Clock::System, 1, SINGLE);
    submit_many(&engine, "single", 300);
    for _ in 0..300 {
        let event = next_event(&engine);
        settled(&engine);
        let status = engine.status();
        assert_eq!((&status["channel"]["waiting"], &status["worker"]["in_flight"]), (&0.into(), &1.into()));
        quick(&engine, &event);
    }
    until("all have ended", || total(&engine, "tasks_finalized") == 300);
}

/// In the child: claims ahead, says what it began, and never ends.
fn hold_some(database: &str) -> ! {
    let engine = working(database, Clock::System, 1, AGAIN);
    let event = claims_ahead(&engine);
    // The row says so from the next transaction on.
    settled(&engine);
    child::say(&event.task_uuid.to_string());
    child::wait_for_the_end()
}

#[test]
fn what_a_killed_worker_had_not_begun_costs_no_attempt() {
    if let Some(database) = child::database() {
        hold_some(&database);
    }
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.sqlite())).unwrap();
    register(&engine, AGAIN);
    let tasks = submit_many(&engine, "again", 1000);
    let mut process = Process::start("ahead::what_a_killed_worker_had_not_begun_costs_no_attempt", &folder.sqlite());
    let begun: Uuid = process.hear().parse().unwrap();
    process.kill();
    let claimed: HashMap<Uuid, u32> = tasks
        .iter()
        .map(|task| engine.task(*task).unwrap())
        .filter(|view| view.steps[0].state == "in_progress")
        .map(|view| (view.task_uuid.parse().unwrap(), view.steps[0].attempts))
        .collect();
    assert!(claimed.len() > 1 && claimed.values().all(|attempts| *attempts == 1), "{claimed:?}");

    let survivor = working(&folder.sqlite(), Clock::System, 1, AGAIN);
    until("it has taken over", || crate::number(&folder, "SELECT count(*) FROM workers") == 1);
    let handlers = Handlers::start(&survivor, 1, |_| Ok("1".into()));
    for task in claimed.keys() {
        let view = finished(&engine, *task);
        let expected = if *task == begun { 2 } else { 1 };
        assert_eq!((view.state.as_str(), view.steps[0].attempts), ("complete", expected), "{task} {begun}");
    }
    assert!(engine.wait(tasks[999], Some(Duration::from_secs(60)), &Default::default()).unwrap());
    handlers.stop();
}
