//! Every metric of the catalogue moves, and its totals are the store's own. Metrics are one for the whole process: each
//! story runs in a child process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/harness.rs"]
mod harness;
#[path = "../../tasker_telemetry/tests/support/otlp_receiver.rs"]
mod otlp_receiver;
#[path = "../../tasker_telemetry/tests/support/scrape.rs"]
mod scrape;
#[path = "../../tasker_telemetry/tests/support/story.rs"]
mod story;
#[path = "metrics/tasks.rs"]
mod tasks;

use std::collections::BTreeSet;
use std::time::Duration;

use harness::{config, failure, finished, next_event, register, request, submit, worker, Folder, Handlers, PATIENCE};
use otlp_receiver::Receiver;
use scrape::Scrape;
use tasker_engine::bootstrap::Engine;
use tasker_engine::config::{Config, WebConfig};
use tasker_engine::interrupt::Interrupt;
use tasker_telemetry::app::{self, About};
use tasker_telemetry::record::counts;
use tasker_telemetry::record::metrics::domain_events::{self, Delivery};
use tasker_telemetry::record::metrics::{self, Kind, CATALOGUE};
use tasker_telemetry::{self as telemetry, Overrides};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(5);

/// Steps that succeed, are retried, time out, and fail for good, as the context says.
const MIXED: &str = "
name: mixed
namespace: shop
steps:
  - {name: first, handler: first, retry: {max_attempts: 3, backoff: none, base: 0, jitter: 0}}
  - {name: second, handler: second, dependencies: [first], retry: {max_attempts: 2, backoff: none, base: 0, jitter: 0}}
";

const SLOW: &str = "
name: slow
steps:
  - {name: only, handler: slow, timeout_seconds: 0.05, retry: {max_attempts: 1}}
";

fn scraped() -> Scrape {
    Scrape::parse(&tasker_telemetry::prometheus_text())
}

/// Without Ruby there is no GVL to wait for, and SQLite's processes see each other's commits in the file.
const ELSEWHERE: [&str; 2] = ["tasker_ffi_gvl_wait_milliseconds", "tasker_queue_notification_milliseconds"];

/// Moves in the store, over all tasks, of steps (`step`) or tasks.
fn moved(engine: &Engine, tasks: &[Uuid], step: bool, to: &str) -> f64 {
    let moves = tasks.iter().flat_map(|task| engine.transitions(*task).unwrap());
    let json = moves.map(|transition| serde_json::to_value(transition).unwrap());
    json.filter(|json| json["step"].is_null() != step && json["to_state"] == to).count() as f64
}

#[test]
fn totals_are_the_stores_own() {
    story::alone("totals_are_the_stores_own", &[], || {
        let folder = Folder::new();
        let engine = Engine::open(&config(&folder.database())).unwrap();
        register(&engine, MIXED);
        let handlers = Handlers::start(&engine, 4, |event| {
            let n: u32 = event.context.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            match (&*event.step_name, n % 3) {
                ("first", 1) if event.attempt < 3 => Err(failure("again", true)),
                ("second", 2) => Err(failure("never", n.is_multiple_of(2))),
                _ => Ok("{}".into()),
            }
        });
        let requests = |range: std::ops::Range<u32>| {
            let named = range.map(|n| {
                let mut request = request("mixed", &format!("{{\"n\":{n}}}"));
                request.namespace = "shop".into();
                request
            });
            named.collect::<Vec<_>>()
        };
        let ids = |answers: Vec<Result<tasker_engine::task::Submitted, _>>| {
            answers
                .into_iter()
                .map(|answer: Result<_, tasker_engine::error::Error>| answer.unwrap().task_uuid)
                .collect()
        };
        let cancelled: Vec<Uuid> = ids(engine.submit(requests(0..20)).unwrap());
        for task in &cancelled {
            engine.cancel(*task).unwrap();
        }
        engine.start_worker(worker(4)).unwrap();
        let mut tasks: Vec<Uuid> = ids(engine.submit(requests(0..300)).unwrap());
        for task in &tasks {
            finished(&engine, *task);
        }
        tasks.extend(cancelled);
        engine.stop_worker(SOON, &Interrupt::new()).unwrap();
        handlers.stop();

        let scrape = scraped();
        let total = |name: &str| scrape.sum(name, &[("namespace", "shop"), ("task_name", "mixed")]);
        assert_eq!(total("tasker_tasks_created_total"), 320.0);
        assert_eq!(total("tasker_tasks_started_total"), moved(&engine, &tasks, false, "initializing"));
        for (name, state) in [("completed", "complete"), ("failed", "error"), ("cancelled", "cancelled")] {
            assert_eq!(total(&format!("tasker_tasks_{name}_total")), moved(&engine, &tasks, false, state), "{name}");
        }
        for (name, state) in [
            ("enqueued", "enqueued"),
            ("claimed", "in_progress"),
            ("succeeded", "complete"),
            ("failed", "error"),
            ("retried", "waiting_for_retry"),
        ] {
            let stored = moved(&engine, &tasks, true, state);
            assert!(stored > 0.0, "{name} is part of the story");
            assert_eq!(total(&format!("tasker_steps_{name}_total")), stored, "{name}");
        }
        let ended = ["complete", "error", "waiting_for_retry"].map(|to| moved(&engine, &tasks, true, to));
        assert_eq!(total("tasker_steps_executed_total"), ended.iter().sum::<f64>());
        assert_eq!(total("tasker_step_execution_time_milliseconds_count"), ended.iter().sum::<f64>());
        assert_eq!(total("tasker_task_duration_milliseconds_count"), 320.0);
        assert_eq!(
            scrape.sum("tasker_steps_failed_total", &[("handler", "second")]),
            moved(&engine, &tasks, true, "error")
        );
    });
}

