//! What an operator can do about a task that failed.

use serde_json::Value;
use tasker_engine::bootstrap::Engine;
use tasker_engine::error::Error;
use tasker_engine::state::TaskState;
use uuid::Uuid;

use crate::harness::*;
use crate::{flaky, BRANCHES};

/// A `branches` task whose `pay` failed.
fn failed(engine: &Engine) -> Uuid {
    let task = submit(engine, "branches").task_uuid;
    let (pay, mail) = (next_event(engine), next_event(engine));
    fail(engine, &pay, failure("no", true));
    succeed(engine, &mail, "1");
    assert_eq!(finished(engine, task).state, "error");
    task
}

#[test]
fn a_failed_step_can_be_run_again_with_a_fresh_budget() {
    let engine = working(":memory:", manual(), 1, &flaky("max_attempts: 2, backoff: none", ""));
    let task = submit(&engine, "flaky").task_uuid;
    for _ in 0..2 {
        fail(&engine, &next_event(&engine), failure("no", true));
    }
    assert_eq!(finished(&engine, task).state, "error");
    assert_eq!(engine.rerun_step(task, "charge").unwrap(), TaskState::StepsInProcess);
    assert_eq!(engine.task(task).unwrap().completed_at, None);
    for attempt in 3..=4 {
        let event = next_event(&engine);
        assert_eq!((event.attempt, event.max_attempts), (attempt, 4));
        match attempt {
            3 => fail(&engine, &event, failure("still no", true)),
            _ => succeed(&engine, &event, "\"yes\""),
        }
    }
    let view = finished(&engine, task);
    assert_eq!((view.state.as_str(), view.steps[0].attempts), ("complete", 4));
    let reasons = engine.transitions(task).unwrap().into_iter().filter(|t| t.metadata["reason"] == "rerun");
    assert_eq!(reasons.count(), 1);
}

#[test]
fn a_step_can_be_run_again_while_other_branches_still_run() {
    let engine = working(":memory:", manual(), 2, BRANCHES);
    let task = submit(&engine, "branches").task_uuid;
    let (pay, mail) = (next_event(&engine), next_event(&engine));
    fail(&engine, &pay, failure("no", true));
    settled(&engine);
    engine.rerun_step(task, "pay").unwrap();
    run(&engine, "pay", "1");
    succeed(&engine, &mail, "1");
    run(&engine, "ship", "1");
    assert_eq!(finished(&engine, task).state, "complete");
}

#[test]
fn a_resolved_step_lets_those_go_on_that_depend_on_it() {
    let engine = working(":memory:", manual(), 2, BRANCHES);
    let task = failed(&engine);
    assert_eq!(engine.resolve_step(task, "pay", r#"{"paid":"by hand"}"#).unwrap(), TaskState::StepsInProcess);
    let ship = next_event(&engine);
    assert_eq!((&*ship.step_name, &*ship.dependency_results[0].1), ("ship", r#"{"paid":"by hand"}"#));
    succeed(&engine, &ship, "1");
    let view = finished(&engine, task);
    assert_eq!((view.state.as_str(), view.steps[0].state.as_str()), ("complete", "resolved_manually"));
    assert_eq!(result_of(&view, "pay"), r#"{"paid":"by hand"}"#);
    assert!(view.steps[0].error.is_none());
}

#[test]
fn a_running_step_can_be_resolved_and_its_own_result_is_refused() {
    let engine = working(":memory:", manual(), 2, &flaky("max_attempts: 1", ""));
    let task = submit(&engine, "flaky").task_uuid;
    let event = next_event(&engine);
    assert_eq!(engine.resolve_step(task, "charge", "\"by hand\"").unwrap(), TaskState::Complete);
    assert!(engine.channel().cancelled(event.event_id));
    succeed(&engine, &event, "\"too late\"");
    settled(&engine);
    assert_eq!(result_of(&engine.task(task).unwrap(), "charge"), "\"by hand\"");
    assert_eq!(total(&engine, "stale_completions"), 1);
}

#[test]
fn a_failed_task_can_be_declared_done() {
    let engine = working(":memory:", manual(), 2, BRANCHES);
    let task = failed(&engine);
    assert_eq!(engine.resolve_task(task).unwrap(), TaskState::ResolvedManually);
    let view = engine.task(task).unwrap();
    assert_eq!((view.state.as_str(), view.steps[0].state.as_str()), ("resolved_manually", "error"));
    assert!(view.completed_at.is_some());
    no_event(&engine);
}

fn all_of(engine: &Engine, task: Uuid) -> (Value, Value) {
    let view = serde_json::to_value(engine.task(task).unwrap()).unwrap();
    (view, serde_json::to_value(engine.transitions(task).unwrap()).unwrap())
}

#[test]
fn what_the_state_does_not_allow_is_refused_and_changes_nothing() {
    let engine = working(":memory:", manual(), 2, BRANCHES);
    let refused = |task: Uuid, act: &dyn Fn(Uuid) -> Result<TaskState, Error>, word: &str| {
        let before = all_of(&engine, task);
        let error = act(task).unwrap_err();
        assert_eq!(error.kind(), "illegal_transition", "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(all_of(&engine, task), before);
    };
    let rerun = |step: &'static str| {
        let engine = &engine;
        move |task| engine.rerun_step(task, step)
    };
    let resolve = |step: &'static str| {
        let engine = &engine;
        move |task| engine.resolve_step(task, step, "1")
    };

    let task = failed(&engine);
    refused(task, &|task| engine.cancel(task), "error");
    refused(task, &rerun("mail"), "complete");
    refused(task, &rerun("ship"), "pending");
    refused(task, &resolve("mail"), "complete");
    engine.resolve_task(task).unwrap();
    refused(task, &rerun("pay"), "resolved_manually");
    refused(task, &resolve("pay"), "resolved_manually");
    refused(task, &|task| engine.resolve_task(task), "resolved_manually");
    refused(task, &|task| engine.cancel(task), "resolved_manually");

    let running = submit(&engine, "branches").task_uuid;
    let pay = next_event(&engine);
    refused(running, &|task| engine.resolve_task(task), "steps_in_process");
    refused(running, &rerun("pay"), "in_progress");
    fail(&engine, &pay, failure("no", false));
    settled(&engine);
    engine.cancel(running).unwrap();
    refused(running, &rerun("pay"), "cancelled");
    refused(running, &resolve("pay"), "cancelled");
    no_event_for(&engine, running);
}

fn no_event_for(engine: &Engine, task: Uuid) {
    settled(engine);
    while let Some(event) = engine.channel().try_poll() {
        assert_ne!(event.task_uuid, task);
    }
}

#[test]
fn what_is_not_there_is_refused_with_the_names_that_are() {
    let engine = working(":memory:", manual(), 2, BRANCHES);
    let task = failed(&engine);
    let error = engine.rerun_step(task, "pey").unwrap_err();
    assert_eq!(error.kind(), "not_found");
    assert!(error.to_string().contains("pay, ship, mail"), "{error}");
    let nobody = Uuid::from_u128(1);
    for error in [engine.cancel(nobody), engine.resolve_task(nobody), engine.rerun_step(nobody, "pay")] {
        assert_eq!(error.unwrap_err().kind(), "not_found");
    }
    let error = engine.resolve_step(task, "pay", "{broken").unwrap_err();
    assert_eq!(error.kind(), "invalid_input");
}
