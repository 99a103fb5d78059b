//! Which failures are repeated, and when.

use std::time::Duration;

use serde_json::json;
use tasker_engine::step::StepError;

use crate::harness::*;
use crate::{flaky, BRANCHES};

#[test]
fn a_retryable_failure_is_tried_again_and_the_result_is_kept() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, &flaky("base: 1", ""));
    let task = submit(&engine, "flaky").task_uuid;
    let first = next_event(&engine);
    fail(&engine, &first, failure("gateway busy", true));
    no_event(&engine);
    let waiting = engine.task(task).unwrap();
    assert_eq!((waiting.state.as_str(), waiting.steps[0].state.as_str()), ("waiting_for_retry", "waiting_for_retry"));
    clock.advance(Duration::from_secs(1));
    let second = next_event(&engine);
    assert_eq!((second.attempt, second.max_attempts), (2, 3));
    assert_ne!(second.event_id, first.event_id);
    assert_ne!(second.span_id, first.span_id, "each attempt has a span of its own");
    succeed(&engine, &second, "\"paid\"");
    let view = finished(&engine, task);
    assert_eq!((view.state.as_str(), view.steps[0].attempts), ("complete", 2));
    assert_eq!(result_of(&view, "charge"), "\"paid\"");
    assert!(view.steps[0].error.is_none());
    assert_eq!(
        moves(&engine, task, Some("charge")),
        "pending enqueued in_progress waiting_for_retry enqueued in_progress complete"
    );
}

#[test]
fn a_permanent_failure_is_not_tried_again() {
    let engine = working(":memory:", manual(), 1, &flaky("max_attempts: 5", ""));
    let task = submit(&engine, "flaky").task_uuid;
    fail(&engine, &next_event(&engine), failure("card stolen", false));
    let view = finished(&engine, task);
    assert_eq!((view.state.as_str(), view.steps[0].state.as_str(), view.steps[0].attempts), ("error", "error", 1));
}

#[test]
fn max_attempts_counts_all_attempts() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, &flaky("max_attempts: 3, backoff: none", ""));
    let task = submit(&engine, "flaky").task_uuid;
    for attempt in 1..=3 {
        let event = next_event(&engine);
        assert_eq!(event.attempt, attempt);
        fail(&engine, &event, failure(&format!("no {attempt}"), true));
    }
    let view = finished(&engine, task);
    assert_eq!((view.state.as_str(), view.steps[0].attempts), ("error", 3));
    assert_eq!(view.steps[0].error.as_ref().unwrap()["message"], "no 3");
    no_event(&engine);
}

/// How many seconds after each failure the next attempt may begin.
fn waits(policy: &str, retry_after: Option<f64>) -> Vec<f64> {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, &flaky(&format!("max_attempts: 6, {policy}"), ""));
    let task = submit(&engine, "flaky").task_uuid;
    let mut waits = Vec::new();
    for _ in 0..5 {
        let error = StepError { retry_after, ..failure("no", true) };
        fail(&engine, &next_event(&engine), error);
        until("the failure is settled", || engine.task(task).unwrap().steps[0].state == "waiting_for_retry");
        let wait = engine.task(task).unwrap().steps[0].due_at.unwrap() - clock.now().0;
        waits.push(wait as f64 / 1e6);
        clock.advance(Duration::from_micros(wait as u64 - 1));
        no_event(&engine);
        clock.advance(Duration::from_micros(1));
    }
    waits
}

#[test]
fn the_wait_grows_as_the_template_says_and_stops_at_the_cap() {
    assert_eq!(waits("backoff: linear, base: 2, cap: 7", None), [2.0, 4.0, 6.0, 7.0, 7.0]);
    assert_eq!(waits("backoff: exponential, base: 0.5, cap: 300", None), [0.5, 1.0, 2.0, 4.0, 8.0]);
    assert_eq!(waits("backoff: fibonacci, base: 1, cap: 300", None), [1.0, 1.0, 2.0, 3.0, 5.0]);
}

#[test]
fn what_the_handler_asks_for_wins_over_the_template() {
    assert_eq!(waits("backoff: exponential, base: 100", Some(5.5)), [5.5; 5]);
    assert_eq!(waits("backoff: linear, base: 3, cap: 4", Some(f64::NAN)), [3.0, 4.0, 4.0, 4.0, 4.0]);
    assert_eq!(waits("backoff: linear, base: 1", Some(1e300)), [30.0 * 86_400.0; 5], "thirty days at most");
}

#[test]
fn the_error_is_kept_with_all_that_was_known() {
    let engine = working(":memory:", manual(), 1, &flaky("max_attempts: 2, backoff: none", ""));
    let task = submit(&engine, "flaky").task_uuid;
    fail(&engine, &next_event(&engine), failure("first", true));
    let error = StepError {
        class_name: "Shop::CardDeclined".into(),
        message: "déclined\n\u{1f4b3}".into(),
        masked: None,
        code: Some("card_declined".into()),
        field: Some("card".into()),
        backtrace: vec!["app/charge.rb:7:in 'call'".into(), "app/pay.rb:1".into()],
        attempt: 99,
        retryable: false,
        retry_after: None,
    };
    fail(&engine, &next_event(&engine), error);
    let kept = finished(&engine, task).steps[0].error.clone().unwrap();
    assert_eq!(
        kept,
        json!({
            "class": "Shop::CardDeclined", "message": "déclined\n\u{1f4b3}", "code": "card_declined", "field": "card",
            "backtrace": ["app/charge.rb:7:in 'call'", "app/pay.rb:1"], "attempt": 2, "retryable": false,
        })
    );
    let told: Vec<_> =
        engine.transitions(task).unwrap().into_iter().filter_map(|t| t.metadata.get("error").cloned()).collect();
    assert_eq!(told.len(), 2);
    assert_eq!((&told[0]["message"], &told[1]["class"]), (&json!("first"), &json!("Shop::CardDeclined")));
}

#[test]
fn other_branches_finish_before_the_task_fails() {
    let engine = working(":memory:", manual(), 2, BRANCHES);
    let task = submit(&engine, "branches").task_uuid;
    let (pay, mail) = (next_event(&engine), next_event(&engine));
    fail(&engine, &pay, failure("no", true));
    no_event(&engine);
    assert_eq!(engine.task(task).unwrap().state, "waiting_for_dependencies");
    succeed(&engine, &mail, "\"sent\"");
    let view = finished(&engine, task);
    let expected = [("pay", "error"), ("ship", "pending"), ("mail", "complete")];
    assert_eq!(states(&view), expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    assert_eq!(result_of(&view, "mail"), "\"sent\"");
    let told = moves(&engine, task, None);
    assert!(told.ends_with("evaluating_results blocked_by_failures error"), "{told}");
}
