//! A worker is asked to stop: what runs may finish, what does not finish is given back, and nothing
//! is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/harness.rs"]
mod harness;

use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::Duration;

use harness::*;
use rusqlite::Connection;
use tasker_engine::bootstrap::{Engine, StopReport};
use tasker_engine::clock::Clock;
use tasker_engine::config::Config;
use tasker_engine::error::Error;
use tasker_engine::interrupt::Interrupt;

const NOW: Duration = Duration::ZERO;

fn stop(engine: &Engine, timeout: Duration) -> StopReport {
    engine.stop_worker(timeout, &Interrupt::new()).unwrap()
}

/// Asks another thread to stop the worker, and waits until the worker claims no more.
fn stop_beside(engine: &Arc<Engine>, timeout: Duration, interrupt: &Interrupt) -> std::thread::JoinHandle<StopReport> {
    let (engine_there, interrupt) = (Arc::clone(engine), interrupt.clone());
    let thread = std::thread::spawn(move || engine_there.stop_worker(timeout, &interrupt).unwrap());
    until("it drains", || engine.status()["worker"]["draining"] == true);
    thread
}

#[test]
fn a_stop_waits_for_the_handlers_that_run() {
    let engine = working(":memory:", manual(), 1, LINEAR);
    let task = submit(&engine, "linear").task_uuid;
    let event = next_event(&engine);
    let stopping = stop_beside(&engine, PATIENCE, &Interrupt::new());
    assert!(!engine.channel().cancelled(event.event_id));
    succeed(&engine, &event, "\"done\"");
    assert_eq!(stopping.join().unwrap(), StopReport { completed_in_time: true, handed_back: 0 });
    let view = engine.task(task).unwrap();
    assert_eq!(result_of(&view, "one"), "\"done\"");
    assert_eq!(view.steps[1].state, "enqueued", "what follows waits for the next worker");
    assert_eq!(engine.status()["worker"]["running"], false);
}

#[test]
fn a_handler_that_takes_too_long_is_given_back_and_may_be_claimed_at_once() {
    let folder = Folder::new();
    let engine = working(&folder.database(), manual(), 1, SINGLE);
    let other = Engine::open_with(&config(&folder.database()), manual()).unwrap();
    let task = submit(&engine, "single").task_uuid;
    let event = next_event(&engine);
    assert_eq!(stop(&engine, NOW), StopReport { completed_in_time: false, handed_back: 1 });
    assert!(engine.channel().cancelled(event.event_id));
    succeed(&engine, &event, "\"late\"");

    other.start_worker(worker(1)).unwrap();
    let again = next_event(&other);
    assert_eq!((again.attempt, again.max_attempts), (2, 2), "the attempt counts, but a stop is no step's failure");
    succeed(&other, &again, "\"kept\"");
    let view = finished(&other, task);
    assert_eq!((result_of(&view, "only").as_str(), view.steps[0].attempts), ("\"kept\"", 2));
    until("the late result is counted", || total(&engine, "stale_completions") == 1);
    let reasons: Vec<_> = other.transitions(task).unwrap().iter().map(|t| t.metadata["reason"].clone()).collect();
    assert_eq!(reasons.iter().filter(|reason| *reason == "released").count(), 1);
}

#[test]
fn events_no_handler_took_up_are_given_back_and_not_counted() {
    let engine = working(":memory:", manual(), 3, SINGLE);
    let tasks: Vec<_> = (0..3).map(|_| submit(&engine, "single").task_uuid).collect();
    settled(&engine);
    let running = next_event(&engine);
    assert_eq!(stop(&engine, NOW), StopReport { completed_in_time: false, handed_back: 3 });
    assert!(engine.channel().try_poll().is_none());
    let attempts = |n: usize| engine.task(tasks[n]).unwrap().steps[0].attempts;
    assert_eq!(running.task_uuid, tasks[0]);
    assert_eq!([attempts(0), attempts(1), attempts(2)], [1, 0, 0]);
    assert!(tasks.iter().all(|&task| engine.task(task).unwrap().steps[0].state == "enqueued"));
}

