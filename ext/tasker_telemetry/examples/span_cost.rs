//! What telemetry costs: Phase 1, Phase 2, and one span from the recording thread to a collector on
//! loopback, which is this same program in a second process.
//!
//!     cargo run --release --example span_cost [spans a second, default 260000] [seconds, default 5]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/support/otlp_receiver.rs"]
mod otlp_receiver;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tasker_telemetry::ids;
use tasker_telemetry::record::counts;
use tasker_telemetry::record::spans::{self, SpanKind, SpanRecord, Value};
use tasker_telemetry::time::Micros;
use tasker_telemetry::{self as telemetry, Overrides};
use uuid::Uuid;

/// Spans of one engine transaction: twenty steps of thirteen spans.
const TRANSACTION: usize = 260;

struct Names {
    namespace: Arc<str>,
    step: Arc<str>,
}

fn transaction(names: &Names, now: Micros) -> Vec<SpanRecord> {
    let (task, step) = (Uuid::from_u128(u128::from(ids::span_id())), Uuid::from_u128(u128::from(ids::span_id())));
    let trace_id = ids::trace_id();
    (0..TRANSACTION)
        .map(|_| SpanRecord {
            name: "worker.step_execution",
            trace_id,
            span_id: ids::span_id(),
            parent_span_id: Some(1),
            parent_is_remote: false,
            kind: SpanKind::Internal,
            start: now,
            end: now,
            common: None,
            attributes: vec![
                ("correlation_id", task.into()),
                ("task_uuid", task.into()),
                ("step_uuid", step.into()),
                ("step_name", Value::Shared(names.step.clone())),
                ("namespace", Value::Shared(names.namespace.clone())),
                ("attempt", 1i64.into()),
            ],
            events: Vec::new(),
            links: Vec::new(),
            error: None,
        })
        .collect()
}

/// Nanoseconds on a CPU, of a `schedstat` file.
fn on_cpu(path: &std::path::Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn process_cpu() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|task| on_cpu(&task.unwrap().path().join("schedstat"))).sum()
}

/// Threads, and resident memory in MB.
fn size() -> (usize, f64) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident: f64 = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
    (std::fs::read_dir("/proc/self/task").unwrap().count(), resident * 4096.0 / 1e6)
}

fn thread_cpu() -> u64 {
    on_cpu(std::path::Path::new("/proc/thread-self/schedstat"))
}

fn collector() -> (std::process::Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap()).arg("sink").stdout(Stdio::piped()).spawn().unwrap();
    let mut endpoint = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
    (child, endpoint.trim().to_owned())
}

fn measure(label: &str, per_second: Option<usize>, transactions: usize) {
    let names = Names { namespace: "orders".into(), step: "charge_card".into() };
    let (dropped, exported) = (counts::spans_dropped(), counts::spans_exported());
    let (thread, process) = (thread_cpu(), process_cpu());
    let started = Instant::now();
    let (mut building, mut recording) = (Duration::ZERO, Duration::ZERO);
    let mut slowest = Duration::ZERO;
    for number in 0..transactions {
        let at = Instant::now();
        let batch = transaction(&names, SystemTime::now().into());
        let built = Instant::now();
        spans::record_all(batch);
        building += built - at;
        recording += built.elapsed();
        slowest = slowest.max(built.elapsed());
        if let Some(per_second) = per_second {
            let due = Duration::from_secs_f64((number + 1) as f64 * TRANSACTION as f64 / per_second as f64);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    let wall = started.elapsed();
    let complete = telemetry::flush(Duration::from_secs(3));
    let thread = thread_cpu() - thread;
    let background = process_cpu() - process - thread;
    let spans = (transactions * TRANSACTION) as f64;
    let sent = (counts::spans_exported() - exported).max(1) as f64;
    println!("{label}: {:.0} spans/s offered", spans / wall.as_secs_f64());
    println!("  recording thread, building the records   {:>8.1} ns/span", building.as_nanos() as f64 / spans);
    println!("  recording thread, record_all             {:>8.1} ns/span", recording.as_nanos() as f64 / spans);
    println!("  slowest record_all of {TRANSACTION} spans          {:>8.1} us", slowest.as_nanos() as f64 / 1e3);
    println!("  background CPU                           {:>8.2} us/span exported", background as f64 / 1e3 / sent);
    println!("  exported {sent:.0}, dropped {}, complete: {complete}", counts::spans_dropped() - dropped);
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "sink") {
        println!("{}", otlp_receiver::Receiver::start_sink().endpoint());
        std::io::stdin().lines().for_each(drop);
        loop {
            std::thread::park();
        }
    }
    let per_second = arguments.next().map_or(260_000, |text| text.parse().unwrap());
    let seconds: usize = arguments.next().map_or(5, |text| text.parse().unwrap());

    let started = Instant::now();
    telemetry::init_console_only();
    println!("phase 1: {:.3} ms", started.elapsed().as_secs_f64() * 1e3);
    let (mut child, endpoint) = collector();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (threads, resident) = size();
    let overrides = Overrides { enabled: Some(true), endpoint: Some(endpoint), ..Overrides::default() };
    let started = Instant::now();
    telemetry::init_tracing(runtime.handle(), overrides);
    let took = started.elapsed().as_secs_f64() * 1e3;
    let (threads, resident) = (size().0 - threads, size().1 - resident);
    println!("phase 2: {took:.3} ms, {threads} threads, {resident:+.1} MB");

    measure("paced", Some(per_second), per_second * seconds / TRANSACTION);
    measure("as fast as it goes", None, 2_000);
    let started = Instant::now();
    telemetry::shutdown(Duration::from_secs(3));
    println!("shutdown: {:.3} ms", started.elapsed().as_secs_f64() * 1e3);
    child.kill().unwrap();
    child.wait().unwrap();
}
