//! The worker's web server, asked over plain sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "web/crowd.rs"]
mod crowd;
#[path = "support/harness.rs"]
mod harness;
#[path = "../../tasker_telemetry/tests/support/scrape.rs"]
mod scrape;
#[path = "../../tasker_telemetry/tests/support/story.rs"]
mod story;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use harness::{config, finished, next_event, register, submit, worker, Folder, Handlers, LINEAR, PATIENCE};
use scrape::{get, json, Scrape};
use tasker_engine::bootstrap::Engine;
use tasker_engine::config::{Token, WebConfig};
use tasker_engine::interrupt::Interrupt;
use tokio::runtime::Runtime;

fn anywhere() -> WebConfig {
    WebConfig { enabled: Some(true), bind: Some("127.0.0.1".into()), port: Some(0), token: None }
}

/// An engine with a web server, and no worker yet.
fn served(web: &WebConfig) -> (Runtime, Arc<Engine>, SocketAddr, Folder) {
    let (runtime, folder) = (story::runtime(), Folder::new());
    let engine = Engine::open(&config(&folder.database())).unwrap();
    register(&engine, LINEAR);
    let address = engine.start_web(runtime.handle(), web).unwrap();
    (runtime, engine, address, folder)
}

#[test]
fn it_tells_how_the_worker_is_at_every_stage_of_its_life() {
    // Alone: gauges show the engine that was opened last in a process.
    story::alone("it_tells_how_the_worker_is_at_every_stage_of_its_life", &[], a_life);
}

fn a_life() {
    let (_runtime, engine, address, _folder) = served(&anywhere());
    let (status, answer) = json(address, "/health/ready");
    assert_eq!((status, answer["status"].as_str()), (503, Some("not_ready")), "before the worker starts");
    assert_eq!(json(address, "/health/live").0, 200);

    let tasks: Vec<_> = (0..20).map(|_| submit(&engine, "linear").task_uuid).collect();
    engine.start_worker(worker(2)).unwrap();
    assert_eq!(json(address, "/health/ready"), (200, serde_json::json!({ "status": "ready" })));
    let (status, health) = json(address, "/health");
    assert_eq!((status, health["status"].as_str()), (200, Some("healthy")), "{health:#}");
    let checks = &health["checks"];
    assert_eq!(checks["database"]["connections_max"], 2);
    let connections = ["connections_active", "connections_idle"].map(|key| checks["database"][key].as_u64().unwrap());
    assert_eq!(connections.iter().sum::<u64>(), 2);
    assert_eq!(
        (&checks["message_queue"]["queues_monitored"], &checks["message_queue"]["status"]),
        (&1.into(), &"healthy".into())
    );
    assert!(checks["message_queue"]["depth"].as_u64().unwrap() >= 10, "{health:#}");
    assert_eq!(
        (&checks["circuit_breakers"]["status"], &checks["circuit_breakers"]["open_breakers"]),
        (&"healthy".into(), &0.into())
    );
    assert_eq!(
        (&checks["handler_threads"]["max"], &checks["handler_threads"]["waiting_events"]),
        (&2.into(), &2.into())
    );
    assert!(health["uptime_seconds"].is_u64() && checks["lag"]["seconds"].is_f64());
    assert!(health["worker_id"].as_str().unwrap().starts_with("worker-"));
    assert_eq!(health["timestamp"].as_str().unwrap().len(), "2025-12-01T10:30:00Z".len());
    let scrape = Scrape::parse(&get(address, "/metrics", None).1);
    for gauge in ["tasker_queue_depth", "tasker_queue_lag_seconds", "tasker_tasks_active", "tasker_ffi_channel_depth"] {
        assert!(scrape.any(gauge), "{gauge}");
    }
    assert!(scrape.sum("tasker_queue_depth", &[("namespace", "default")]) >= 10.0);
    assert_eq!(scrape.sum("tasker_workers_active", &[]), 1.0);
    let resources = &checks["resources"];
    assert!(resources["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{resources}");
    assert!(resources["threads"].as_u64().is_some_and(|threads| threads > 2), "{resources}");

    let running = next_event(&engine);
    assert_eq!(json(address, "/health").1["checks"]["handler_threads"]["busy"], 1);
    let stopping = Arc::clone(&engine);
    let stop = std::thread::spawn(move || stopping.stop_worker(PATIENCE, &Interrupt::new()).unwrap());
    while !engine.status()["worker"]["draining"].as_bool().unwrap() {
        std::thread::yield_now();
    }
    let (status, answer) = json(address, "/health/ready");
    assert_eq!((status, answer["reason"].as_str()), (503, Some("the worker is draining")));
    assert_eq!(json(address, "/health").1["status"], "degraded");
    assert_eq!(json(address, "/health/live").0, 200);
    engine.channel().complete(harness::completion(&running, Ok("{}".into()), None));
    assert!(stop.join().unwrap().completed_in_time);
    assert_eq!(json(address, "/health/ready").0, 503);

    engine.start_worker(worker(2)).unwrap();
    assert_eq!(json(address, "/health/ready").0, 200, "a worker that is started again");
    let handlers = Handlers::start(&engine, 2, |_| Ok("{}".into()));
    tasks.iter().for_each(|task| assert_eq!(finished(&engine, *task).state, "complete"));
    handlers.stop();
    engine.close();
    assert!(TcpStream::connect(address).is_err() || !engine.status()["web"]["address"].is_string());
}

#[test]
fn metrics_come_as_text_and_as_json() {
    let (_runtime, engine, address, _folder) = served(&anywhere());
    engine.start_worker(worker(1)).unwrap();
    submit(&engine, "linear");
    let (status, text) = get(address, "/metrics", None);
    assert_eq!(status, 200);
    assert!(text.contains("# TYPE tasker_tasks_created_total counter"));

    let (status, events) = json(address, "/metrics/events");
    assert_eq!(status, 200);
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&events), ["router", "in_process_bus", "captured_at", "worker_id"]);
    let router =
        ["total_routed", "durable_routed", "fast_routed", "broadcast_routed", "fast_delivery_errors", "routing_errors"];
    assert_eq!(keys(&events["router"]), router);
    let bus = ["total_events_dispatched", "rust_handler_dispatches", "ffi_channel_dispatches"];
    assert_eq!(keys(&events["in_process_bus"]), bus);

    let (status, worker) = json(address, "/metrics/worker");
    assert_eq!((status, worker["worker"]["running"].as_bool()), (200, Some(true)));
    assert_eq!(worker["web"], serde_json::Value::Null, "the server tells of the engine, not of itself");
    assert_eq!(worker["worker_id"], events["worker_id"]);
    assert_eq!(get(address, "/nothing", None).0, 404);
}

