//! One task, one trace: what a collector gets is exactly what the store says happened.
//!
//! Telemetry is one for the whole process: each story runs in a child process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/child.rs"]
mod child;
#[path = "trace_context/crash.rs"]
mod crash;
#[path = "support/harness.rs"]
mod harness;
#[path = "trace_context/joining.rs"]
mod joining;
#[path = "../../tasker_telemetry/tests/support/otlp_receiver.rs"]
mod otlp_receiver;
#[path = "trace_context/steps.rs"]
mod steps;
#[path = "../../tasker_telemetry/tests/support/story.rs"]
mod story;
#[path = "trace_context/trace.rs"]
mod trace;

use std::sync::Arc;
use std::time::Duration;

use harness::*;
use otlp_receiver::Receiver;
use tasker_engine::bootstrap::Engine;
use tasker_engine::ids;
use tasker_telemetry::record::counts;
use tasker_telemetry::{self as telemetry, Overrides};
use trace::{hex_span, hex_trace, Trace};

const SOON: Duration = Duration::from_secs(5);
const ENVIRONMENT: &[(&str, &str)] = &[("TELEMETRY_ENABLED", "true"), ("OTEL_LOGS_EXPORTER", "none")];

const LINEAR2: &str = "
name: linear2
namespace: shop
steps:
  - {name: one, handler: First, retry: {max_attempts: 3, backoff: none}}
  - {name: two, handler: Second, dependencies: [one]}
";

/// Plays the story in a process of its own, and makes sure that it was played there.
fn alone(test: &str, tell: impl FnOnce()) {
    if let Some(output) = story::alone(test, ENVIRONMENT, tell) {
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains("1 passed"), "there is no test {test}: {stdout}");
    }
}

/// A collector, and telemetry that goes there.
fn exporting() -> (Receiver, tokio::runtime::Runtime) {
    let receiver = Receiver::start();
    let runtime = story::runtime();
    let overrides = Overrides { endpoint: Some(receiver.endpoint().into()), ..Overrides::default() };
    telemetry::init_tracing(runtime.handle(), overrides);
    (receiver, runtime)
}

/// Everything that was recorded until now, as it arrived.
fn arrived(engine: &Engine, receiver: &Receiver) -> Trace {
    // Callers are answered first and spans are made afterwards: the second answer says that they are.
    settled(engine);
    settled(engine);
    assert!(telemetry::flush(SOON));
    Trace(receiver.spans())
}

/// A `linear2` task, first thing in the engine; `one` fails once.
fn run_with_one_retry(engine: &Arc<Engine>, traceparent: Option<&str>) -> uuid::Uuid {
    register(engine, LINEAR2);
    let mut wanted = request("linear2", "{}");
    wanted.namespace = "shop".into();
    wanted.traceparent = traceparent.map(ToOwned::to_owned);
    let task = engine.submit(vec![wanted]).unwrap().remove(0).unwrap().task_uuid;
    let handlers = Handlers::start(engine, 2, |event| match (&*event.step_name, event.attempt) {
        ("one", 1) => Err(failure("gateway busy", true)),
        _ => Ok("1".into()),
    });
    engine.start_worker(worker(2)).unwrap();
    assert_eq!(finished(engine, task).state, "complete");
    handlers.stop();
    task
}

#[test]
fn a_task_leaves_exactly_the_spans_of_what_happened() {
    alone("a_task_leaves_exactly_the_spans_of_what_happened", || {
        let (receiver, _runtime) = exporting();
        let folder = Folder::new();
        let engine = Engine::open(&config(&folder.database())).unwrap();
        let task = run_with_one_retry(&engine, None);
        let trace = arrived(&engine, &receiver);
        trace.has_exactly(&[
            ("task.orchestration", 1),
            ("task.state_transition", 12),
            ("step.discovery", 3),
            ("step.enqueuing", 3),
            ("result.evaluation", 3),
            ("worker.step_execution", 3),
            ("step.state_transition", 9),
            ("task.finalization", 1),
            ("handler.execution", 3),
            ("result.submission", 3),
            ("worker.step_completion_received", 3),
        ]);
        trace.is_one_tree();
        trace.parents_are(&[
            ("task.state_transition", "task.orchestration"),
            ("step.discovery", "task.state_transition"),
            ("step.enqueuing", "task.state_transition"),
            ("result.evaluation", "task.state_transition"),
            ("worker.step_execution", "task.orchestration"),
            ("task.finalization", "task.state_transition"),
            ("handler.execution", "worker.step_execution"),
            ("result.submission", "worker.step_execution"),
            ("worker.step_completion_received", "task.orchestration"),
        ]);
        let view = engine.task(task).unwrap();
        let root = trace.root();
        assert_eq!((hex_trace(root), hex_span(root)), (view.trace_id.clone(), view.root_span_id.clone()));
        assert_eq!(root.parent_span_id, None);
        trace.agrees_with(&view, &engine.transitions(task).unwrap());
        assert_eq!(counts::spans_dropped(), 0);

        let failed: Vec<_> = trace.named("worker.step_execution").filter(|span| span.status.is_some()).collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].attributes["attempt_number"], 1);
        assert_eq!(failed[0].status, Some((2, "RuntimeError: gateway busy".into())));
    });
}

