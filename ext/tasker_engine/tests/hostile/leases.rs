//! Workers that are stopped, or cannot reach their database, for too long or not long enough.

use std::time::{Duration, Instant};

use tasker_engine::bootstrap::Engine;
use tasker_engine::clock::Clock;
use tasker_engine::config::{Config, WorkerConfig};

use crate::child::{self, Process};
use crate::harness::*;
use crate::{connection, number};

#[test]
fn a_worker_that_was_stopped_for_too_long_goes_on_as_another_one() {
    let folder = Folder::new();
    let (slow, fast) = (manual(), manual());
    let stopped = working(&folder.sqlite(), slow.clone(), 2, LINEAR);
    let first = stopped.status()["worker"]["worker_id"].clone();
    let task = submit(&stopped, "linear").task_uuid;
    let old = next_event(&stopped);
    let other = working(&folder.sqlite(), fast.clone(), 1, LINEAR);
    fast.advance(Duration::from_secs(31));
    let new = next_event(&other);
    assert_eq!((new.task_uuid, new.attempt), (task, 2));

    slow.advance(Duration::from_secs(31));
    settled(&stopped);
    let status = stopped.status();
    assert_ne!(status["worker"]["worker_id"], first);
    assert_eq!((&status["worker"]["running"], &status["worker"]["in_flight"]), (&true.into(), &0.into()));
    assert!(stopped.channel().cancelled(old.event_id));
    succeed(&stopped, &old, "\"late\"");
    settled(&stopped);
    assert_eq!(total(&stopped, "stale_completions"), 1);
    assert_eq!(number(&folder, "SELECT count(*) FROM workers"), 2, "both are there");

    succeed(&other, &new, "\"kept\"");
    settled(&other);
    assert_eq!(result_of(&stopped.task(task).unwrap(), "one"), "\"kept\"");
    let more = submit(&stopped, "linear").task_uuid;
    let handlers = [Handlers::start(&stopped, 1, |_| Ok("1".into())), Handlers::start(&other, 1, |_| Ok("2".into()))];
    for task in [task, more] {
        assert_eq!(finished(&stopped, task).state, "complete");
    }
    handlers.into_iter().for_each(Handlers::stop);
}

#[test]
fn claims_made_after_the_lease_was_lost_never_were() {
    let folder = Folder::new();
    let stopped = working(&folder.sqlite(), manual(), 2, LINEAR);
    let fast = manual();
    let other = working(&folder.sqlite(), fast.clone(), 1, LINEAR);
    fast.advance(Duration::from_secs(31));
    settled(&other);
    until("it is taken for dead", || number(&folder, "SELECT count(*) FROM workers") == 1);
    // It does not know yet: its clock stands still. What it claims it claims as another worker.
    submit(&stopped, "linear");
    submit(&stopped, "linear");
    let events = [(); 2].map(|()| next_event(&stopped));
    assert_ne!(events[0].task_uuid, events[1].task_uuid);
    assert!(events.iter().all(|event| event.attempt == 1));
    let held =
        "SELECT count(*) FROM steps WHERE state = 'in_progress' AND worker_id NOT IN (SELECT worker_id FROM workers)";
    assert_eq!(number(&folder, held), 0);
}

#[test]
fn a_renewal_that_failed_is_tried_again_at_once() {
    let (folder, clock) = (Folder::new(), manual());
    let busy = Config { busy_timeout: 0.01, ..config(&folder.sqlite()) };
    let engine = Engine::open_with(&busy, clock.clone()).unwrap();
    register(&engine, LINEAR);
    engine.start_worker(worker(1)).unwrap();
    submit(&engine, "linear");
    next_event(&engine);
    let until_when = || number(&folder, "SELECT lease_until FROM workers");
    let lease = until_when();
    let other = connection(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    clock.advance(Duration::from_secs(11));
    until("the renewal fails", || total(&engine, "store_errors") > 0);
    other.execute_batch("ROLLBACK").unwrap();
    // A third of the lease has not passed again; the pause after a failure has.
    clock.advance(Duration::from_secs(2));
    until("the lease is renewed", || until_when() >= lease + 11_000_000);
}

#[test]
fn a_worker_that_seldom_polls_looks_for_dead_ones_as_often_as_any() {
    if let Some(database) = child::database() {
        let engine = working(&database, Clock::System, 1, LINEAR);
        child::say(&next_event(&engine).attempt.to_string());
        child::wait_for_the_end();
    }
    let folder = Folder::new();
    let survivor = Engine::open(&config(&folder.sqlite())).unwrap();
    register(&survivor, LINEAR);
    let elsewhere = vec!["elsewhere".to_owned()];
    // Nothing else wakes it.
    let seldom = WorkerConfig { poll_interval: 60.0, retention_days: 0.0, ..worker(1) };
    survivor.start_worker(WorkerConfig { namespaces: elsewhere, ..seldom }).unwrap();
    let task = submit(&survivor, "linear").task_uuid;
    let test = "leases::a_worker_that_seldom_polls_looks_for_dead_ones_as_often_as_any";
    let mut process = Process::start(test, &folder.sqlite());
    assert_eq!(process.hear(), "1");
    process.kill();
    let killed = Instant::now();
    until("the step is given back", || survivor.task(task).unwrap().steps[0].state == "enqueued");
    assert!(killed.elapsed() < Duration::from_secs(8), "only after {:?}", killed.elapsed());
}