/// What probes are told.
fn probes(here: SocketAddr, token: Option<&str>) {
    for (path, status) in [("/health", "healthy"), ("/health/ready", "ready"), ("/health/live", "alive")] {
        assert_eq!(get(here, path, token), (200, format!(r#"{{"status":"{status}"}}"#)), "{path} {token:?}");
    }
}

#[test]
fn a_token_is_wanted_for_all_but_probes() {
    let web = WebConfig { bind: Some("0.0.0.0".into()), token: Some(Token("s3cret".into())), ..anywhere() };
    let (_runtime, engine, address, _folder) = served(&web);
    assert!(address.ip().is_unspecified());
    engine.start_worker(worker(1)).unwrap();
    let here = SocketAddr::from(([127, 0, 0, 1], address.port()));
    for token in [None, Some(""), Some("s3cre"), Some("s3crets"), Some("S3CRET")] {
        probes(here, token);
        for path in ["/metrics", "/metrics/events", "/metrics/worker", "/nothing", "/healthy"] {
            assert_eq!(get(here, path, token).0, 401, "{path} {token:?}");
        }
    }
    assert!(get(here, "/health", Some("s3cret")).1.contains("\"checks\""));
    assert_eq!(get(here, "/metrics/worker", Some("s3cret")).0, 200);
    // Why it is not ready, too, is nobody's business.
    engine.stop_worker(PATIENCE, &Interrupt::new()).unwrap();
    assert_eq!(get(here, "/health/ready", None), (503, r#"{"status":"not_ready"}"#.to_owned()));
    assert!(get(here, "/health/ready", Some("s3cret")).1.contains("has stopped"));
}

#[test]
fn without_a_token_other_machines_get_probes_only() {
    let story = || {
        tasker_telemetry::init_console_only();
        let web = WebConfig { bind: Some("0.0.0.0".into()), ..anywhere() };
        let (_runtime, engine, address, _folder) = served(&web);
        engine.start_worker(worker(1)).unwrap();
        let here = SocketAddr::from(([127, 0, 0, 1], address.port()));
        probes(here, None);
        assert_eq!((get(here, "/metrics", None).0, get(here, "/metrics", Some("")).0), (401, 401));
    };
    let Some(output) = story::alone("without_a_token_other_machines_get_probes_only", &[], story) else { return };
    assert_eq!(story::console(&output).matches("needs a TASKER_WEB_TOKEN").count(), 1);
}

#[test]
fn a_port_in_use_is_one_line_and_the_worker_goes_on() {
    let story = || {
        tasker_telemetry::init_console_only();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let (runtime, folder) = (story::runtime(), Folder::new());
        let engine = Engine::open(&config(&folder.database())).unwrap();
        let web = WebConfig { port: Some(taken.local_addr().unwrap().port()), ..anywhere() };
        assert_eq!(engine.start_web(runtime.handle(), &web), None);
        register(&engine, LINEAR);
        engine.start_worker(worker(1)).unwrap();
        let handlers = Handlers::start(&engine, 1, |_| Ok("{}".into()));
        let task = submit(&engine, "linear").task_uuid;
        assert_eq!(finished(&engine, task).state, "complete");
        handlers.stop();
        let off = WebConfig { enabled: Some(false), ..anywhere() };
        assert_eq!(engine.start_web(runtime.handle(), &off), None);
        assert!(engine.start_web(runtime.handle(), &anywhere()).is_some());
    };
    let vars = [("TASKER_WEB_PORT", "none")];
    let Some(output) = story::alone("a_port_in_use_is_one_line_and_the_worker_goes_on", &vars, story) else { return };
    let console = story::console(&output);
    assert_eq!(console.matches("WARN").count(), 1, "{console}");
    assert!(console.contains("Web server not started"), "{console}");
}

#[test]
fn a_hundred_askers_at_once_are_all_answered() {
    let (_runtime, engine, address, _folder) = served(&anywhere());
    engine.start_worker(worker(1)).unwrap();
    let askers: Vec<_> = (0..100)
        .map(|n| {
            let path = ["/metrics", "/health", "/metrics/worker", "/health/ready"][n % 4];
            std::thread::spawn(move || get(address, path, None).0)
        })
        .collect();
    assert!(askers.into_iter().all(|asker| asker.join().unwrap() == 200));
    engine.stop_worker(Duration::from_secs(1), &Interrupt::new()).unwrap();
}
