//! Events of attempts: there exactly when the end of the attempt is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_engine::bootstrap::Engine;
use tasker_engine::channel::{StepCompletion, StepEvent};
use tasker_engine::event::{DeliveryMode, Published, Said};
use tasker_engine::ids;

use crate::harness::{
    completion, fail, failure, finished, manual, moves, next_event, no_event, run, settled, submit, succeed, total,
    working, Folder,
};
use crate::{names, stored};

/// A step that tells of each end of its attempts, by all conditions.
const CHARGE: &str = "
name: pay
namespace: shop
steps:
  - name: charge
    handler: noop
    retry: {max_attempts: 5, base: 1, cap: 1, jitter: 0}
    publishes_events:
      - {name: payment.processed}
      - {name: payment.failed, condition: failure}
      - {name: payment.delayed, condition: retryable_failure}
      - {name: payment.refused, condition: permanent_failure}
      - {name: payment.tried, condition: always}
";

fn said(events: Vec<Published>) -> Option<Box<Said>> {
    Some(Box::new(Said { events, payloads: Vec::new() }))
}

fn published(name: &str, payload: &str) -> Published {
    let event_id = ids::uuid_v7(tasker_engine::clock::Clock::System.now());
    Published { event_id, name: name.into(), payload: payload.into(), delivery_mode: DeliveryMode::Durable, key: None }
}

/// Hands a result in, with what the handler said.
fn succeed_saying(engine: &Engine, event: &StepEvent, result: &str, said: Option<Box<Said>>) {
    let done = StepCompletion { said, ..completion(event, Ok(result.into()), None) };
    engine.channel().complete(done);
}

