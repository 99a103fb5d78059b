//! A task is submitted, its steps run in their order, and its result is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "straight_path/choosing.rs"]
mod choosing;
#[path = "support/harness.rs"]
mod harness;
#[path = "straight_path/starting.rs"]
mod starting;
#[path = "../../tasker_telemetry/tests/support/story.rs"]
mod story;
#[path = "straight_path/submitting.rs"]
mod submitting;
#[path = "straight_path/two_processes.rs"]
mod two_processes;

use harness::*;
use tasker_engine::bootstrap::Engine;

#[test]
fn a_linear_task_runs_its_steps_one_after_another() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    register(&engine, LINEAR);
    let handlers = Handlers::start(&engine, 2, |event| Ok(format!("\"{}\"", event.step_name)));
    engine.start_worker(worker(2)).unwrap();
    let task = submit(&engine, "linear");
    let view = finished(&engine, task.task_uuid);
    assert_eq!(view.state, "complete");
    for name in ["one", "two", "three", "four"] {
        assert_eq!(result_of(&view, name), format!("\"{name}\""));
        assert_eq!(moves(&engine, task.task_uuid, Some(name)), "pending enqueued in_progress complete");
    }
    assert!(view.completed_at.unwrap() >= view.created_at);
    let round = "evaluating_results enqueuing_steps steps_in_process";
    assert_eq!(
        moves(&engine, task.task_uuid, None),
        format!(
            "pending initializing enqueuing_steps steps_in_process {round} {round} {round} evaluating_results complete"
        )
    );
    handlers.stop();
}

#[test]
fn parallel_steps_are_dispatched_together_and_results_reach_what_depends_on_them() {
    let engine = working(":memory:", manual(), 10, DIAMOND);
    let task = engine.submit(vec![request("diamond", r#"{"order":7}"#)]).unwrap().remove(0).unwrap();
    run(&engine, "top", r#"{"cart":[1,2]}"#);
    let (left, right) = (next_event(&engine), next_event(&engine));
    assert_eq!((&*left.step_name, &*right.step_name), ("left", "right"));
    assert_eq!(&*left.dependency_results[0].1, r#"{"cart":[1,2]}"#);
    no_event(&engine);
    succeed(&engine, &right, "\"r\"");
    no_event(&engine);
    succeed(&engine, &left, "\"l\"");
    let bottom = next_event(&engine);
    let results: Vec<(&str, &str)> = bottom.dependency_results.iter().map(|(name, json)| (&**name, &**json)).collect();
    assert_eq!(results, [("right", "\"r\""), ("left", "\"l\"")], "in the template's order");
    assert_eq!(&*bottom.context, r#"{"order":7}"#);
    succeed(&engine, &bottom, "null");
    assert_eq!(finished(&engine, task.task_uuid).state, "complete");
}

#[test]
fn an_event_says_all_a_handler_wants_to_know() {
    let yaml = "
name: detailed
namespace: shop
steps:
  - {name: charge, handler: ChargeCard, config: {currency: EUR}, timeout_seconds: 2.5, retry: {max_attempts: 4}}
";
    let engine = working(":memory:", manual(), 1, yaml);
    let mut wanted = request("detailed", "{}");
    wanted.namespace = "shop".into();
    let parent = tasker_engine::ids::uuid_v7(tasker_engine::clock::Clock::System.now());
    wanted.parent_correlation_id = Some(parent);
    let task = engine.submit(vec![wanted]).unwrap().remove(0).unwrap();
    let event = next_event(&engine);
    let view = engine.task(task.task_uuid).unwrap();
    assert_eq!((event.task_uuid, event.correlation_id), (task.task_uuid, task.correlation_id));
    assert_eq!(event.parent_correlation_id, Some(parent));
    assert_eq!(event.step_uuid.to_string(), view.steps[0].step_uuid);
    assert_eq!((&*event.namespace, &*event.task_name, &*event.handler), ("shop", "detailed", "ChargeCard"));
    assert_eq!((event.attempt, event.max_attempts, event.timeout_seconds), (1, 4, Some(2.5)));
    assert_eq!(&*event.config, r#"{"currency":"EUR"}"#);
    assert_eq!(event.trace_id.as_deref(), Some(&*task.trace_id));
    assert!(event.traceparent.unwrap().starts_with(&format!("00-{}-", task.trace_id)));
    assert!(!engine.channel().cancelled(event.event_id));
}

#[test]
fn a_result_handed_in_twice_counts_once() {
    let engine = working(":memory:", manual(), 1, SINGLE);
    let task = submit(&engine, "single");
    let event = next_event(&engine);
    succeed(&engine, &event, "1");
    succeed(&engine, &event, "2");
    settled(&engine);
    let view = finished(&engine, task.task_uuid);
    assert_eq!(result_of(&view, "only"), "1");
    assert_eq!((total(&engine, "steps_settled"), total(&engine, "stale_completions")), (1, 1));
}

#[test]
fn thousands_of_steps_all_run_once() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    register(&engine, DIAMOND);
    let handlers = Handlers::start(&engine, 4, |_| Ok("1".into()));
    engine.start_worker(worker(10)).unwrap();
    let requests = (0..500).map(|_| request("diamond", "{}")).collect();
    for task in engine.submit(requests).unwrap() {
        let view = finished(&engine, task.unwrap().task_uuid);
        assert!(view.steps.iter().all(|step| step.attempts == 1 && step.state == "complete"));
    }
    assert_eq!(total(&engine, "steps_settled"), 2000);
    assert_eq!(engine.count_tasks().unwrap(), [("complete".to_owned(), 500)]);
    handlers.stop();
}
