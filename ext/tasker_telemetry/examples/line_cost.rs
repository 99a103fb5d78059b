//! What one span and one log line cost the thread that writes them, from Rust, exported to the OTLP
//! collector named by the first argument; prints nanoseconds as JSON. For `rake bench ONLY=overhead`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant, SystemTime};

use tasker_telemetry::ids;
use tasker_telemetry::record::spans::{self, SpanKind, SpanRecord};
use tasker_telemetry::time::Micros;
use tasker_telemetry::{self as telemetry, Overrides};

const CALLS: u32 = 20_000;
const ROUNDS: usize = 7;

fn span(now: Micros) {
    spans::record(SpanRecord {
        name: "worker.step_execution",
        trace_id: ids::trace_id(),
        span_id: ids::span_id(),
        parent_span_id: Some(1),
        parent_is_remote: false,
        kind: SpanKind::Internal,
        start: now,
        end: now,
        common: None,
        attributes: vec![("amount", 5i64.into())],
        events: Vec::new(),
        links: Vec::new(),
        error: None,
    });
}

fn nanoseconds(call: impl Fn()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            telemetry::flush(Duration::from_secs(3));
            let started = Instant::now();
            (0..CALLS).for_each(|_| call());
            started.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn main() {
    let endpoint = std::env::args().nth(1).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let overrides = Overrides { enabled: Some(true), endpoint: Some(endpoint), ..Overrides::default() };
    telemetry::init_tracing(runtime.handle(), overrides);
    let span_ns = nanoseconds(|| span(SystemTime::now().into()));
    let log_ns = nanoseconds(|| tracing::info!(amount = 5, "charged"));
    telemetry::shutdown(Duration::from_secs(3));
    println!("{{\"overhead.rust_span_ns\":{span_ns:.1},\"overhead.rust_log_ns\":{log_ns:.1}}}");
}
