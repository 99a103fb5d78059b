//! What may be asked for, and what is refused.

use std::time::Duration;

use tasker_engine::bootstrap::Engine;
use tasker_engine::error::Error;
use tasker_engine::task::{Submitted, TaskRequest};

use crate::harness::*;

fn ask(engine: &Engine, change: impl FnOnce(&mut TaskRequest)) -> Result<Submitted, Error> {
    let mut wanted = request("single", "{}");
    change(&mut wanted);
    engine.submit(vec![wanted]).unwrap().remove(0)
}

fn single() -> std::sync::Arc<Engine> {
    let engine = Engine::open(&config(":memory:")).unwrap();
    register(&engine, SINGLE);
    engine
}

#[test]
fn the_same_idempotency_key_gives_the_same_task() {
    let engine = single();
    let keyed = |key: &str| ask(&engine, |wanted| wanted.idempotency_key = Some(key.into())).unwrap();
    let first = keyed("order-1");
    assert!(first.created);
    let again = keyed("order-1");
    assert_eq!(again, Submitted { created: false, ..first.clone() });
    assert_ne!(keyed("order-2").task_uuid, first.task_uuid);
    let wanted = || TaskRequest { idempotency_key: Some("order-3".into()), ..request("single", "{}") };
    let together = engine.submit(vec![wanted(), wanted()]).unwrap();
    let [one, two] = [0, 1].map(|n| together[n].as_ref().unwrap());
    assert_eq!((one.task_uuid, one.created, two.created), (two.task_uuid, true, false));
    assert_eq!(engine.count_tasks().unwrap(), [("steps_in_process".to_owned(), 3)]);
    assert_eq!(total(&engine, "tasks_submitted"), 3);
}

#[test]
fn a_correlation_id_is_made_or_kept() {
    let engine = single();
    let made = ask(&engine, |_| {}).unwrap();
    let kept = ask(&engine, |wanted| wanted.correlation_id = Some(made.correlation_id)).unwrap();
    assert_eq!(kept.correlation_id, made.correlation_id);
    assert_ne!(kept.task_uuid, made.task_uuid);
    assert_eq!(engine.task(kept.task_uuid).unwrap().correlation_id, made.correlation_id.to_string());
}

#[test]
fn an_unknown_template_is_refused_with_the_names_that_are_known() {
    let engine = single();
    register(&engine, LINEAR);
    let error = ask(&engine, |wanted| wanted.name = "singel".into()).unwrap_err();
    let message = error.to_string();
    assert_eq!(error.kind(), "not_found");
    for part in ["default/singel", "default/single", "default/linear"] {
        assert!(message.contains(part), "{message}");
    }
    let error = ask(&engine, |wanted| wanted.version = Some("9.9.9".into())).unwrap_err();
    assert!(error.to_string().contains("default/single version 9.9.9"), "{error}");
}

#[test]
fn a_context_that_does_not_fit_is_refused_and_the_others_are_taken() {
    let engine = single();
    let yaml = "
name: strict
input_schema: {type: object, required: [order_id], properties: {order_id: {type: integer}}}
steps: [{name: only, handler: noop}]
";
    register(&engine, yaml);
    let answers = engine
        .submit(vec![
            request("strict", r#"{"order_id":"secret"}"#),
            request("strict", r#"{"order_id":1}"#),
            request("strict", "[]"),
            request("single", "{}"),
        ])
        .unwrap();
    assert!(matches!(&answers[0], Err(Error::SchemaViolation { field, message })
        if field == "/order_id" && !message.contains("secret")));
    assert!(matches!(&answers[2], Err(Error::InvalidInput(_))));
    assert!(answers[1].as_ref().unwrap().created && answers[3].as_ref().unwrap().created);
    assert_eq!(engine.count_tasks().unwrap(), [("steps_in_process".to_owned(), 2)]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let engine = single();
    let refused = |change: fn(&mut TaskRequest)| ask(&engine, change).unwrap_err().kind();
    assert_eq!(refused(|wanted| wanted.idempotency_key = Some(String::new())), "invalid_input");
    assert_eq!(refused(|wanted| wanted.idempotency_key = Some("k".repeat(256))), "invalid_input");
    assert_eq!(refused(|wanted| wanted.run_at = Some(-1.0)), "invalid_input");
    assert_eq!(refused(|wanted| wanted.run_at = Some(f64::NAN)), "invalid_input");
    assert_eq!(engine.count_tasks().unwrap(), []);
}

#[test]
fn a_task_for_later_starts_at_its_time() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, SINGLE);
    let in_a_minute = clock.now().after(Duration::from_secs(60)).0 as f64 / 1e6;
    let task = ask(&engine, |wanted| wanted.run_at = Some(in_a_minute)).unwrap();
    clock.advance(Duration::from_secs(59));
    no_event(&engine);
    assert_eq!(engine.task(task.task_uuid).unwrap().state, "pending");
    clock.advance(Duration::from_millis(1100));
    run(&engine, "only", "1");
    assert_eq!(finished(&engine, task.task_uuid).state, "complete");
}

#[test]
fn a_task_for_later_whose_steps_are_resolved_before_it_ends_at_its_time() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, SINGLE);
    let in_a_minute = clock.now().after(Duration::from_secs(60)).0 as f64 / 1e6;
    let task = ask(&engine, |wanted| wanted.run_at = Some(in_a_minute)).unwrap();
    engine.resolve_step(task.task_uuid, "only", "1").unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!(finished(&engine, task.task_uuid).state, "complete");
}
