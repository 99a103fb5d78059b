//! The two phases: what is alive when, and what it costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/otlp_receiver.rs"]
mod otlp_receiver;
#[path = "support/story.rs"]
mod story;

use std::time::{Duration, Instant};

use otlp_receiver::Receiver;
use tasker_telemetry::record::context::{with_context, TraceContext};
use tasker_telemetry::record::counts;
use tasker_telemetry::record::line::{self, Line, Severity};
use tasker_telemetry::record::spans;
use tasker_telemetry::{self as telemetry, Overrides};

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
fn a_subscriber_that_is_there_already_stays() {
    let story = || {
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(std::io::stderr).init();
        telemetry::init_console_only();
        tracing::info!("in the application's own form");
    };
    let Some(output) = story::alone("a_subscriber_that_is_there_already_stays", &[], story) else { return };
    let console = story::console(&output);
    assert!(console.contains("Global tracing subscriber already initialized"), "{console}");
    assert!(console.contains("in the application's own form"), "{console}");
    assert!(!console.contains("Console-only logging initialized"), "{console}");
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
            "Global tracer and meter providers are set",
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
fn an_upgrade_loses_no_span_and_doubles_none() {
    story::alone("an_upgrade_loses_no_span_and_doubles_none", &[("LOG_LEVEL", "off")], || {
        let receivers = [Receiver::start(), Receiver::start(), Receiver::start()];
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(&receivers[0]));
        let stop = std::sync::atomic::AtomicBool::new(false);
        let mut recorded: Vec<u64> = std::thread::scope(|scope| {
            let recorders: Vec<_> = (0..2).map(|_| scope.spawn(|| record_until(&stop))).collect();
            for (number, receiver) in receivers.iter().enumerate() {
                if number > 0 {
                    assert!(telemetry::upgrade(runtime.handle(), &to(receiver), SOON).unwrap());
                }
                let exported = counts::spans_exported();
                while counts::spans_exported() == exported {
                    assert!(telemetry::flush(SOON));
                }
            }
            stop.store(true, std::sync::atomic::Ordering::SeqCst);
            recorders.into_iter().flat_map(|recorder| recorder.join().unwrap()).collect()
        });
        assert!(telemetry::shutdown(SOON));
        let mut arrived: Vec<u64> =
            receivers.iter().flat_map(|receiver| receiver.spans()).map(|span| span.span_id).collect();
        assert_eq!(counts::spans_dropped(), 0);
        recorded.sort_unstable();
        arrived.sort_unstable();
        assert!(recorded == arrived, "{} recorded, {} arrived", recorded.len(), arrived.len());
        assert!(receivers.iter().all(|receiver| !receiver.spans().is_empty()));
    });
}

/// Records spans, slower than they can be sent.
fn record_until(stop: &std::sync::atomic::AtomicBool) -> Vec<u64> {
    let mut recorded = Vec::new();
    while !stop.load(std::sync::atomic::Ordering::SeqCst) {
        let span_id = tasker_telemetry::ids::span_id();
        spans::record_own(spans::SpanRecord {
            name: format!("span {span_id}").into(),
            trace_id: tasker_telemetry::ids::trace_id(),
            span_id,
            parent_span_id: None,
            parent_is_remote: false,
            kind: spans::SpanKind::Internal,
            start: tasker_telemetry::time::Micros(1),
            end: tasker_telemetry::time::Micros(2),
            common: None,
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            error: None,
        });
        recorded.push(span_id);
        std::thread::yield_now();
        if recorded.len() % 64 == 0 {
            assert!(telemetry::flush(SOON));
        }
    }
    recorded
}

#[test]
fn an_upgrade_from_nothing_sets_the_global_meter_too() {
    story::alone("an_upgrade_from_nothing_sets_the_global_meter_too", &[("LOG_LEVEL", "off")], || {
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), Overrides::default());
        let count = || opentelemetry::global::meter("a library").u64_counter("library.calls").build().add(1, &[]);
        count();
        assert!(telemetry::upgrade(runtime.handle(), &to(&receiver), SOON).unwrap());
        count();
        // Armed again, the SDK would count itself in our provider: nobody asked for that.
        assert!(telemetry::upgrade(runtime.handle(), &to(&receiver), SOON).unwrap());
        count();
        assert!(telemetry::shutdown(SOON));
        let metrics = receiver.metrics();
        let calls = metrics.iter().find(|metric| metric.name == "library.calls");
        assert_eq!(calls.map(|metric| metric.value), Some(2.0));
        assert!(!metrics.iter().any(|metric| metric.name.starts_with("otel.")), "{metrics:?}");
    });
}

#[test]
fn settings_that_export_nothing_are_no_upgrade() {
    story::alone("settings_that_export_nothing_are_no_upgrade", &[], || {
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(&receiver));
        let bad = Overrides { endpoint: Some("nowhere".into()), ..to(&receiver) };
        assert!(telemetry::upgrade(runtime.handle(), &bad, SOON).is_err());
        assert!(telemetry::upgrade(runtime.handle(), &Overrides::default(), SOON).is_err());
        tracing::info_span!("still there").in_scope(|| ());
        assert!(telemetry::shutdown(SOON));
        assert_eq!(receiver.spans().len(), 1);
    });
}

#[test]
fn a_line_of_rubys_keeps_every_field_on_every_way() {
    let context = TraceContext { trace_id: 0xaa, span_id: 0xbb, sampled: true };
    let line = |message: &str| Line {
        severity: Severity::Fatal,
        message: message.into(),
        fields: (0..20).map(|number| (format!("field{number}").into(), i64::from(number).into())).collect(),
        context: Some(context),
        correlation_id: Some("c1".into()),
    };
    let story = || {
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(&receiver));
        line::write(line("charged"));
        line::write(Line { fields: vec![("a".into(), spans::Value::Json("[1]".into()))], ..line("two\nlines") });
        assert!(telemetry::shutdown(SOON));
        let logs = receiver.logs();
        let log = logs.iter().find(|log| log.body == "charged").unwrap();
        assert_eq!((log.severity.as_str(), log.target.as_str()), ("FATAL", line::TARGET));
        assert_eq!((log.trace_id, log.span_id), (Some(0xaa), Some(0xbb)));
        assert_eq!(log.attributes.len(), 21);
        assert_eq!((&log.attributes["field19"], &log.attributes["correlation_id"]), (&19.into(), &"c1".into()));
    };
    let test = "a_line_of_rubys_keeps_every_field_on_every_way";
    let Some(output) = story::alone(test, &[("LOG_FORMAT", "json")], story) else { return };
    let lines: Vec<serde_json::Value> =
        story::console(&output).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = lines.iter().find(|line| line["message"] == "charged").unwrap();
    assert_eq!((&line["level"], &line["span_id"]), (&"FATAL".into(), &"00000000000000bb".into()));
    assert_eq!((&line["correlation_id"], &line["fields"]["field19"]), (&"c1".into(), &19.into()));
    let line = lines.iter().find(|line| line["message"] == "two\nlines").unwrap();
    assert_eq!(line["fields"]["a"], serde_json::json!([1]));
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
