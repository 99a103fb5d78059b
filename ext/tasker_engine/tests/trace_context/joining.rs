//! A task that was submitted with a `traceparent`.

use tasker_engine::bootstrap::Engine;

use crate::harness::*;
use crate::trace::{hex_trace, times};
use crate::{alone, arrived, exporting, run_with_one_retry, story};

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
        assert_eq!(trace.0.len(), 44);
        trace.is_one_tree();
    });
}

#[test]
fn a_trace_that_is_not_sampled_leaves_nothing_but_its_failures() {
    alone("joining::a_trace_that_is_not_sampled_leaves_nothing_but_its_failures", || {
        let (receiver, _runtime) = exporting();
        let engine = Engine::open(&config(":memory:")).unwrap();
        let task = run_with_one_retry(&engine, Some(&format!("00-{TRACE}-b7ad6b7169203331-00")));
        let trace = arrived(&engine, &receiver);
        trace.has_exactly(&[("task.orchestration", 1), ("worker.step_execution", 1), ("handler.execution", 1)]);
        trace.is_one_tree();
        assert!(trace.0.iter().all(|span| span.attributes["sampled_out"] == true));
        let failed = trace.only("worker.step_execution");
        assert_eq!(failed.status.as_ref().unwrap().1, "RuntimeError: gateway busy");
        assert_eq!(trace.root().attributes["state"], "complete");
        assert_eq!(engine.task(task).unwrap().trace_id, TRACE, "the ids are carried on all the same");
    });
}

#[test]
fn a_trace_that_is_not_sampled_and_has_no_failure_leaves_nothing() {
    alone("joining::a_trace_that_is_not_sampled_and_has_no_failure_leaves_nothing", || {
        let (receiver, _runtime) = exporting();
        let engine = working(":memory:", tasker_engine::clock::Clock::System, 1, LINEAR);
        let mut wanted = request("linear", "{}");
        wanted.traceparent = Some(format!("00-{TRACE}-b7ad6b7169203331-00"));
        let task = engine.submit(vec![wanted]).unwrap().remove(0).unwrap().task_uuid;
        for _ in 0..4 {
            let event = next_event(&engine);
            assert!(event.traceparent.as_ref().unwrap().ends_with("-00"));
            succeed(&engine, &event, "1");
        }
        finished(&engine, task);
        assert!(arrived(&engine, &receiver).0.is_empty());
    });
}

#[test]
fn a_namespace_is_sampled_by_its_own_share() {
    let test = "joining::a_namespace_is_sampled_by_its_own_share";
    let vars = [("TELEMETRY_ENABLED", "true"), ("TASKER_TRACE_SAMPLE", "shop=0.0,bad=7")];
    let played = story::alone(test, &vars, || {
        let (receiver, _runtime) = exporting();
        let engine = Engine::open(&config(":memory:")).unwrap();
        register(&engine, LINEAR);
        register(&engine, crate::LINEAR2);
        let mut shop = request("linear2", "{}");
        shop.namespace = "shop".into();
        let tasks = engine.submit(vec![shop, request("linear", "{}")]).unwrap();
        let other = tasks[1].as_ref().unwrap().trace_id.clone();
        let trace = arrived(&engine, &receiver);
        assert!(!trace.0.is_empty() && trace.0.iter().all(|span| hex_trace(span) == other));
    });
    let Some(output) = played else { return };
    assert_eq!(story::console(&output).matches("TASKER_TRACE_SAMPLE=\"bad=7\" cannot be used").count(), 1);
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
        let refused = trace.only("worker.stale_completion_received");
        assert_eq!(refused.parent_span_id, Some(attempt.span_id));
        assert_eq!(refused.attributes["step_uuid"], attempt.attributes["step_uuid"]);
        assert!(refused.status.is_some());
        // What the handler opened must hang on something.
        let handler = trace.only("handler.execution");
        assert_eq!(handler.attributes["handler.outcome_unknown"], true);
        assert_eq!(times(handler), times(attempt));
    });
}

#[test]
fn an_attempt_that_no_handler_took_up_is_no_execution() {
    alone("joining::an_attempt_that_no_handler_took_up_is_no_execution", || {
        let (receiver, _runtime) = exporting();
        let engine = working(":memory:", tasker_engine::clock::Clock::System, 1, LINEAR);
        let task = submit(&engine, "linear").task_uuid;
        settled(&engine);
        assert_eq!(engine.channel().depth().waiting, 1, "it stands before the handler threads");
        engine.cancel(task).unwrap();
        no_event(&engine);
        let trace = arrived(&engine, &receiver);
        trace.is_one_tree();
        assert_eq!(trace.root().attributes["state"], "cancelled");
        for name in ["worker.step_execution", "handler.execution"] {
            assert_eq!(trace.named(name).count(), 0, "{name}");
        }
        trace.parents_are(&[("step.state_transition", "task.orchestration")]);
        trace.has_each_move(&engine.transitions(task).unwrap());
    });
}
