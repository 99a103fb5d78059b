//! Steps whose spans are sampled out, in a trace that is exported: nothing of them is left hanging.

use std::collections::BTreeSet;

use tasker_engine::clock::Clock;
use tasker_telemetry::{self as telemetry, Overrides};

use crate::harness::*;
use crate::otlp_receiver::Receiver;
use crate::{alone, arrived, run_with_one_retry, story};

/// A collector, and telemetry that goes there with those shares of steps.
fn exporting(step_sample: &str) -> (Receiver, tokio::runtime::Runtime) {
    let receiver = Receiver::start();
    let runtime = story::runtime();
    let overrides = Overrides {
        endpoint: Some(receiver.endpoint().into()),
        step_sample: Some(step_sample.into()),
        ..Overrides::default()
    };
    telemetry::init_tracing(runtime.handle(), overrides);
    (receiver, runtime)
}

#[test]
fn without_its_steps_a_task_has_all_its_own_spans_and_what_failed() {
    alone("steps::without_its_steps_a_task_has_all_its_own_spans_and_what_failed", || {
        let (receiver, _runtime) = exporting("shop=0.0");
        let engine = tasker_engine::bootstrap::Engine::open(&config(":memory:")).unwrap();
        run_with_one_retry(&engine, None);
        let trace = arrived(&engine, &receiver);
        trace.has_exactly(&[
            ("task.orchestration", 1),
            ("task.state_transition", 12),
            ("step.discovery", 3),
            ("step.enqueuing", 3),
            ("result.evaluation", 3),
            ("task.finalization", 1),
            ("worker.step_execution", 1),
            ("handler.execution", 1),
        ]);
        trace.is_one_tree();
        for failed in ["worker.step_execution", "handler.execution"].map(|name| trace.only(name)) {
            assert_eq!(failed.attributes["sampled_out"], true, "{failed:?}");
            assert!(failed.status.is_some());
        }
        assert!(!trace.root().attributes.contains_key("sampled_out"));
    });
}

#[test]
fn a_share_of_the_steps_is_kept_whole_and_its_handlers_know_which() {
    alone("steps::a_share_of_the_steps_is_kept_whole_and_its_handlers_know_which", || {
        let (receiver, _runtime) = exporting("shop=0.5");
        let many: String = (0..40).map(|n| format!("\n  - {{name: s{n}, handler: H}}")).collect();
        let engine = working(":memory:", Clock::System, 1, &format!("name: many\nnamespace: shop\nsteps:{many}"));
        let mut wanted = request("many", "{}");
        wanted.namespace = "shop".into();
        engine.submit(vec![wanted]).unwrap().remove(0).unwrap();
        let mut told = BTreeSet::new();
        for _ in 0..40 {
            let event = next_event(&engine);
            if event.traceparent.as_deref().unwrap().ends_with("-01") {
                told.insert(event.step_name.to_string());
            }
            succeed(&engine, &event, "1");
        }
        let trace = arrived(&engine, &receiver);
        trace.is_one_tree();
        let steps = |name: &str| -> BTreeSet<String> {
            trace.named(name).map(|span| span.attributes["step_name"].as_str().unwrap().to_owned()).collect()
        };
        assert!((1..40).contains(&told.len()), "{told:?}");
        for name in ["worker.step_execution", "handler.execution", "step.state_transition", "result.submission"] {
            assert_eq!(steps(name), told, "{name}");
        }
        assert_eq!(steps("worker.step_completion_received"), told);
    });
}

#[test]
fn a_result_that_is_refused_hangs_on_nothing_when_its_step_is_sampled_out() {
    alone("steps::a_result_that_is_refused_hangs_on_nothing_when_its_step_is_sampled_out", || {
        for (share, spans) in [("default=0.0,other=1.0", 0), ("other=1.0", 1)] {
            let (receiver, _runtime) = exporting(share);
            let engine = working(":memory:", Clock::System, 1, SINGLE);
            let task = submit(&engine, "single").task_uuid;
            let event = next_event(&engine);
            engine.cancel(task).unwrap();
            succeed(&engine, &event, "1");
            let trace = arrived(&engine, &receiver);
            trace.is_one_tree();
            for name in ["worker.step_execution", "worker.stale_completion_received"] {
                assert_eq!(trace.named(name).count(), spans, "{name} {share}");
            }
            engine.close();
            telemetry::shutdown(std::time::Duration::from_secs(3));
        }
    });
}
