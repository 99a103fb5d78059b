//! Two processes at one SQLite file: each is told at once of what the other commits, and nobody polls.
#![cfg(target_os = "linux")]

use std::sync::mpsc::sync_channel;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tasker_engine::bootstrap::Engine;
use tasker_engine::clock::Clock;
use tasker_engine::config::WorkerConfig;
use tasker_engine::store::sqlite::SqliteStore;
use tasker_engine::store::{OnEnd, Store};

use crate::child::{self, Process};
use crate::harness::*;

/// Far less than the interval at which anybody would look, and far more than it takes.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn a_submission_wakes_the_worker_of_another_process_and_its_end_whoever_waits() {
    if let Some(database) = child::database() {
        let engine = Engine::open_with(&config(&database), Clock::System).unwrap();
        register(&engine, LINEAR);
        engine.start_worker(WorkerConfig { poll_interval: 60.0, ..worker(1) }).unwrap();
        settled(&engine);
        child::say("ready");
        loop {
            let event = next_event(&engine);
            child::say(&event.task_uuid.to_string());
            succeed(&engine, &event, "1");
        }
    }
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.sqlite())).unwrap();
    register(&engine, LINEAR);
    let test = "watching::a_submission_wakes_the_worker_of_another_process_and_its_end_whoever_waits";
    let mut process = Process::start(test, &folder.sqlite());
    assert_eq!(process.hear(), "ready");

    let reader = SqliteStore::open(&config(&folder.sqlite()), Arc::default()).unwrap().reader();
    let (told, tells) = sync_channel(1);
    let on_end: OnEnd = Arc::new(move |_| {
        let _ = told.try_send(());
    });
    assert!(reader.watch_ends(&on_end), "it will be told");
    for _ in 0..5 {
        let began = Instant::now();
        let task = submit(&engine, "linear").task_uuid;
        assert_eq!(process.hear(), task.to_string());
        assert!(began.elapsed() < AT_ONCE, "claimed after {:?}", began.elapsed());
        while reader.ended(&[task]).unwrap().is_empty() {
            tells.recv_timeout(AT_ONCE).expect("told of the end");
        }
        assert!(began.elapsed() < 2 * AT_ONCE, "ended after {:?}", began.elapsed());
        for _ in 0..3 {
            process.hear();
        }
    }
}
