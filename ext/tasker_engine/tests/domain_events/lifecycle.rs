//! What the engine says of tasks and steps to listeners in its process.

use serde_json::Value;
use tasker_engine::bootstrap::Engine;

use crate::harness::{fail, failure, finished, manual, next_event, run, submit, working};

const TWO: &str = "
name: two
namespace: shop
steps:
  - {name: one, handler: noop, retry: {max_attempts: 2, base: 0}}
  - {name: two, handler: noop, dependencies: [one], retry: {max_attempts: 1}}
";

fn heard(engine: &Engine) -> Vec<Value> {
    let items = std::iter::from_fn(|| engine.bus().try_poll());
    let items = items.inspect(|item| assert_eq!(item.kind(), "lifecycle"));
    items.map(|item| serde_json::from_str(&item.json()).unwrap()).collect()
}

fn names(heard: &[Value]) -> Vec<&str> {
    heard.iter().map(|item| item["event"].as_str().unwrap()).collect()
}

#[test]
fn tasks_and_steps_are_told_of_in_order_and_with_what_is_known() {
    let engine = working(":memory:", manual(), 1, TWO);
    engine.bus().listen(false, true);
    let task = engine.submit(vec![crate::harness::request_in("shop", "two", "{}")]).unwrap().remove(0).unwrap();
    let event = next_event(&engine);
    fail(&engine, &event, failure("gateway busy", true));
    run(&engine, "one", "1");
    run(&engine, "two", "2");
    finished(&engine, task.task_uuid);
    crate::harness::settled(&engine);
    let heard: Vec<Value> = heard(&engine).into_iter().filter(|item| item["namespace"] == "shop").collect();
    let wanted = [
        "task.initialize_requested",
        "task.start_requested",
        "workflow.task_started",
        "step.execution_requested",
        "workflow.viable_steps_discovered",
        "step.before_handle",
        "step.failed",
        "step.retry_requested",
        "workflow.no_viable_steps",
        "step.execution_requested",
        "workflow.viable_steps_discovered",
        "step.before_handle",
        "step.handle",
        "step.completed",
        "workflow.step_completed",
        "step.execution_requested",
        "workflow.viable_steps_discovered",
        "step.before_handle",
        "step.handle",
        "step.completed",
        "workflow.step_completed",
        "task.completed",
        "workflow.task_completed",
    ];
    assert_eq!(names(&heard), wanted);
    let at: Vec<&str> = heard.iter().map(|item| item["at"].as_str().unwrap()).collect();
    assert!(at.windows(2).all(|pair| pair[0] <= pair[1]), "{at:?}");
    let failed = &heard[6];
    assert_eq!((&failed["error_message"], &failed["error_class"]), (&"gateway busy".into(), &"RuntimeError".into()));
    assert_eq!((&failed["attempt_number"], &failed["retry_limit"]), (&1.into(), &2.into()));
    assert_eq!(failed["execution_duration"], 1.0);
    assert_eq!((&failed["step_name"], failed.get("total_steps")), (&"one".into(), None));
    assert_eq!(failed["trace_id"], task.trace_id);
    assert_ne!(failed["span_id"], heard[0]["span_id"]);
    let done = &heard[21];
    assert_eq!(
        (&done["total_steps"], &done["completed_steps"], &done["failed_steps"]),
        (&2.into(), &2.into(), &0.into())
    );
    assert!(done["execution_duration"].is_f64() && done["completed_at"].is_string() && done.get("step_uuid").is_none());
}

#[test]
fn a_step_that_fails_for_good_says_whether_its_attempts_were_used_up() {
    let engine = working(":memory:", manual(), 1, TWO);
    engine.bus().listen(false, true);
    let submit = || engine.submit(vec![crate::harness::request_in("shop", "two", "{}")]).unwrap().remove(0).unwrap();
    let refused = submit();
    let event = next_event(&engine);
    fail(&engine, &event, failure("declined", false));
    finished(&engine, refused.task_uuid);
    crate::harness::settled(&engine);
    let told = heard(&engine);
    assert!(names(&told).contains(&"task.failed") && !names(&told).contains(&"step.max_retries_reached"), "{told:?}");
    let cancelled = submit();
    engine.cancel(cancelled.task_uuid).unwrap();
    let told = heard(&engine);
    assert!(["step.cancelled", "task.cancelled"].iter().all(|name| names(&told).contains(name)), "{told:?}");
    let used_up = submit();
    run(&engine, "one", "1");
    let event = next_event(&engine);
    fail(&engine, &event, failure("busy", true));
    finished(&engine, used_up.task_uuid);
    crate::harness::settled(&engine);
    assert!(names(&heard(&engine)).contains(&"step.max_retries_reached"));
}

#[test]
fn nobody_who_listens_gets_nothing() {
    let engine = working(":memory:", manual(), 1, crate::harness::SINGLE);
    let task = submit(&engine, "single");
    run(&engine, "only", "1");
    finished(&engine, task.task_uuid);
    engine.bus().listen(false, true);
    assert!(heard(&engine).is_empty());
}
