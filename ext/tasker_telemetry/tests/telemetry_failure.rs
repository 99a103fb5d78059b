//! Whatever the collector does, the worker starts, goes on, and ends in time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/story.rs"]
mod story;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use tasker_telemetry::ids;
use tasker_telemetry::record::counts;
use tasker_telemetry::record::spans::{self, SpanKind, SpanRecord};
use tasker_telemetry::time::Micros;
use tasker_telemetry::{self as telemetry, Overrides, MAX_SHUTDOWN};

fn records(count: usize) -> Vec<SpanRecord> {
    let record = || SpanRecord {
        name: "worker.step_execution",
        trace_id: ids::trace_id(),
        span_id: ids::span_id(),
        parent_span_id: None,
        parent_is_remote: false,
        kind: SpanKind::Internal,
        start: Micros(1),
        end: Micros(2),
        common: None,
        attributes: vec![("attempt", 1i64.into())],
        events: vec![],
        links: vec![],
        error: None,
    };
    (0..count).map(|_| record()).collect()
}

fn to(endpoint: String) -> Overrides {
    Overrides { enabled: Some(true), endpoint: Some(endpoint), ..Overrides::default() }
}

/// Phase 2, load, and the end, against `endpoint`; says how long the end took.
fn live_through(endpoint: String) -> Duration {
    let runtime = story::runtime();
    telemetry::init_console_only();
    let started = Instant::now();
    telemetry::init_tracing(runtime.handle(), to(endpoint));
    assert!(started.elapsed() < Duration::from_secs(1), "init waits for nobody");
    let started = Instant::now();
    for _ in 0..300 {
        spans::record_all(records(1000));
        tracing::info!("a line that is exported too");
    }
    assert!(started.elapsed() < Duration::from_secs(2), "recording waits for nobody: {:?}", started.elapsed());
    let started = Instant::now();
    assert!(!telemetry::shutdown(Duration::from_secs(60)), "something was given up");
    let took = started.elapsed();
    assert!(took < MAX_SHUTDOWN + Duration::from_millis(200), "{took:?}");
    assert_eq!((counts::spans_dropped(), counts::spans_exported()), (300_000, 0));
    assert!(telemetry::shutdown(Duration::from_secs(1)), "a second time there is nothing left to do");
    took
}

fn one_complaint(console: &str) {
    let complaints = console.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert_eq!(complaints, 1, "{console}");
}

#[test]
fn nobody_listens() {
    let story = || {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        live_through(format!("http://127.0.0.1:{port}"));
        assert!(counts::export_failures() > 0);
    };
    let Some(output) = story::alone("nobody_listens", &[], story) else { return };
    let console = story::console(&output);
    one_complaint(&console);
    assert!(console.contains("onnection refused"), "{console}");
}

#[test]
fn the_collector_hangs() {
    let story = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let silent: Vec<_> = listener.incoming().collect();
            drop(silent);
        });
        live_through(endpoint);
    };
    let Some(output) = story::alone("the_collector_hangs", &[], story) else { return };
    one_complaint(&story::console(&output));
}

#[test]
fn the_port_speaks_something_else() {
    let story = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::io::Write::write_all(&mut stream.unwrap(), b"SSH-2.0-nothing\r\n").unwrap_or_default();
            }
        });
        live_through(endpoint);
    };
    let Some(output) = story::alone("the_port_speaks_something_else", &[], story) else { return };
    one_complaint(&story::console(&output));
}

#[test]
fn an_endpoint_without_a_scheme_leaves_the_console() {
    let story = || {
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to("localhost:4317".into()));
        assert!(!spans::enabled());
        tracing::info!("still here");
        assert!(telemetry::shutdown(Duration::from_secs(1)));
    };
    let Some(output) = story::alone("an_endpoint_without_a_scheme_leaves_the_console", &[], story) else { return };
    let console = story::console(&output);
    one_complaint(&console);
    assert!(console.contains("does not begin with http:// or https://"), "{console}");
    assert!(console.contains("still here"));
}

#[test]
fn tls_is_built_in() {
    let story = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (sender, first_byte) = std::sync::mpsc::channel();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut byte = [0u8];
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            sender.send(byte[0]).unwrap();
        });
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(endpoint));
        assert!(spans::enabled());
        spans::record_all(records(1));
        assert!(!telemetry::flush(Duration::from_secs(3)));
        assert_eq!(first_byte.recv_timeout(Duration::from_secs(3)), Ok(22), "a TLS handshake");
    };
    story::alone("tls_is_built_in", &[], story);
}

#[test]
fn bad_settings_are_one_line_each() {
    let story = || {
        let runtime = story::runtime();
        telemetry::init_console_only();
        telemetry::init_tracing(runtime.handle(), Overrides::default());
    };
    let vars = [("TELEMETRY_ENABLED", "perhaps"), ("OTEL_TRACES_SAMPLER_ARG", "lots"), ("LOG_LEVEL", "a=b=c")];
    let Some(output) = story::alone("bad_settings_are_one_line_each", &vars, story) else { return };
    let console = story::console(&output);
    for (name, _) in vars {
        assert_eq!(console.matches(name).count(), 1, "{console}");
    }
}