#[test]
fn a_stop_with_nothing_to_do_is_done_at_once() {
    let engine = working(":memory:", Clock::System, 1, SINGLE);
    assert_eq!(stop(&engine, PATIENCE), StopReport { completed_in_time: true, handed_back: 0 });
}

#[test]
fn a_stop_before_the_start_and_a_second_stop_are_harmless() {
    let engine = Engine::open(&config(":memory:")).unwrap();
    let nothing = StopReport { completed_in_time: true, handed_back: 0 };
    assert_eq!(stop(&engine, PATIENCE), nothing);
    register(&engine, SINGLE);
    engine.start_worker(worker(1)).unwrap();
    assert_eq!(stop(&engine, PATIENCE), nothing);
    assert_eq!(stop(&engine, PATIENCE), nothing);
    engine.close();
    engine.close();
    assert_eq!(stop(&engine, PATIENCE), nothing);
}

#[test]
fn a_worker_can_be_started_again_in_the_same_engine() {
    let engine = working(":memory:", Clock::System, 1, SINGLE);
    let mut ids = Vec::new();
    for round in 0..50 {
        let handlers = Handlers::start(&engine, 1, move |_| Ok(round.to_string()));
        let view = finished(&engine, submit(&engine, "single").task_uuid);
        assert_eq!(result_of(&view, "only"), round.to_string());
        let error = engine.start_worker(worker(1)).unwrap_err();
        assert_eq!(error.kind(), "configuration", "one worker at a time");
        ids.push(engine.status()["worker"]["worker_id"].to_string());
        stop(&engine, PATIENCE);
        assert!(engine.channel().is_closed(), "handler threads are sent home");
        handlers.stop();
        engine.start_worker(worker(1)).unwrap();
    }
    ids.dedup();
    assert_eq!(ids.len(), 50, "each is a worker of its own");
}

#[test]
fn a_stop_right_after_a_start_stops() {
    let engine = Engine::open(&config(":memory:")).unwrap();
    register(&engine, SINGLE);
    for _ in 0..200 {
        engine.start_worker(worker(1)).unwrap();
        assert_eq!(engine.status()["worker"]["running"], true);
        stop(&engine, NOW);
        assert_eq!(engine.status()["worker"]["running"], false);
    }
    submit(&engine, "single");
    settled(&engine);
    assert!(engine.channel().try_poll().is_none(), "no worker, no claims");
}

#[test]
fn an_interrupt_ends_the_waiting_but_not_the_stop() {
    let engine = working(":memory:", manual(), 1, SINGLE);
    let task = submit(&engine, "single").task_uuid;
    next_event(&engine);
    let interrupt = Interrupt::new();
    let stopping = stop_beside(&engine, PATIENCE * 10, &interrupt);
    interrupt.set();
    assert_eq!(stopping.join().unwrap(), StopReport { completed_in_time: false, handed_back: 1 });
    assert_eq!(engine.task(task).unwrap().steps[0].state, "enqueued");
}

#[test]
fn an_interrupt_ends_every_kind_of_waiting() {
    let engine = working(":memory:", manual(), 1, SINGLE);
    let task = submit(&engine, "single").task_uuid;
    next_event(&engine);
    for wait in 0..2 {
        let interrupt = Interrupt::new();
        let (engine, theirs) = (Arc::clone(&engine), interrupt.clone());
        let (started, is_started) = channel();
        let waiting = std::thread::spawn(move || {
            started.send(()).unwrap();
            match wait {
                0 => engine.wait(task, None, &theirs),
                _ => engine.channel().wait(PATIENCE * 10, &theirs),
            }
        });
        is_started.recv().unwrap();
        interrupt.set();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Interrupted)));
    }
}

