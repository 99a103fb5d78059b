//! What the engine records arrives at a collector exactly so, over gRPC and over HTTP, with the logs.
//!
//! Telemetry is one for the whole process: each story runs in a child process of its own, which is
//! this same test binary with the environment of the story.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/otlp_receiver.rs"]
mod otlp_receiver;
#[path = "support/story.rs"]
mod story;

use std::time::Duration;

use otlp_receiver::Receiver;
use serde_json::json;
use tasker_telemetry::ids;
use tasker_telemetry::record::context::{with_context, TraceContext};
use tasker_telemetry::record::counts;
use tasker_telemetry::record::line::{self, Line, Severity};
use tasker_telemetry::record::spans::{self, SpanEvent, SpanKind, SpanRecord, Value};
use tasker_telemetry::time::Micros;
use tasker_telemetry::{self as telemetry, Overrides};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(5);

fn span(name: &'static str) -> SpanRecord {
    SpanRecord {
        name,
        trace_id: ids::trace_id(),
        span_id: ids::span_id(),
        parent_span_id: None,
        parent_is_remote: false,
        kind: SpanKind::Internal,
        start: Micros(1_700_000_000_000_123),
        end: Micros(1_700_000_000_100_456),
        common: None,
        attributes: vec![],
        events: vec![],
        links: vec![],
        error: None,
    }
}

fn overrides(receiver: &Receiver, protocol: &str) -> Overrides {
    Overrides {
        enabled: Some(true),
        endpoint: Some(receiver.endpoint().into()),
        protocol: Some(protocol.into()),
        ..Overrides::default()
    }
}

fn one_span_arrives_as_recorded(runtime: &tokio::runtime::Runtime, receiver: &Receiver, protocol: &str) {
    telemetry::init_tracing(runtime.handle(), overrides(receiver, protocol));
    assert!(spans::enabled());
    let id = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);
    let record = SpanRecord {
        parent_span_id: Some(42),
        parent_is_remote: true,
        kind: SpanKind::Consumer,
        common: None,
        attributes: vec![
            ("task_uuid", id.into()),
            ("step_name", Value::Shared("charge card".into())),
            ("attempt", 2i64.into()),
            ("duration_ms", 1.5.into()),
            ("success", false.into()),
        ],
        events: vec![SpanEvent {
            name: "step.execution_started",
            at: Micros(1_700_000_000_000_200),
            attributes: vec![("worker", "w-1".into())],
        }],
        links: vec![(7, 8)],
        error: Some("gateway busy".into()),
        ..span("worker.step_execution")
    };
    spans::record(record.clone());
    assert!(telemetry::flush(SOON));
    let arrived = receiver.spans();
    assert_eq!(arrived.len(), 1);
    let arrived = &arrived[0];
    assert_eq!((arrived.trace_id, arrived.span_id), (record.trace_id, record.span_id));
    assert_eq!((arrived.parent_span_id, arrived.flags), (Some(42), 0x301));
    assert_eq!((arrived.name.as_str(), arrived.kind), ("worker.step_execution", 5));
    assert_eq!(arrived.start_nanos, 1_700_000_000_000_123_000);
    assert_eq!(arrived.end_nanos, 1_700_000_000_100_456_000);
    let attributes = serde_json::to_value(&arrived.attributes).unwrap();
    assert_eq!(
        attributes,
        json!({"task_uuid": id.to_string(), "step_name": "charge card", "attempt": 2, "duration_ms": 1.5, "success": false})
    );
    assert_eq!(arrived.events.len(), 1);
    assert_eq!(
        (arrived.events[0].0.as_str(), arrived.events[0].1),
        ("step.execution_started", 1_700_000_000_000_200_000)
    );
    assert_eq!(arrived.events[0].2["worker"], "w-1");
    assert_eq!(arrived.links, [(7, 8)]);
    assert_eq!(arrived.status, Some((2, "gateway busy".into())));
    assert_eq!((counts::spans_exported(), counts::spans_dropped(), counts::export_failures()), (1, 0, 0));
}

