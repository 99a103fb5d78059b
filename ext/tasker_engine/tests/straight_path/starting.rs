//! What a worker says when it starts and when it stops: also where little is said.

use serde_json::Value;
use tasker_engine::bootstrap::Engine;
use tasker_engine::config::WorkerConfig;
use tasker_engine::interrupt::Interrupt;
use tasker_telemetry as telemetry;

use crate::harness::*;
use crate::story;

#[test]
fn a_worker_says_with_what_it_starts_and_what_it_leaves() {
    const NAME: &str = "starting::a_worker_says_with_what_it_starts_and_what_it_leaves";
    let story = || {
        telemetry::init_console_only();
        let engine = Engine::open(&config(":memory:")).unwrap();
        register(&engine, SINGLE);
        let namespaces = vec!["default".to_owned(), "other".to_owned()];
        engine.start_worker(WorkerConfig { namespaces, lease_seconds: 20.0, ..worker(3) }).unwrap();
        submit(&engine, "single");
        let _runs = next_event(&engine);
        let enough = Interrupt::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                until("it waits for its handler", || engine.status()["worker"]["draining"] == true);
                enough.set();
            });
            engine.stop_worker(PATIENCE, &enough).unwrap();
        });
    };
    let production = [("TASKER_ENV", "production"), ("LOG_FORMAT", "json")];
    let Some(output) = story::alone(NAME, &production, story) else { return };
    let console = story::console(&output);
    let lines = console.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let worker = lines.filter(|line| line["message"].as_str().is_some_and(|message| message.starts_with("Worker ")));
    let [started, stops, stopped] = worker.collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(started["message"], "Worker started");
    let fields = started["fields"].as_object().unwrap();
    let said = ["namespaces", "templates", "concurrency", "lease_seconds"].map(|name| fields[name].clone());
    assert_eq!(said, ["default,other".into(), Value::from(1), Value::from(3), Value::from(20.0)]);
    let place = if on_server() { "postgres://" } else { ":memory:" };
    assert!(fields["database"].as_str().is_some_and(|database| database.contains(place)), "{started}");
    assert_eq!(stops["fields"]["in_flight"], 1);
    assert_eq!((&stopped["fields"]["released"], &stopped["fields"]["running"]), (&1.into(), &1.into()), "{stopped}");
    for line in [&stops, &stopped] {
        assert_eq!(line["fields"]["worker_id"], fields["worker_id"]);
    }
}
