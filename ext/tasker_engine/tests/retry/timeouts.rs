//! Attempts that take too long.

use std::time::Duration;

use crate::flaky;
use crate::harness::*;

const POLICY: &str = "max_attempts: 2, backoff: none";

#[test]
fn an_attempt_that_runs_too_long_ends_and_its_late_result_is_refused() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 2, &flaky(POLICY, ", timeout_seconds: 2"));
    let task = submit(&engine, "flaky").task_uuid;
    let slow = next_event(&engine);
    clock.advance(Duration::from_millis(1900));
    settled(&engine);
    assert!(!engine.channel().cancelled(slow.event_id), "it still has its time");
    clock.advance(Duration::from_millis(200));
    let second = next_event(&engine);
    assert_eq!(second.attempt, 2);
    assert!(engine.channel().cancelled(slow.event_id) && !engine.channel().cancelled(second.event_id));
    let error = engine.task(task).unwrap().steps[0].error.clone().unwrap();
    assert_eq!((&error["class"], &error["attempt"]), (&"TaskerCore::StepTimeout".into(), &1.into()));

    succeed(&engine, &slow, "\"late\"");
    settled(&engine);
    assert_eq!(total(&engine, "stale_completions"), 1);
    assert!(engine.task(task).unwrap().steps[0].result.is_none());
    succeed(&engine, &second, "\"in time\"");
    assert_eq!(result_of(&finished(&engine, task), "charge"), "\"in time\"");
    let reasons = engine.transitions(task).unwrap().into_iter().filter(|t| t.metadata["reason"] == "timeout");
    assert_eq!(reasons.count(), 1);
}

#[test]
fn the_time_counts_from_when_a_handler_thread_takes_the_event_up() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, &flaky(POLICY, ", timeout_seconds: 1"));
    let task = submit(&engine, "flaky").task_uuid;
    settled(&engine);
    clock.advance(Duration::from_millis(1500));
    let event = next_event(&engine);
    settled(&engine);
    assert!(!engine.channel().cancelled(event.event_id));
    clock.advance(Duration::from_millis(900));
    succeed(&engine, &event, "1");
    assert_eq!(finished(&engine, task).steps[0].attempts, 1);
}

#[test]
fn a_last_attempt_that_runs_too_long_fails_the_task() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, &flaky("max_attempts: 1", ", timeout_seconds: 2"));
    let task = submit(&engine, "flaky").task_uuid;
    let event = next_event(&engine);
    clock.advance(Duration::from_secs(3));
    let view = finished(&engine, task);
    assert_eq!((view.state.as_str(), view.steps[0].attempts), ("error", 1));
    succeed(&engine, &event, "1");
    settled(&engine);
    assert_eq!(engine.task(task).unwrap().state, "error");
}

#[test]
fn a_handler_that_never_comes_back_keeps_its_thread_and_no_other() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 2, &flaky("max_attempts: 1", ", timeout_seconds: 2"));
    unhurried(&engine);
    let stuck = submit(&engine, "flaky").task_uuid;
    next_event(&engine);
    clock.advance(Duration::from_secs(3));
    assert_eq!(finished(&engine, stuck).state, "error");
    let others: Vec<_> = (0..2).map(|_| submit(&engine, "flaky").task_uuid).collect();
    let first = next_event(&engine);
    assert_eq!(first.task_uuid, others[0]);
    no_event(&engine);
    succeed(&engine, &first, "1");
    assert_eq!(next_event(&engine).task_uuid, others[1]);
}