fn logs_inside_a_context_carry_its_ids(receiver: &Receiver) {
    let context = TraceContext { trace_id: 0xabc, span_id: 0xdef, sampled: true };
    with_context(&context, || tracing::info!(step_name = "fetch", "inside"));
    tracing::info!("outside");
    assert!(telemetry::flush(SOON));
    let two = |logs: &[otlp_receiver::ReceivedLog]| logs.iter().any(|log| log.body == "outside");
    assert!(receiver.wait_for_logs(two, SOON));
    let logs = receiver.logs();
    let inside = logs.iter().find(|log| log.body == "inside").unwrap();
    assert_eq!((inside.trace_id, inside.span_id), (Some(0xabc), Some(0xdef)));
    assert_eq!(inside.attributes["step_name"], "fetch");
    let outside = logs.iter().find(|log| log.body == "outside").unwrap();
    assert_eq!(outside.trace_id, None);
    line::write(Line {
        severity: Severity::Info,
        message: "from Ruby".into(),
        fields: Vec::new(),
        context: None,
        correlation_id: None,
    });
    assert!(telemetry::flush(SOON));
    let logs = receiver.logs();
    assert!(logs.iter().any(|log| log.body == "from Ruby"));
    for log in &logs {
        assert!(log.nanos > 0 && log.nanos.abs_diff(log.observed_nanos) < 1_000_000_000, "when it happened: {log:?}");
    }
}

#[test]
fn over_grpc() {
    story::alone(
        "over_grpc",
        &[("OTEL_SERVICE_NAME", "shop"), ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b")],
        || {
            let receiver = Receiver::start();
            let runtime = story::runtime();
            one_span_arrives_as_recorded(&runtime, &receiver, "grpc");
            assert_eq!(receiver.headers()["x-tenant"], "a b");
            logs_inside_a_context_carry_its_ids(&receiver);
            assert_eq!(receiver.resource()["service.name"], "shop");
            assert_eq!(receiver.resource()["deployment.environment.name"], "development");
            assert!(telemetry::shutdown(SOON));
        },
    );
}

#[test]
fn over_http() {
    story::alone("over_http", &[], || {
        let receiver = Receiver::start_http();
        let runtime = story::runtime();
        one_span_arrives_as_recorded(&runtime, &receiver, "http/protobuf");
        logs_inside_a_context_carry_its_ids(&receiver);
        assert!(telemetry::shutdown(SOON));
    });
}

#[test]
fn spans_of_other_libraries_go_out_too() {
    use opentelemetry::trace::{Span, Tracer};

    story::alone("spans_of_other_libraries_go_out_too", &[("OTEL_LOGS_EXPORTER", "none")], || {
        let tracer = || opentelemetry::global::tracer("a library");
        telemetry::init_console_only();
        assert!(!tracer().start("in Phase 1").span_context().is_valid());
        let runtime = story::runtime();
        // The first one ends with the second.
        for _ in 0..2 {
            let receiver = Receiver::start();
            let to = overrides(&receiver, "grpc");
            assert!(telemetry::upgrade(runtime.handle(), &to, SOON).unwrap());
            tracer().start("query").end();
            assert!(telemetry::flush(SOON));
            assert_eq!(receiver.spans().iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["query"]);
        }
    });
}

#[test]
fn many_spans_travel_in_few_requests() {
    story::alone("many_spans_travel_in_few_requests", &[("OTEL_LOGS_EXPORTER", "none")], || {
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), overrides(&receiver, "grpc"));
        for _ in 0..100 {
            spans::record_all((0..100).map(|_| span("task.state_transition")).collect());
        }
        assert!(telemetry::flush(SOON));
        let mut seen: Vec<u64> = receiver.spans().iter().map(|span| span.span_id).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
        assert!(receiver.requests() <= 4, "{} requests", receiver.requests());
        assert!(telemetry::shutdown(SOON));
    });
}

#[test]
fn spans_leave_by_themselves_after_the_delay() {
    let vars = [("OTEL_BSP_SCHEDULE_DELAY", "20"), ("OTEL_LOGS_EXPORTER", "none")];
    story::alone("spans_leave_by_themselves_after_the_delay", &vars, || {
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), overrides(&receiver, "grpc"));
        spans::record(span("lonely"));
        assert!(receiver.wait_for(|spans| spans.len() == 1, SOON));
    });
}

#[test]
fn a_trace_level_does_not_feed_on_itself() {
    let vars = [("RUST_LOG", "trace"), ("OTEL_BSP_SCHEDULE_DELAY", "10"), ("OTEL_BLRP_SCHEDULE_DELAY", "10")];
    story::alone("a_trace_level_does_not_feed_on_itself", &vars, || {
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), overrides(&receiver, "grpc"));
        for round in 1..=20 {
            spans::record(span("round"));
            assert!(receiver.wait_for(|spans| spans.len() >= round, SOON));
            assert!(telemetry::flush(SOON));
        }
        let logs = receiver.logs();
        assert!(logs.len() < 10, "{} logs: {:?}", logs.len(), logs.iter().map(|log| &log.target).collect::<Vec<_>>());
    });
}