/// The names of all metrics that have a value other than zero, or any observation.
fn moving(scrape: &Scrape) -> BTreeSet<&'static str> {
    let moves = |name: &str| scrape.any(name) || scrape.any(&format!("{name}_count"));
    CATALOGUE.iter().map(|info| info.name).filter(|name| moves(name)).collect()
}

#[test]
fn every_metric_moves() {
    let vars = [("OTEL_METRIC_EXPORT_INTERVAL", "20"), ("TASKER_WEB_PORT", "0")];
    story::alone("every_metric_moves", &vars, || {
        let runtime = story::runtime();
        let receiver = Receiver::start();
        let to = Overrides { enabled: Some(true), endpoint: Some(receiver.endpoint().into()), ..Overrides::default() };
        telemetry::init_tracing(runtime.handle(), to);
        let folder = Folder::new();
        let earlier = task_of_another_process(&folder);
        let engine = Engine::open(&config(&folder.database())).unwrap();
        assert_eq!(engine.task(earlier).unwrap().state, "cancelled");
        let address = engine.start_web(runtime.handle(), &WebConfig::default()).unwrap();
        register(&engine, MIXED);
        register(&engine, SLOW);
        let mut seen = moving(&scraped());
        seen.extend(follow_an_event(&engine));

        // Tasks of every end; one step runs longer than it may, and its result comes too late.
        let mixed = |n: u32| {
            let mut request = request("mixed", &format!("{{\"n\":{n}}}"));
            request.namespace = "shop".into();
            engine.submit(vec![request]).unwrap().remove(0).unwrap().task_uuid
        };
        engine.cancel(mixed(1)).unwrap();
        let (slow, waiting) = (submit(&engine, "slow").task_uuid, mixed(2));
        engine.start_worker(worker(1)).unwrap();
        let late = next_event(&engine);
        assert_eq!(&*late.step_name, "only");
        seen.extend(moving(&scraped()));
        assert_eq!(finished(&engine, slow).state, "error");
        engine.channel().complete(harness::completion(&late, Ok("{}".into()), None));
        let handlers = Handlers::start(&engine, 1, |event| match event.attempt {
            1 => Err(failure("again", true)),
            _ => Ok("{}".into()),
        });
        finished(&engine, waiting);
        // Every way an event may travel, and what may go wrong with it: counted by hand.
        for delivery in [Delivery::Durable, Delivery::Fast, Delivery::Broadcast] {
            domain_events::routed(delivery);
            domain_events::published("order.placed", "shop", delivery, 1.0);
        }
        domain_events::failed("order.placed", "shop", Delivery::Durable);
        domain_events::fast_delivery_error();
        domain_events::routing_error();
        scrape::get(address, "/health", None);
        assert!(telemetry::flush(SOON));
        seen.extend(moving(&scraped()));
        let _ = submit(&engine, "slow");
        handlers.stop();
        // The kernel counts in hundredths of a second; a look costs some of one.
        let by = std::time::Instant::now() + SOON;
        while !seen.contains("process_cpu_seconds_total") && std::time::Instant::now() < by {
            seen.extend(moving(&scraped()));
        }

        // What only trouble moves is shown by stories of its own: tests/breaker.rs, tests/hostile, tests/telemetry_failure.rs,
        // tests/log_queue.rs. What only Ruby moves, by spec/integration/metrics_spec.rb; what only PostgreSQL does, by
        // tests/postgres/measured.rs.
        let trouble = [
            "tasker_store_errors_total",
            "tasker_tasks_quarantined_total",
            "tasker_circuit_breaker_state",
            "tasker_circuit_breaker_rejected_total",
            "tasker_telemetry_logs_dropped_total",
            "tasker_telemetry_spans_dropped_total",
            "tasker_telemetry_export_failures_total",
        ];
        // Looked at every five seconds, and then zero or not: tests/breaker.rs and the unit test of the store show it.
        let looked = [
            "tasker_tasks_active",
            "tasker_queue_depth",
            "tasker_queue_lag_seconds",
            "tasker_ffi_channel_depth",
            "tasker_domain_events_retrying",
            "tasker_domain_events_dead_letters",
        ];
        let still: Vec<_> = CATALOGUE.iter().map(|info| info.name).filter(|name| !seen.contains(name)).collect();
        let unexpected: Vec<_> =
            still.iter().filter(|name| ![&trouble[..], &looked, &ELSEWHERE].concat().contains(name)).collect();
        assert!(unexpected.is_empty(), "never moved: {unexpected:?}");

        exposition_is_the_catalogue(&scraped());
        collector_gets_the_same(&receiver);
        assert!(counts::spans_exported() > 0);
        assert!(telemetry::shutdown(SOON));
    });
}

