//! A store that fails and comes back: the breaker opens, everybody is told, nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/harness.rs"]
mod harness;
#[path = "../../tasker_telemetry/tests/support/scrape.rs"]
mod scrape;
#[path = "../../tasker_telemetry/tests/support/story.rs"]
mod story;

use std::time::{Duration, Instant};

use harness::{
    completion, config, finished, next_event, register, request, submit, worker, Folder, Handlers, LINEAR, PATIENCE,
};
use scrape::{get, json, Scrape};
use tasker_engine::bootstrap::Engine;
use tasker_engine::config::WebConfig;
use tasker_engine::error::Error;
use tasker_engine::interrupt::Interrupt;

/// Makes the database unusable, and usable again.
fn rename(folder: &Folder, from: &str, to: &str) {
    let connection = rusqlite::Connection::open(folder.sqlite()).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap();
}

/// Submits until the answer is as wanted; gives it.
fn submit_until(engine: &Engine, wanted: impl Fn(&Result<(), Error>) -> bool) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        let answer = engine.submit(vec![request("linear", "{}")]).map(drop);
        if wanted(&answer) {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{answer:?}");
        // Bounded, and woken by whatever the engine dispatches.
        engine.channel().wait(Duration::from_millis(20), &Interrupt::new()).unwrap();
    }
}

fn open_says(answer: &Result<(), Error>) -> bool {
    matches!(answer, Err(Error::Store(why)) if why.contains("refused until it answers again"))
}

#[test]
fn it_opens_and_closes_again_and_nothing_is_lost() {
    let story = || {
        tasker_telemetry::init_console_only();
        let (runtime, folder) = (story::runtime(), Folder::new());
        let engine = Engine::open(&config(&folder.sqlite())).unwrap();
        let web = WebConfig { port: Some(0), ..WebConfig::default() };
        let address = engine.start_web(runtime.handle(), &web).unwrap();
        register(&engine, LINEAR);
        engine.start_worker(worker(1)).unwrap();
        let task = submit(&engine, "linear").task_uuid;
        let event = next_event(&engine);

        rename(&folder, "steps", "steps_elsewhere");
        engine.channel().complete(completion(&event, Ok("{}".into()), None));
        submit_until(&engine, open_says).unwrap_err();
        let began = Instant::now();
        for _ in 0..10 {
            assert!(engine.submit(vec![request("linear", "{}")]).is_err());
        }
        assert!(began.elapsed() < Duration::from_secs(5), "refused at once: {:?}", began.elapsed());
        let (status, health) = json(address, "/health");
        assert_eq!(health["checks"]["circuit_breakers"]["breakers"]["store"] == "open", status == 503, "{health:#}");
        assert_ne!(health["status"], "healthy");
        assert_eq!(json(address, "/health/ready").0, 503);
        assert_eq!(json(address, "/health/live").0, 200, "a store that is gone is no reason to kill");
        let scrape = Scrape::parse(&get(address, "/metrics", None).1);
        assert!(scrape.any("tasker_circuit_breaker_state"));
        assert!(scrape.sum("tasker_store_errors_total", &[("kind", "store")]) >= 5.0);
        assert!(scrape.sum("tasker_circuit_breaker_rejected_total", &[("name", "store")]) >= 1.0);

        rename(&folder, "steps_elsewhere", "steps");
        submit_until(&engine, Result::is_ok).unwrap();
        assert_eq!(json(address, "/health/ready").0, 200);
        assert_eq!(json(address, "/health").1["status"], "healthy");
        let handlers = Handlers::start(&engine, 1, |_| Ok("{}".into()));
        let task = finished(&engine, task);
        assert_eq!((task.state.as_str(), task.steps[0].attempts), ("complete", 1), "its result was kept");
        let scrape = Scrape::parse(&get(address, "/metrics", None).1);
        assert!(!scrape.any("tasker_circuit_breaker_state"));
        handlers.stop();
    };
    let Some(output) = story::alone("it_opens_and_closes_again_and_nothing_is_lost", &[], story) else { return };
    let console = story::console(&output);
    assert_eq!(console.matches("Circuit breaker closed").count(), 1, "{console}");
    assert_eq!(console.matches("Circuit breaker open:").count(), 1, "probes that fail are no news: {console}");
}

#[test]
fn a_worker_can_be_stopped_without_its_database() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.sqlite())).unwrap();
    register(&engine, LINEAR);
    engine.start_worker(worker(1)).unwrap();
    submit(&engine, "linear");
    let _running = next_event(&engine);
    rename(&folder, "steps", "steps_elsewhere");
    submit_until(&engine, open_says).unwrap_err();
    let report = engine.stop_worker(Duration::from_millis(10), &Interrupt::new()).unwrap();
    assert!(!report.completed_in_time);
    assert_eq!(engine.status()["worker"]["running"], false);
    let began = Instant::now();
    engine.close();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    rename(&folder, "steps_elsewhere", "steps");
}