#[test]
fn a_closed_engine_refuses_and_leaves_the_rest_for_another_one() {
    let folder = Folder::new();
    let engine = working(&folder.database(), Clock::System, 4, SINGLE);
    let tasks: Vec<_> = (0..2000).map(|_| request("single", "{}")).collect();
    let tasks = engine.submit(tasks).unwrap();
    let handlers = Handlers::start(&engine, 4, |_| Ok("1".into()));
    until("it works", || total(&engine, "steps_settled") > 20);
    engine.close();
    handlers.stop();
    assert!(total(&engine, "tasks_finalized") < 2000, "it did not work off its queue first");
    let refused = engine.submit(vec![request("single", "{}")]).unwrap_err();
    assert_eq!(refused.kind(), "stopped");
    assert_eq!(engine.start_worker(worker(1)).unwrap_err().kind(), "stopped");
    drop(engine);

    // Its leases are not given back: another engine takes them over when they run out.
    let clock = manual();
    let engine = working(&folder.database(), clock.clone(), 10, SINGLE);
    let handlers = Handlers::start(&engine, 4, |_| Ok("2".into()));
    clock.advance(Duration::from_secs(31));
    let last = tasks.last().unwrap().as_ref().unwrap();
    assert!(["complete", "error"].contains(&finished(&engine, last.task_uuid).state.as_str()));
    handlers.stop();
}

#[test]
fn finished_steps_survive_a_database_that_is_locked_for_a_while() {
    let folder = Folder::new();
    let busy = Config { busy_timeout: 0.01, ..config(&folder.sqlite()) };
    let engine = Engine::open(&busy).unwrap();
    register(&engine, SINGLE);
    engine.start_worker(worker(1)).unwrap();
    let task = submit(&engine, "single").task_uuid;
    let event = next_event(&engine);
    let other = Connection::open(folder.sqlite()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    succeed(&engine, &event, "\"kept\"");
    until("it has failed a few times", || total(&engine, "store_errors") >= 3);
    assert_eq!(engine.submit(vec![request("single", "{}")]).unwrap_err().kind(), "store");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(result_of(&finished(&engine, task), "only"), "\"kept\"");
}

#[test]
fn an_engine_can_be_closed_while_its_database_is_locked() {
    let folder = Folder::new();
    let busy = Config { busy_timeout: 0.01, ..config(&folder.sqlite()) };
    let engine = Engine::open(&busy).unwrap();
    register(&engine, SINGLE);
    engine.start_worker(worker(1)).unwrap();
    submit(&engine, "single");
    let event = next_event(&engine);
    let other = Connection::open(folder.sqlite()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    succeed(&engine, &event, "1");
    until("it has failed", || total(&engine, "store_errors") >= 1);
    let (done, is_done) = channel();
    std::thread::spawn(move || {
        engine.close();
        done.send(()).unwrap();
    });
    assert!(is_done.recv_timeout(PATIENCE).is_ok(), "close() does not wait for the database");
}

#[test]
fn a_template_that_could_not_be_stored_is_not_known() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.sqlite())).unwrap();
    register(&engine, SINGLE);
    // The commit itself fails: the new row demands one that is not there.
    let other = Connection::open(folder.sqlite()).unwrap();
    let trouble = "
        CREATE TABLE wanted (id INTEGER PRIMARY KEY);
        CREATE TABLE wanting (id REFERENCES wanted (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER trouble AFTER INSERT ON templates BEGIN INSERT INTO wanting VALUES (1); END;";
    other.execute_batch(trouble).unwrap();
    let linear = || tasker_engine::template::Template::from_yaml("test", LINEAR).unwrap();
    assert_eq!(engine.register_template(linear()).unwrap_err().kind(), "refused");
    let refused = engine.submit(vec![request("linear", "{}")]).unwrap().remove(0).unwrap_err();
    assert_eq!(refused.kind(), "not_found", "{refused}");
    other.execute_batch("DROP TRIGGER trouble").unwrap();
    register(&engine, DIAMOND);
    engine.register_template(linear()).unwrap();
    let task = submit(&engine, "linear").task_uuid;
    assert_eq!(engine.task(task).unwrap().steps.len(), 4);
}
