//! Stopping a task on request.

use std::time::Duration;

use tasker_engine::state::TaskState;

use crate::harness::*;
use crate::{flaky, BRANCHES};

#[test]
fn a_cancelled_task_stops_and_a_running_attempt_can_see_it() {
    let engine = working(":memory:", manual(), 1, BRANCHES);
    unhurried(&engine);
    let task = submit(&engine, "branches").task_uuid;
    let event = next_event(&engine);
    assert!(!engine.channel().cancelled(event.event_id));
    assert_eq!(engine.cancel(task).unwrap(), TaskState::Cancelled);
    settled(&engine);
    assert!(engine.channel().cancelled(event.event_id));
    let view = finished(&engine, task);
    assert!(view.steps.iter().all(|step| step.state == "cancelled" && step.worker_id.is_none()), "{view:?}");
    succeed(&engine, &event, "1");
    no_event(&engine);
    assert!(engine.task(task).unwrap().steps[0].result.is_none());
    assert_eq!(total(&engine, "stale_completions"), 1);
}

#[test]
fn a_cancelled_step_that_waits_for_its_retry_never_runs_again() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, &flaky("base: 1", ""));
    let task = submit(&engine, "flaky").task_uuid;
    fail(&engine, &next_event(&engine), failure("no", true));
    settled(&engine);
    engine.cancel(task).unwrap();
    clock.advance(Duration::from_secs(10));
    no_event(&engine);
    assert_eq!(engine.task(task).unwrap().state, "cancelled");
}

#[test]
fn an_event_that_waits_for_a_thread_is_taken_out() {
    let engine = working(":memory:", manual(), 1, BRANCHES);
    let task = submit(&engine, "branches").task_uuid;
    settled(&engine);
    assert_eq!(engine.channel().depth().waiting, 1);
    engine.cancel(task).unwrap();
    no_event(&engine);
}

#[test]
fn what_was_done_before_the_cancellation_stays_done() {
    let engine = working(":memory:", manual(), 1, LINEAR);
    let task = submit(&engine, "linear").task_uuid;
    run(&engine, "one", "1");
    next_event(&engine);
    engine.cancel(task).unwrap();
    let view = engine.task(task).unwrap();
    let expected = [("one", "complete"), ("two", "cancelled"), ("three", "cancelled"), ("four", "cancelled")];
    assert_eq!(states(&view), expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    assert_eq!(result_of(&view, "one"), "1");
}

#[test]
fn a_task_for_later_can_be_cancelled_before_it_begins() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, BRANCHES);
    let mut wanted = request("branches", "{}");
    wanted.run_at = Some(clock.now().0 as f64 / 1e6 + 60.0);
    let task = engine.submit(vec![wanted]).unwrap().remove(0).unwrap().task_uuid;
    engine.cancel(task).unwrap();
    clock.advance(Duration::from_secs(90));
    no_event(&engine);
    assert_eq!(moves(&engine, task, None), "pending cancelled");
}
