//! No log record is lost silently: what the collector has, and what was dropped, is what was written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/otlp_receiver.rs"]
mod otlp_receiver;
#[path = "support/scrape.rs"]
mod scrape;
#[path = "support/story.rs"]
mod story;

use std::net::TcpListener;
use std::time::Duration;

use otlp_receiver::Receiver;
use scrape::Scrape;
use tasker_telemetry::record::counts;
use tasker_telemetry::{self as telemetry, Overrides};

const SOON: Duration = Duration::from_secs(5);
/// Lines of phase 2 itself, which are records too.
const OWN: u64 = 2;

fn to(endpoint: &str) -> Overrides {
    Overrides { enabled: Some(true), endpoint: Some(endpoint.into()), ..Overrides::default() }
}

fn write(count: u64) {
    for number in 0..count {
        tracing::info!(target: "story", number, "a line");
    }
}

fn shown(name: &str) -> u64 {
    Scrape::parse(&tasker_telemetry::prometheus_text()).sum(name, &[]) as u64
}

#[test]
fn a_full_queue_drops_and_counts() {
    let vars = [
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "10"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
        ("LOG_LEVEL", "info"),
    ];
    story::alone("a_full_queue_drops_and_counts", &vars, || {
        // Accepts connections, and answers nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(&format!("http://{}", silent.local_addr().unwrap())));
        write(1_000);
        assert_eq!(counts::logs_dropped(), 900 + OWN, "100 wait, whatever part of them is under way");
        assert_eq!(shown("tasker_telemetry_logs_dropped_total"), 900 + OWN);
        assert!(!telemetry::shutdown(Duration::from_millis(300)), "something was given up");
        let all = || counts::logs_dropped() == 1_000 + OWN;
        let by = std::time::Instant::now() + SOON;
        while !all() && std::time::Instant::now() < by {
            std::thread::yield_now();
        }
        assert_eq!(
            (counts::logs_dropped(), counts::logs_exported()),
            (1_000 + OWN, 0),
            "the thread that gave up counts the rest"
        );
    });
}

#[test]
fn what_is_written_is_exported_or_dropped() {
    let vars = [("OTEL_BLRP_MAX_QUEUE_SIZE", "300"), ("OTEL_BLRP_SCHEDULE_DELAY", "1"), ("LOG_LEVEL", "info")];
    story::alone("what_is_written_is_exported_or_dropped", &vars, || {
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(receiver.endpoint()));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| write(5_000));
            }
        });
        let complete = telemetry::shutdown(SOON);
        assert_eq!(counts::logs_exported() + counts::logs_dropped(), 15_000 + OWN);
        assert_eq!(counts::logs_exported(), receiver.logs().len() as u64);
        assert_eq!(shown("tasker_telemetry_logs_exported_total"), counts::logs_exported());
        assert!(complete, "what was dropped before the end is no failure of the end");
    });
}

#[test]
fn what_nobody_takes_is_dropped() {
    story::alone("what_nobody_takes_is_dropped", &[("LOG_LEVEL", "info")], || {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), to(&format!("http://127.0.0.1:{port}")));
        write(10);
        assert!(!telemetry::flush(SOON));
        assert_eq!((counts::logs_dropped(), counts::logs_exported()), (10 + OWN, 0));
        assert_eq!(shown("tasker_telemetry_logs_dropped_total"), 10 + OWN);
        assert!(shown("tasker_telemetry_export_failures_total") > 0);
        telemetry::shutdown(SOON);
        telemetry::forget_after_fork();
        assert_eq!(counts::logs_dropped(), 0, "a forked child counts for itself");
    });
}
