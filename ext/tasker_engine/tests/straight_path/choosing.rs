//! Which steps run first, and which version of a template a task is made from.

use std::time::Duration;

use tasker_engine::bootstrap::Engine;
use tasker_engine::config::WorkerConfig;
use tasker_engine::task::TaskRequest;

use crate::harness::*;

#[test]
fn higher_priority_goes_first_then_the_older_task() {
    let engine = working(":memory:", manual(), 1, SINGLE);
    unhurried(&engine);
    submit(&engine, "single");
    let first = next_event(&engine);
    let wanted = |priority| TaskRequest { priority, ..request("single", "{}") };
    let tasks = engine.submit(vec![wanted(0), wanted(-1), wanted(5), wanted(0), wanted(5)]).unwrap();
    succeed(&engine, &first, "1");
    for expected in [2, 4, 0, 3, 1] {
        let event = next_event(&engine);
        assert_eq!(event.task_uuid, tasks[expected].as_ref().unwrap().task_uuid);
        no_event(&engine);
        succeed(&engine, &event, "1");
    }
}

#[test]
fn a_step_that_becomes_ready_stands_in_the_queue_by_priority_and_age() {
    let engine = working(":memory:", manual(), 1, LINEAR);
    unhurried(&engine);
    let old = submit(&engine, "linear").task_uuid;
    let young = submit(&engine, "linear").task_uuid;
    for _ in 0..4 {
        let event = next_event(&engine);
        assert_eq!(event.task_uuid, old, "the older task is finished first");
        succeed(&engine, &event, "1");
    }
    assert_eq!(next_event(&engine).task_uuid, young);
}

#[test]
fn a_worker_takes_no_more_steps_than_it_has_handler_threads() {
    let engine = working(":memory:", manual(), 3, SINGLE);
    unhurried(&engine);
    let tasks: Vec<_> = (0..5).map(|_| submit(&engine, "single")).collect();
    let running: Vec<_> = (0..3).map(|_| next_event(&engine)).collect();
    no_event(&engine);
    succeed(&engine, &running[1], "1");
    assert_eq!(next_event(&engine).task_uuid, tasks[3].task_uuid);
    no_event(&engine);
}

#[test]
fn a_worker_runs_only_its_namespaces() {
    let engine = Engine::open(&config(":memory:")).unwrap();
    register(&engine, SINGLE);
    register(&engine, "{name: single, namespace: other, steps: [{name: only, handler: noop}]}");
    submit(&engine, "single");
    let theirs = TaskRequest { namespace: "other".into(), ..request("single", "{}") };
    let theirs = engine.submit(vec![theirs]).unwrap().remove(0).unwrap();
    engine.start_worker(WorkerConfig { namespaces: vec!["other".into()], ..worker(5) }).unwrap();
    assert_eq!(next_event(&engine).task_uuid, theirs.task_uuid);
    no_event(&engine);
}

#[test]
fn a_flood_in_one_namespace_does_not_make_another_wait() {
    let engine = Engine::open(&config(":memory:")).unwrap();
    register(&engine, SINGLE);
    register(&engine, "{name: single, namespace: other, steps: [{name: only, handler: noop}]}");
    engine.submit((0..500).map(|_| request("single", "{}")).collect()).unwrap();
    let theirs = TaskRequest { namespace: "other".into(), ..request("single", "{}") };
    let theirs = engine.submit(vec![theirs]).unwrap().remove(0).unwrap();
    engine.start_worker(worker(2)).unwrap();
    let first = [next_event(&engine), next_event(&engine)];
    assert!(first.iter().any(|event| event.task_uuid == theirs.task_uuid), "each namespace has its turn");
}

fn version(text: &str, handler: &str) -> String {
    format!("{{name: single, version: {text}, steps: [{{name: only, handler: {handler}}}]}}")
}

#[test]
fn the_version_registered_last_is_the_default_and_others_can_be_named() {
    let engine = working(":memory:", manual(), 10, &version("1.0.0", "Old"));
    submit(&engine, "single");
    register(&engine, &version("2.0.0", "New"));
    submit(&engine, "single");
    let old = TaskRequest { version: Some("1.0.0".into()), ..request("single", "{}") };
    engine.submit(vec![old]).unwrap().remove(0).unwrap();
    let handlers: Vec<String> = (0..3).map(|_| next_event(&engine).handler.to_string()).collect();
    assert_eq!(handlers, ["Old", "New", "Old"]);
}

#[test]
fn a_task_keeps_the_template_it_was_made_from() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    register(&engine, &version("1.0.0", "Old"));
    submit(&engine, "single");
    engine.close();
    // A new deployment, which knows only the new version.
    let engine = working(&folder.database(), manual(), 1, &version("2.0.0", "New"));
    let event = next_event(&engine);
    assert_eq!(&*event.handler, "Old");
    succeed(&engine, &event, "1");
    // That it has run an old task does not make the old version the latest again.
    submit(&engine, "single");
    assert_eq!(&*next_event(&engine).handler, "New");
}

#[test]
fn a_cancelled_step_makes_room_as_soon_as_its_handler_is_back() {
    let engine = working(":memory:", manual(), 1, SINGLE);
    unhurried(&engine);
    let unwanted = submit(&engine, "single");
    let event = next_event(&engine);
    let waiting = submit(&engine, "single");
    engine.cancel(unwanted.task_uuid).unwrap();
    no_event(&engine);
    succeed(&engine, &event, "1");
    assert_eq!(next_event(&engine).task_uuid, waiting.task_uuid);
}

#[test]
fn an_event_nobody_takes_up_is_given_back_and_offered_again() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, SINGLE);
    let task = submit(&engine, "single");
    settled(&engine);
    clock.advance(Duration::from_secs(3));
    settled(&engine);
    let event = next_event(&engine);
    assert_eq!(event.attempt, 1, "an attempt that never started is not counted");
    succeed(&engine, &event, "1");
    assert_eq!(finished(&engine, task.task_uuid).steps[0].attempts, 1);
    let told = moves(&engine, task.task_uuid, Some("only"));
    assert_eq!(told, "pending enqueued in_progress enqueued in_progress complete");
}
