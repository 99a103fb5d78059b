//! The wall clock is set, by NTP or a person: what this machine measures for itself does not follow.

use std::time::Duration;

use tasker_engine::bootstrap::Engine;
use tasker_engine::config::WorkerConfig;
use tasker_engine::step::StepError;

use crate::child::{self, Process};
use crate::harness::*;

const HOUR: i64 = 3_600_000_000;

const SLOW: &str = "
name: slow
steps:
  - {name: only, handler: noop, timeout_seconds: 2, retry: {max_attempts: 2, backoff: none}}
";

#[test]
fn leases_are_renewed_when_the_clock_was_set_back() {
    let (folder, clock) = (Folder::new(), manual());
    let busy = working(&folder.sqlite(), clock.clone(), 1, DIAMOND);
    clock.jump(-HOUR);
    let task = submit(&busy, "diamond").task_uuid;
    let event = next_event(&busy);
    let other = working(&folder.sqlite(), clock.clone(), 1, DIAMOND);
    for _ in 0..8 {
        clock.advance(Duration::from_secs(10));
        settled(&busy);
        no_event(&other);
    }
    assert!(!busy.channel().cancelled(event.event_id));
    succeed(&busy, &event, "1");
    settled(&busy);
    let step = busy.task(task).unwrap().steps.remove(0);
    assert_eq!((step.state.as_str(), step.attempts), ("complete", 1));
}

#[test]
fn a_worker_that_lives_is_not_taken_for_dead_when_the_clock_is_set_forward() {
    let (folder, clock) = (Folder::new(), manual());
    let busy = working(&folder.sqlite(), clock.clone(), 1, DIAMOND);
    let task = submit(&busy, "diamond").task_uuid;
    let event = next_event(&busy);
    let other = working(&folder.sqlite(), clock.clone(), 1, DIAMOND);
    no_event(&other);
    clock.jump(HOUR);
    no_event(&other);
    clock.advance(Duration::from_secs(6));
    no_event(&other);
    settled(&busy);
    succeed(&busy, &event, "1");
    settled(&busy);
    let step = busy.task(task).unwrap().steps.remove(0);
    assert_eq!((step.state.as_str(), step.attempts), ("complete", 1));
}

#[test]
fn an_attempt_has_its_time_whatever_the_clock_says() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 2, SLOW);
    let task = submit(&engine, "slow").task_uuid;
    let event = next_event(&engine);
    clock.jump(HOUR);
    clock.advance(Duration::from_millis(1000));
    settled(&engine);
    assert!(!engine.channel().cancelled(event.event_id), "it has run for a second");
    clock.jump(-2 * HOUR);
    clock.advance(Duration::from_millis(900));
    settled(&engine);
    assert!(!engine.channel().cancelled(event.event_id), "for 1.9 s");
    clock.advance(Duration::from_millis(200));
    settled(&engine);
    assert!(engine.channel().cancelled(event.event_id), "and for more than its two");
    let error = engine.task(task).unwrap().steps[0].error.clone().unwrap();
    assert_eq!(error["class"], "TaskerCore::StepTimeout");
}

#[test]
fn a_retry_comes_in_time_though_the_clock_of_who_ordered_it_was_wrong() {
    for off in [HOUR, -HOUR] {
        let (folder, wrong, right) = (Folder::new(), manual(), manual());
        let failing = working(&folder.sqlite(), wrong.clone(), 1, SLOW);
        let task = submit(&failing, "slow").task_uuid;
        let event = next_event(&failing);
        wrong.jump(off);
        let error = StepError { retry_after: Some(20.0), ..failure("not yet", true) };
        failing.channel().complete(completion(&event, Err(error), None));
        settled(&failing);
        drop(failing);
        let other = working(&folder.sqlite(), right.clone(), 1, SLOW);
        assert_eq!(other.task(task).unwrap().state, "waiting_for_retry");
        right.advance(Duration::from_secs(19));
        no_event(&other);
        right.advance(Duration::from_secs(2));
        settled(&other);
        assert_eq!(next_event(&other).attempt, 2);
    }
}

#[test]
fn a_dead_worker_is_noticed_when_the_clock_was_set_back() {
    if let Some(database) = child::database() {
        let engine = working(&database, tasker_engine::clock::Clock::System, 1, SLOW);
        child::say(&next_event(&engine).attempt.to_string());
        child::wait_for_the_end();
    }
    let (folder, clock) = (Folder::new(), manual());
    let survivor = Engine::open_with(&config(&folder.sqlite()), clock.clone()).unwrap();
    register(&survivor, SLOW);
    let elsewhere = WorkerConfig { namespaces: vec!["elsewhere".into()], ..worker(1) };
    survivor.start_worker(elsewhere).unwrap();
    let task = submit(&survivor, "slow").task_uuid;
    let mut process = Process::start("clocks::a_dead_worker_is_noticed_when_the_clock_was_set_back", &folder.sqlite());
    assert_eq!(process.hear(), "1");
    process.kill();
    settled(&survivor);
    assert_eq!(survivor.task(task).unwrap().steps[0].state, "in_progress");
    clock.jump(-HOUR);
    clock.advance(Duration::from_secs(5));
    settled(&survivor);
    assert_eq!(survivor.task(task).unwrap().steps[0].state, "enqueued");
}

#[test]
fn a_lease_of_before_the_machine_was_started_again_has_run_out() {
    let (folder, clock) = (Folder::new(), manual());
    let engine = working(&folder.sqlite(), clock.clone(), 1, DIAMOND);
    submit(&engine, "diamond");
    next_event(&engine);
    drop(engine);
    // The clock since boot began anew; the worker's machine is not this one, so nobody can look for its process.
    crate::sql(&folder, "UPDATE workers SET lease_until = lease_until + 86400000000, host = 'elsewhere'");
    let engine = working(&folder.sqlite(), clock, 1, DIAMOND);
    assert_eq!(next_event(&engine).attempt, 2);
}
