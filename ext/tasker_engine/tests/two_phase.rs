//! The two phases: what is alive when, and what it costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/otlp_receiver.rs"]
mod otlp_receiver;
#[path = "support/story.rs"]
mod story;

use std::time::{Duration, Instant};

use otlp_receiver::Receiver;
use tasker_engine::telemetry::context::{with_context, TraceContext};
use tasker_engine::telemetry::{self, spans, Overrides};

const SOON: Duration = Duration::from_secs(5);

fn to(receiver: &Receiver) -> Overrides {
    Overrides { enabled: Some(true), endpoint: Some(receiver.endpoint().into()), ..Overrides::default() }
}

#[test]
fn phase_1_is_a_console_and_nothing_else() {
    let story = || {
        let threads = story::threads();
        let started = Instant::now();
        telemetry::init_console_only();
        let took = started.elapsed();
        telemetry::init_console_only();
        assert_eq!(story::threads(), threads, "no thread");
        assert!(!spans::enabled());
        tracing::info!("alive in phase 1");
        tracing::debug!("below the level");
        assert!(telemetry::flush(SOON) && telemetry::shutdown(SOON), "nothing to do is done");
        // Generous: a loaded machine must not fail it. `examples/span_cost` measures.
        assert!(took < Duration::from_millis(50), "{took:?}");
    };
    let Some(output) = story::alone("phase_1_is_a_console_and_nothing_else", &[("TASKER_ENV", "test")], story) else {
        return;
    };
    let console = story::console(&output);
    let line = console.lines().find(|line| line.contains("Console-only logging initialized (FFI-safe mode)")).unwrap();
    for field in ["environment=test", "opentelemetry_enabled=false", "context=\"ffi_initialization\""] {
        assert!(line.contains(field), "{field} in {line}");
    }
    assert!(console.contains("alive in phase 1") && !console.contains("below the level"));
}

#[test]
fn with_telemetry_enabled_the_console_lives_in_both_phases() {
    let story = || {
        telemetry::init_console_only();
        tracing::info!("between the phases");
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(&receiver));
        telemetry::init_tracing(runtime.handle(), to(&receiver));
        assert!(spans::enabled());
        tracing::info!("after phase 2");
        assert!(telemetry::shutdown(SOON));
        assert!(!spans::enabled());
        tracing::info!("after the end");
        assert!(receiver.logs().iter().any(|log| log.body == "after phase 2"));
        assert!(!receiver.logs().iter().any(|log| log.body == "after the end"));
    };
    let vars = [("TELEMETRY_ENABLED", "true"), ("OTEL_SERVICE_NAME", "shop"), ("LOG_FORMAT", "json")];
    let Some(output) = story::alone("with_telemetry_enabled_the_console_lives_in_both_phases", &vars, story) else {
        return;
    };
    let lines: Vec<serde_json::Value> =
        story::console(&output).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let messages: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(
        messages,
        [
            "Telemetry enabled - deferring logging init to runtime context",
            "between the phases",
            "Console logging with OpenTelemetry initialized",
            "after phase 2",
            "after the end",
        ]
    );
    let phase_2 = &lines[2]["fields"];
    assert_eq!(phase_2["environment"], "development");
    assert_eq!((&phase_2["opentelemetry_enabled"], &phase_2["logs_enabled"]), (&true.into(), &true.into()));
    assert_eq!(phase_2["service_name"], "shop");
    assert!(phase_2["otlp_endpoint"].as_str().unwrap().starts_with("http://127.0.0.1:"));
}

#[test]
fn with_telemetry_disabled_phase_2_does_nothing() {
    let story = || {
        let runtime = story::runtime();
        telemetry::init_console_only();
        let threads = story::threads();
        telemetry::init_tracing(runtime.handle(), Overrides::default());
        assert_eq!(story::threads(), threads);
        assert!(!spans::enabled());
    };
    let Some(output) = story::alone("with_telemetry_disabled_phase_2_does_nothing", &[], story) else { return };
    assert_eq!(story::console(&output).lines().count(), 1);
}

#[test]
fn tracing_spans_join_after_phase_2() {
    let vars = [("RUST_LOG", "warn")];
    story::alone("tracing_spans_join_after_phase_2", &vars, || {
        telemetry::init_console_only();
        let early = tracing::info_span!("early").entered();
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(&receiver));
        tracing::info_span!("child of early").in_scope(|| tracing::info_span!("grandchild").in_scope(|| ()));
        drop(early);
        let remote = TraceContext { trace_id: 0xaa, span_id: 0xbb, sampled: true };
        with_context(&remote, || tracing::info_span!("joins").in_scope(|| ()));
        let unsampled = TraceContext { sampled: false, ..remote };
        with_context(&unsampled, || tracing::info_span!("not sampled").in_scope(|| ()));
        assert!(telemetry::flush(SOON));
        let spans = receiver.spans();
        let named = |name: &str| spans.iter().find(|span| span.name == name).cloned();
        assert_eq!(named("early"), None);
        let child = named("child of early").unwrap();
        let grandchild = named("grandchild").unwrap();
        assert_eq!(child.parent_span_id, None, "its parent was never exported");
        assert_eq!((grandchild.trace_id, grandchild.parent_span_id), (child.trace_id, Some(child.span_id)));
        let joins = named("joins").unwrap();
        assert_eq!((joins.trace_id, joins.parent_span_id), (0xaa, Some(0xbb)));
        assert_eq!(named("not sampled"), None);
    });
}

#[test]
fn phase_2_may_come_again_after_a_shutdown() {
    story::alone("phase_2_may_come_again_after_a_shutdown", &[], || {
        let receiver = Receiver::start();
        for round in 1..=3 {
            let runtime = story::runtime();
            telemetry::init_tracing(runtime.handle(), to(&receiver));
            tracing::info_span!("round").in_scope(|| ());
            assert!(telemetry::shutdown(SOON));
            assert_eq!(receiver.spans().len(), round);
        }
    });
}

#[test]
fn a_forgotten_exporter_can_be_replaced() {
    story::alone("a_forgotten_exporter_can_be_replaced", &[], || {
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(&receiver));
        let open = tracing::info_span!("open across the fork");
        telemetry::forget_after_fork();
        assert!(!spans::enabled());
        tracing::info_span!("while forgotten").in_scope(|| ());
        drop(open);
        telemetry::init_tracing(runtime.handle(), to(&receiver));
        tracing::info_span!("after").in_scope(|| ());
        assert!(telemetry::shutdown(SOON));
        assert!(receiver.spans().iter().any(|span| span.name == "after"));
        assert!(!receiver.spans().iter().any(|span| span.name == "while forgotten"));
    });
}