#[test]
fn a_step_that_is_tried_five_times_publishes_its_success_once_and_its_attempts_five_times() {
    let folder = Folder::new();
    let clock = manual();
    let engine = working(&folder.database(), clock.clone(), 1, CHARGE);
    let task =
        engine.submit(vec![crate::harness::request_in("shop", "pay", r#"{"order":7}"#)]).unwrap().remove(0).unwrap();
    for _ in 0..4 {
        let event = next_event(&engine);
        fail(&engine, &event, failure("gateway busy", true));
        settled(&engine);
        folder.pass(&clock, Duration::from_secs(2));
    }
    run(&engine, "charge", r#"{"paid":true}"#);
    finished(&engine, task.task_uuid);
    let failed = ["payment.failed", "payment.delayed", "payment.tried"];
    let mut wanted: Vec<&str> = failed.iter().copied().cycle().take(12).collect();
    wanted.extend(["payment.processed", "payment.tried"]);
    assert_eq!(names(&folder), wanted);
    let all = stored(&folder);
    let last = &all[12];
    assert_eq!(last["payload"]["task_sequence_step"]["context"], json!({"order": 7}));
    assert_eq!(last["payload"]["task_sequence_step"]["attempt"], 5);
    assert_eq!(last["payload"]["execution_result"], json!({"success": true, "result": {"paid": true}}));
    assert_eq!(last["payload"]["payload"], json!({"paid": true}));
    let view = engine.task(task.task_uuid).unwrap();
    assert_eq!(last["metadata"]["task_uuid"], json!(task.task_uuid));
    assert_eq!(last["metadata"]["step_uuid"].to_string(), json!(view.steps[0].step_uuid).to_string());
    assert_eq!(last["metadata"]["correlation_id"], json!(task.correlation_id));
    assert_eq!((&last["metadata"]["step_name"], &last["metadata"]["namespace"]), (&json!("charge"), &json!("shop")));
    let error = &all[0]["payload"]["payload"];
    assert_eq!((&error["message"], &error["attempt"]), (&json!("gateway busy"), &json!(1)));
    assert_eq!(all[0]["payload"]["execution_result"]["success"], false);
}

#[test]
fn a_failure_for_good_is_told_as_one() {
    let folder = Folder::new();
    let engine = working(&folder.database(), manual(), 1, CHARGE);
    let task = engine.submit(vec![crate::harness::request_in("shop", "pay", "{}")]).unwrap().remove(0).unwrap();
    let event = next_event(&engine);
    fail(&engine, &event, failure("declined", false));
    finished(&engine, task.task_uuid);
    assert_eq!(names(&folder), ["payment.failed", "payment.refused", "payment.tried"]);
}

#[test]
fn a_timeout_and_a_lost_worker_publish_as_failures_and_a_late_result_publishes_nothing() {
    let folder = Folder::new();
    let clock = manual();
    let yaml = CHARGE.replace("handler: noop", "handler: noop\n    timeout_seconds: 10");
    let engine = working(&folder.database(), clock.clone(), 1, &yaml);
    let task = engine.submit(vec![crate::harness::request_in("shop", "pay", "{}")]).unwrap().remove(0).unwrap();
    let late = next_event(&engine);
    folder.pass(&clock, Duration::from_secs(11));
    settled(&engine);
    let failed = ["payment.failed", "payment.delayed", "payment.tried"];
    assert_eq!(names(&folder), failed);
    succeed_saying(&engine, &late, "1", said(vec![published("order.late", "1")]));
    settled(&engine);
    assert_eq!(total(&engine, "stale_completions"), 1);
    assert_eq!(names(&folder), failed);
    // The next attempt's worker stops renewing its lease; another one takes over.
    folder.pass(&clock, Duration::from_secs(2));
    next_event(&engine);
    engine.close();
    folder.pass(&clock, Duration::from_secs(60));
    let other = working(&folder.database(), clock, 1, &yaml);
    run(&other, "charge", "2");
    finished(&other, task.task_uuid);
    let mut wanted: Vec<&str> = failed.iter().copied().cycle().take(6).collect();
    wanted.extend(["payment.processed", "payment.tried"]);
    assert_eq!(names(&folder), wanted);
    assert_eq!(stored(&folder)[3]["payload"]["payload"]["class"], "TaskerCore::LeaseExpired");
}

#[test]
fn what_a_handler_published_is_there_when_its_attempt_succeeded_and_not_otherwise() {
    let folder = Folder::new();
    let yaml = "{name: quiet, steps: [{name: only, handler: noop, retry: {max_attempts: 2, base: 0}}]}";
    let engine = working(&folder.database(), manual(), 1, yaml);
    let task = submit(&engine, "quiet");
    let event = next_event(&engine);
    let told = Said { events: vec![published("order.lost", "1")], payloads: Vec::new() };
    let failed = StepCompletion { said: Some(Box::new(told)), ..completion(&event, Err(failure("no", true)), None) };
    engine.channel().complete(failed);
    let event = next_event(&engine);
    let mut keyed = published("order.kept", r#"{"n":1}"#);
    keyed.key = Some("k".into());
    let event_id = keyed.event_id;
    succeed_saying(&engine, &event, "2", said(vec![keyed, published("order.second", "null")]));
    finished(&engine, task.task_uuid);
    assert_eq!(names(&folder), ["order.kept", "order.second"]);
    let kept = &stored(&folder)[0];
    assert_eq!((&kept["event_id"], &kept["payload"]["payload"]), (&json!(event_id), &json!({"n": 1})));
    no_event(&engine);
}

#[test]
fn a_durable_payload_that_does_not_fit_fails_the_attempt_for_good_and_publishes_nothing() {
    let folder = Folder::new();
    let yaml = "
name: strict
steps:
  - name: only
    handler: noop
    publishes_events:
      - {name: payment.processed, schema: {type: object, required: [amount]}}
      - {name: payment.other}
      - {name: payment.failed, condition: permanent_failure}
      - {name: payment.fast, delivery_mode: fast, schema: {type: string}}
";
    let engine = working(&folder.database(), manual(), 1, yaml);
    let task = submit(&engine, "strict");
    run(&engine, "only", r#"{"id":1}"#);
    let view = finished(&engine, task.task_uuid);
    let error = serde_json::to_value(&view.steps[0].error).unwrap();
    assert_eq!(error["message"], "event payment.processed: /amount is missing");
    assert_eq!((&error["class"], view.steps[0].attempts), (&json!("TaskerCore::ValidationError"), 1));
    assert_eq!(names(&folder), ["payment.failed"]);
    assert!(moves(&engine, task.task_uuid, Some("only")).ends_with("in_progress error"));
    // A fast one that does not fit is dropped, and fails nothing.
    let task = submit(&engine, "strict");
    run(&engine, "only", r#"{"amount":1}"#);
    assert_eq!(finished(&engine, task.task_uuid).state, "complete");
    assert_eq!(names(&folder)[1..], ["payment.processed", "payment.other"]);
}

#[test]
fn what_is_not_allowed_fails_the_attempt_with_its_reason() {
    let folder = Folder::new();
    let yaml = "{name: quiet, steps: [{name: only, handler: noop}]}";
    let engine = working(&folder.database(), manual(), 1, yaml);
    let large = format!("\"{}\"", "x".repeat(10_000_000));
    let many = vec![published("a.b", "1"); 1001];
    let refused = [
        (vec![published("it's.'bad'", "1")], "event name `it\\'s.\\'bad\\'` is not allowed"),
        (vec![published("a.b", "1"), published("a.b\0", "1")], "event name `a.b\\0` is not allowed"),
        (vec![published("a.b", &large)], "event `a.b`: its payload is 10000002 bytes of JSON"),
        (many, "the attempt published 1001 events; at most 1000 are allowed"),
    ];
    for (events, reason) in refused {
        let task = submit(&engine, "quiet");
        let event = next_event(&engine);
        succeed_saying(&engine, &event, "1", said(events));
        let view = finished(&engine, task.task_uuid);
        let error = serde_json::to_value(&view.steps[0].error).unwrap();
        assert!(error["message"].as_str().unwrap().starts_with(reason), "{error}");
    }
    assert!(names(&folder).is_empty());
}

#[test]
fn keys_come_from_the_context_the_dependencies_and_the_result() {
    let folder = Folder::new();
    let yaml = "
name: keyed
steps:
  - {name: cart, handler: noop}
  - name: pay
    handler: noop
    dependencies: [cart]
    publishes_events:
      - {name: order.paid, key: '{/input/order}-{/steps/cart/id}-{/result/n}'}
      - {name: order.odd, key: '{/input/nothing}'}
";
    let engine = working(&folder.database(), manual(), 1, yaml);
    let task = engine.submit(vec![crate::harness::request("keyed", r#"{"order":"o1"}"#)]).unwrap().remove(0).unwrap();
    run(&engine, "cart", r#"{"id":5}"#);
    run(&engine, "pay", r#"{"n":6}"#);
    finished(&engine, task.task_uuid);
    assert_eq!(crate::keys(&folder), [Some("o1-5-6".to_owned()), None]);
}

#[test]
fn a_publisher_s_payload_takes_the_result_s_place() {
    let folder = Folder::new();
    let yaml = "
name: made
steps:
  - name: only
    handler: noop
    publishes_events:
      - {name: order.made, publisher: Maker, schema: {type: object}}
      - {name: order.plain}
";
    let engine = working(&folder.database(), manual(), 1, yaml);
    let task = submit(&engine, "made");
    let event = next_event(&engine);
    let publishers: Vec<_> =
        event.publishers.as_ref().unwrap().iter().map(|known| known.class_name.to_string()).collect();
    assert_eq!(publishers, ["Maker"]);
    let payloads = vec![("order.made".to_owned(), Arc::from(r#"{"made":true}"#))];
    succeed_saying(&engine, &event, "1", Some(Box::new(Said { events: Vec::new(), payloads })));
    assert_eq!(finished(&engine, task.task_uuid).state, "complete");
    let payloads: Vec<_> = stored(&folder).iter().map(|event| event["payload"]["payload"].clone()).collect();
    assert_eq!(payloads, [json!({"made": true}), json!(1)]);
}

#[test]
fn a_success_that_does_not_fit_is_told_of_as_the_failure_that_it_became() {
    let folder = Folder::new();
    let yaml = "
name: made
steps:
  - name: only
    handler: noop
    publishes_events:
      - {name: order.checked, schema: {type: object}}
      - {name: order.tried, condition: always, publisher: Maker}
";
    let engine = working(&folder.database(), manual(), 1, yaml);
    let task = submit(&engine, "made");
    let event = next_event(&engine);
    let payloads = vec![("order.tried".to_owned(), Arc::from(r#"{"went":"well"}"#))];
    succeed_saying(&engine, &event, "1", Some(Box::new(Said { events: Vec::new(), payloads })));
    assert_eq!(finished(&engine, task.task_uuid).state, "error");
    let told: Vec<_> = stored(&folder).iter().map(|event| event["payload"]["payload"].clone()).collect();
    assert_eq!((names(&folder), told.len()), (vec!["order.tried".to_owned()], 1));
    assert!(told[0]["went"].is_null() && told[0]["message"].is_string(), "{told:?}");
}

#[test]
fn released_cancelled_and_resolved_steps_publish_nothing() {
    let folder = Folder::new();
    let engine = working(&folder.database(), manual(), 2, CHARGE);
    let submit = || engine.submit(vec![crate::harness::request_in("shop", "pay", "{}")]).unwrap().remove(0).unwrap();
    let (cancelled, resolved) = (submit(), submit());
    let (first, second) = (next_event(&engine), next_event(&engine));
    engine.cancel(cancelled.task_uuid).unwrap();
    for event in [first, second] {
        if event.task_uuid == resolved.task_uuid {
            fail(&engine, &event, failure("declined", false));
        } else {
            succeed(&engine, &event, "1");
        }
    }
    finished(&engine, resolved.task_uuid);
    let failed = names(&folder);
    engine.resolve_step(resolved.task_uuid, "charge", "1").unwrap();
    finished(&engine, resolved.task_uuid);
    assert_eq!(failed, ["payment.failed", "payment.refused", "payment.tried"]);
    assert_eq!(names(&folder), failed);
}
