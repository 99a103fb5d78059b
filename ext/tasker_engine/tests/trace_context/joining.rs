//! A task that was submitted with a `traceparent`.

use tasker_engine::bootstrap::Engine;

use crate::harness::*;
use crate::trace::{hex_trace, times};
use crate::{alone, arrived, exporting, run_with_one_retry};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn a_task_joins_the_trace_it_was_submitted_in() {
    alone("joining::a_task_joins_the_trace_it_was_submitted_in", || {
        let (receiver, _runtime) = exporting();
        let engine = Engine::open(&config(":memory:")).unwrap();
        run_with_one_retry(&engine, Some(&format!("00-{TRACE}-b7ad6b7169203331-01")));
        let trace = arrived(&engine, &receiver);
        assert_eq!(hex_trace(trace.root()), TRACE);
        assert_eq!(trace.root().parent_span_id, Some(0xb7ad_6b71_6920_3331));
        assert_eq!(trace.0.len(), 40);
        trace.is_one_tree();
    });
}

#[test]
fn a_trace_that_is_not_sampled_exports_nothing_and_the_task_completes() {
    alone("joining::a_trace_that_is_not_sampled_exports_nothing_and_the_task_completes", || {
        let (receiver, _runtime) = exporting();
        let engine = Engine::open(&config(":memory:")).unwrap();
        let task = run_with_one_retry(&engine, Some(&format!("00-{TRACE}-b7ad6b7169203331-00")));
        assert!(arrived(&engine, &receiver).0.is_empty());
        assert_eq!(engine.task(task).unwrap().trace_id, TRACE, "the ids are carried on all the same");
    });
}

#[test]
fn a_broken_traceparent_starts_a_trace_of_its_own() {
    alone("joining::a_broken_traceparent_starts_a_trace_of_its_own", || {
        let (receiver, _runtime) = exporting();
        let engine = Engine::open(&config(":memory:")).unwrap();
        run_with_one_retry(&engine, Some("00-0-0-01"));
        let trace = arrived(&engine, &receiver);
        assert_eq!(trace.root().parent_span_id, None);
        trace.is_one_tree();
    });
}

#[test]
fn a_cancelled_task_leaves_a_whole_trace_too() {
    alone("joining::a_cancelled_task_leaves_a_whole_trace_too", || {
        let (receiver, _runtime) = exporting();
        let engine = working(":memory:", tasker_engine::clock::Clock::System, 1, LINEAR);
        let task = submit(&engine, "linear").task_uuid;
        let event = next_event(&engine);
        engine.cancel(task).unwrap();
        succeed(&engine, &event, "1");
        let trace = arrived(&engine, &receiver);
        trace.is_one_tree();
        trace.agrees_with(&engine.task(task).unwrap(), &engine.transitions(task).unwrap());
        assert_eq!(trace.root().attributes["state"], "cancelled");
        let attempt = trace.only("worker.step_execution");
        assert!(attempt.status.is_some(), "{attempt:#?}");
        assert!(times(attempt).1 <= times(trace.root()).1);
        assert_eq!(trace.named("handler.execution").count(), 0, "a refused completion leaves no span");
    });
}