/// A group that finds an event, tries it and gives it up.
fn follow_an_event(engine: &Engine) -> BTreeSet<&'static str> {
    let event = |json: &str| serde_json::from_str(json).unwrap();
    engine.publish_events(vec![event(r#"{"name":"order.placed"}"#)]).unwrap();
    let opening = r#"{"name":"billing","patterns":["order.*"],"from":"beginning"}"#;
    engine.opening_group(serde_json::from_str(opening).unwrap()).unwrap().answer().unwrap();
    harness::until("the groups are looked at", || scraped().any("tasker_domain_events_lag_milliseconds"));
    let mut seen = moving(&scraped());
    for how in [r#""error":{},"retry_in":0"#, r#""error":{},"retry_in":null"#] {
        let claim = engine.claiming_events("billing", 1, SOON, PATIENCE).unwrap().answer().unwrap();
        let outcome = format!("{{\"delivery\":{},{how}}}", claim[0].delivery);
        let outcomes = vec![serde_json::from_str(&outcome).unwrap()];
        assert_eq!(engine.settling_events("billing".into(), outcomes).unwrap().answer().unwrap(), Some(vec![]));
    }
    let outcomes = ["handled", "retried", "dead"].map(|outcome| {
        scraped().sum("tasker_domain_events_deliveries_total", &[("group", "billing"), ("outcome", outcome)])
    });
    assert_eq!(outcomes, [0.0, 1.0, 1.0]);
    seen.extend(moving(&scraped()));
    seen
}

/// A task of a template that this engine has to read.
fn task_of_another_process(folder: &Folder) -> Uuid {
    let engine = Engine::open(&config(&folder.database())).unwrap();
    register(&engine, SLOW);
    let task = submit(&engine, "slow").task_uuid;
    engine.cancel(task).unwrap();
    engine.close();
    task
}

/// Each name once, with the catalogue's type and labels.
fn exposition_is_the_catalogue(scrape: &Scrape) {
    for info in CATALOGUE.iter().filter(|info| !ELSEWHERE.contains(&info.name)) {
        let kind = match info.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!(scrape.types(info.name), [kind], "{}", info.name);
        for labels in scrape.label_names(info.name) {
            assert_eq!(labels, info.labels, "{}", info.name);
        }
    }
    assert_eq!(scrape.families(), CATALOGUE.len() - ELSEWHERE.len());
}

fn collector_gets_the_same(receiver: &Receiver) {
    assert!(receiver.wait_for_metrics(2, PATIENCE), "the pump sends by itself");
    assert!(telemetry::flush(SOON));
    let arrived: BTreeSet<(String, String)> =
        receiver.metrics().into_iter().map(|metric| (metric.name, metric.unit)).collect();
    let ours = CATALOGUE.iter().filter(|info| !ELSEWHERE.contains(&info.name));
    let known: BTreeSet<_> = ours.map(|info| (info.instrument.to_owned(), info.unit.to_owned())).collect();
    assert_eq!(arrived, known);
    let scrape = scraped();
    let submitted: f64 = receiver
        .metrics()
        .iter()
        .filter(|metric| metric.name == "tasker.tasks.created")
        .map(|metric| metric.value)
        .sum();
    assert_eq!(submitted, scrape.sum("tasker_tasks_created_total", &[]));
    assert_eq!(receiver.resource()["service.name"], "tasker_core");
}

#[test]
fn metrics_may_stay_at_home() {
    let vars = [("OTEL_METRICS_EXPORTER", "none"), ("OTEL_METRIC_EXPORT_INTERVAL", "5")];
    story::alone("metrics_may_stay_at_home", &vars, || {
        let runtime = story::runtime();
        let receiver = Receiver::start();
        let to = Overrides { enabled: Some(true), endpoint: Some(receiver.endpoint().into()), ..Overrides::default() };
        telemetry::init_tracing(runtime.handle(), to);
        assert!(telemetry::flush(SOON) && telemetry::shutdown(SOON));
        assert!(receiver.metrics().is_empty());
        assert!(scraped().families() > 10, "/metrics does not depend on OTLP");
    });
}

#[test]
fn a_forked_child_counts_from_zero() {
    story::alone("a_forked_child_counts_from_zero", &[], || {
        let engine = Engine::open(&config(":memory:")).unwrap();
        register(&engine, harness::LINEAR);
        submit(&engine, "linear");
        domain_events::routed(Delivery::Fast);
        assert_eq!(scraped().sum("tasker_tasks_created_total", &[]), 1.0);
        telemetry::forget_after_fork();
        let scrape = scraped();
        assert_eq!(scrape.sum("tasker_tasks_created_total", &[]), 0.0);
        assert_eq!(scrape.sum("router_fast_routed_total", &[]), 0.0);
        let engine = Engine::open(&Config { database: ":memory:".into(), ..Config::default() }).unwrap();
        register(&engine, harness::LINEAR);
        submit(&engine, "linear");
        assert_eq!(scraped().sum("tasker_tasks_created_total", &[]), 1.0);
    });
}

#[test]
fn an_application_has_metrics_of_its_own() {
    let story = || {
        telemetry::init_console_only();
        assert!(app::record(Kind::Counter, "orders.placed", 2.0, r#"{"shop":"a"}"#, About::default));
        assert!(app::record(Kind::Counter, "orders.placed", 0.5, r#"{"shop":"a"}"#, About::default));
        assert!(app::record(Kind::Gauge, "stock", 7.0, "", About::default));
        assert!(app::record(Kind::Gauge, "stock", 5.0, "", About::default));
        assert!(app::record(Kind::Histogram, "basket.value", 19.9, r#"{"vip":true}"#, About::default));
        let about = || About { description: "Until it \\ was\npaid.".into(), unit: "s".into() };
        assert!(app::record(Kind::Histogram, "order.age", 1.0, "", about));
        assert!(app::record(Kind::Histogram, "order.age", 2.0, "", || panic!("asked again")));
        for _ in 0..3 {
            assert!(!app::record(Kind::Counter, "orders placed", 1.0, "", About::default));
        }
        let scrape = scraped();
        assert_eq!(scrape.sum("orders_placed_total", &[("shop", "a")]), 2.5);
        assert_eq!(scrape.sum("stock", &[]), 5.0);
        assert_eq!(scrape.sum("basket_value_count", &[("vip", "true")]), 1.0);
        assert_eq!(scrape.sum("order_age_seconds_count", &[]), 2.0);
        let help = "# HELP order_age_seconds Until it \\\\ was\\npaid.\n";
        assert!(tasker_telemetry::prometheus_text().contains(help), "{}", tasker_telemetry::prometheus_text());
    };
    let Some(output) = story::alone("an_application_has_metrics_of_its_own", &[], story) else { return };
    assert_eq!(story::console(&output).matches("orders placed").count(), 1, "one line for each bad name");
}

#[test]
fn domain_events_are_zero_before_the_first_one() {
    story::alone("domain_events_are_zero_before_the_first_one", &[], || {
        tasker_telemetry::keep_numbers();
        let _ = (metrics::task_series("shop", "order"), metrics::task_series("shop", "refund"));
        let text = tasker_telemetry::prometheus_text();
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
        for name in ["tasker_domain_events_published_total{", "tasker_domain_events_failed_total{"] {
            let series = lines(name);
            assert_eq!(series.len(), 3, "one for each way an event may travel: {series:?}");
            assert!(series.iter().all(|line| line.contains("namespace=\"shop\"") && line.ends_with("} 0")));
        }
        let buckets = lines("tasker_domain_events_publish_duration_milliseconds_bucket{");
        assert!(!buckets.is_empty() && buckets.iter().all(|line| line.ends_with("} 0")));
        assert_eq!(lines("tasker_domain_events_publish_duration_milliseconds_count{").len(), 3);

        domain_events::published("order.placed", "shop", Delivery::Fast, 1.0);
        assert_eq!(scraped().sum("tasker_domain_events_published_total", &[("namespace", "shop")]), 1.0);
    });
}