#[test]
fn the_ids_a_handler_sees_are_those_of_the_exported_span() {
    alone("the_ids_a_handler_sees_are_those_of_the_exported_span", || {
        let (receiver, _runtime) = exporting();
        let engine = working(":memory:", tasker_engine::clock::Clock::System, 1, SINGLE);
        submit(&engine, "single");
        let event = next_event(&engine);
        succeed(&engine, &event, "1");
        let trace = arrived(&engine, &receiver);
        let attempt = trace.only("worker.step_execution");
        assert_eq!(event.trace_id.as_deref(), Some(&*hex_trace(attempt)));
        assert_eq!(event.span_id.as_deref(), Some(&*hex_span(attempt)));
        let handler = trace.only("handler.execution");
        assert_eq!(handler.span_id, ids::handler_span_id(attempt.span_id));
        assert_eq!(event.traceparent, Some(format!("00-{}-{}-01", hex_trace(attempt), hex_span(handler))));
        let received = trace.only("worker.step_completion_received");
        assert_eq!(received.links, [(attempt.trace_id, attempt.span_id)]);
        assert_eq!(received.attributes["trace_id"], hex_trace(attempt));
        assert_eq!(received.attributes["span_id"], hex_span(attempt));
        assert_eq!(received.attributes["event_id"], event.event_id.to_string());
        assert_eq!(received.events[0].0, "step.ruby_execution_completed");
    });
}

#[test]
fn a_completion_that_brings_no_ids_back_leaves_the_fallback_span() {
    alone("a_completion_that_brings_no_ids_back_leaves_the_fallback_span", || {
        let (receiver, _runtime) = exporting();
        let engine = working(":memory:", tasker_engine::clock::Clock::System, 1, SINGLE);
        let broken = ["0", "0af7651916cd43dd8448eb211c80319C", "00000000000000000000000000000000"];
        let ids = [None].into_iter().chain(broken.map(|id| Some(id.to_owned())));
        for trace_id in ids {
            receiver.clear();
            submit(&engine, "single");
            let event = next_event(&engine);
            let mut completion = completion(&event, Ok("1".into()), None);
            completion.trace_id = trace_id;
            engine.channel().complete(completion);
            let trace = arrived(&engine, &receiver);
            let received = trace.only("worker.step_completion_received");
            assert!(received.links.is_empty(), "{received:?}");
            assert!(!received.attributes.contains_key("trace_id") && !received.attributes.contains_key("span_id"));
            assert_eq!(hex_trace(received), event.trace_id.unwrap(), "it is in the task's trace all the same");
            trace.is_one_tree();
        }
    });
}

#[test]
fn a_clock_that_jumps_does_not_put_a_child_outside_its_parent() {
    alone("a_clock_that_jumps_does_not_put_a_child_outside_its_parent", || {
        let (receiver, _runtime) = exporting();
        let engine = working(":memory:", manual(), 1, SINGLE);
        for offset in [-3_600_000_000i64, 3_600_000_000] {
            receiver.clear();
            submit(&engine, "single");
            let event = next_event(&engine);
            let elsewhere = tasker_engine::clock::Micros(event.dispatched_at.0 + offset);
            engine.channel().complete(completion(&event, Ok("1".into()), Some((elsewhere, 50.0))));
            arrived(&engine, &receiver).is_one_tree();
        }
    });
}
