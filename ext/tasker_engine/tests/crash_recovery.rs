//! Processes die by SIGKILL, stall, and come back too late. No step is lost, none has two results,
//! and the record says what happened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/child.rs"]
mod child;
#[path = "support/harness.rs"]
mod harness;
#[path = "crash_recovery/massacre.rs"]
mod massacre;
#[path = "crash_recovery/stalled.rs"]
mod stalled;

use std::sync::Arc;
use std::time::Duration;

use child::Process;
use harness::*;
use serde_json::json;
use tasker_engine::bootstrap::Engine;
use tasker_engine::clock::Clock;
use tasker_engine::config::WorkerConfig;
use uuid::Uuid;

const TWO_ATTEMPTS: &str = "
name: single
steps:
  - {name: only, handler: noop, retry: {max_attempts: 2, backoff: exponential, base: 100}}
";

/// In the child: claims one step, says so, and never ends.
fn hold_one_step(database: &str, yaml: &str) -> ! {
    let engine = working(database, Clock::System, 1, yaml);
    let event = next_event(&engine);
    child::say(&event.attempt.to_string());
    child::wait_for_the_end()
}

/// Submits a task, and has a process claim its step and die.
fn orphaned(test: &str, folder: &Folder, yaml: &str) -> (Arc<Engine>, Uuid) {
    let engine = Engine::open(&config(&folder.database())).unwrap();
    register(&engine, yaml);
    let task = submit(&engine, "single").task_uuid;
    let mut process = Process::start(test, &folder.database());
    assert_eq!(process.hear(), "1");
    let step = engine.task(task).unwrap().steps.remove(0);
    assert_eq!((step.state.as_str(), step.attempts), ("in_progress", 1));
    process.kill();
    (engine, task)
}

#[test]
fn a_step_whose_process_was_killed_runs_again_at_once() {
    if let Some(database) = child::database() {
        hold_one_step(&database, TWO_ATTEMPTS);
    }
    let folder = Folder::new();
    let (engine, task) = orphaned("a_step_whose_process_was_killed_runs_again_at_once", &folder, TWO_ATTEMPTS);
    // A clock that stands still: it is the death that is noticed, not the lease that runs out.
    let survivor = working(&folder.database(), manual(), 1, TWO_ATTEMPTS);
    let again = next_event(&survivor);
    assert_eq!(again.attempt, 2);
    succeed(&survivor, &again, "\"kept\"");
    let view = finished(&engine, task);
    assert_eq!((view.state.as_str(), view.steps[0].attempts), ("complete", 2));
    assert_eq!(result_of(&view, "only"), "\"kept\"");
    let told = moves(&engine, task, Some("only"));
    assert_eq!(told, "pending enqueued in_progress enqueued in_progress complete");
    let lost: Vec<_> =
        engine.transitions(task).unwrap().into_iter().filter(|t| t.metadata["reason"] == "lease_expired").collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].metadata["attempt"], json!(1));
    assert_eq!(lost[0].metadata["error"]["class"], "TaskerCore::LeaseExpired");
}

#[test]
fn a_worker_that_already_runs_notices_the_death_of_another() {
    if let Some(database) = child::database() {
        hold_one_step(&database, TWO_ATTEMPTS);
    }
    let folder = Folder::new();
    let clock = manual();
    let survivor = Engine::open_with(&config(&folder.database()), clock.clone()).unwrap();
    let elsewhere = WorkerConfig { namespaces: vec!["elsewhere".into()], ..worker(1) };
    survivor.start_worker(elsewhere).unwrap();
    let (_, task) = orphaned("a_worker_that_already_runs_notices_the_death_of_another", &folder, TWO_ATTEMPTS);
    settled(&survivor);
    assert_eq!(survivor.task(task).unwrap().steps[0].state, "in_progress");
    clock.advance(Duration::from_secs(5));
    settled(&survivor);
    let step = survivor.task(task).unwrap().steps.remove(0);
    assert_eq!((step.state.as_str(), step.attempts), ("enqueued", 1), "given back, for a worker of its namespace");
}

#[test]
fn a_last_attempt_that_was_lost_fails_the_task_and_says_why() {
    if let Some(database) = child::database() {
        hold_one_step(&database, SINGLE);
    }
    let folder = Folder::new();
    let (engine, task) = orphaned("a_last_attempt_that_was_lost_fails_the_task_and_says_why", &folder, SINGLE);
    let survivor = working(&folder.database(), manual(), 1, SINGLE);
    let view = finished(&engine, task);
    assert_eq!((view.state.as_str(), view.steps[0].state.as_str(), view.steps[0].attempts), ("error", "error", 1));
    let error = view.steps[0].error.as_ref().unwrap();
    assert_eq!(error["class"], "TaskerCore::LeaseExpired");
    assert!(error["message"].as_str().unwrap().contains("worker-"), "{error}");
    no_event(&survivor);
    survivor.rerun_step(task, "only").unwrap();
    run(&survivor, "only", "1");
    assert_eq!(finished(&engine, task).state, "complete");
}
