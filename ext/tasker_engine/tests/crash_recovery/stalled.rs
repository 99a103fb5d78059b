//! A worker that lives but stands still: its lease runs out, another one takes over, and what it says
//! when it wakes up is refused.

use std::time::Duration;

use tasker_engine::bootstrap::Engine;

use crate::harness::*;
use crate::TWO_ATTEMPTS;

#[test]
fn a_stalled_worker_loses_its_step_and_its_late_result_is_refused() {
    let folder = Folder::new();
    // Two clocks: the one of the stalled worker stands still, so it renews nothing.
    let stalled = working(&folder.database(), manual(), 1, TWO_ATTEMPTS);
    let task = submit(&stalled, "single").task_uuid;
    let old = next_event(&stalled);
    let clock = manual();
    let other = working(&folder.database(), clock.clone(), 1, TWO_ATTEMPTS);
    no_event(&other);
    folder.pass(&clock, Duration::from_secs(29));
    no_event(&other);
    // It looks for workers whose lease has run out every five seconds.
    folder.pass(&clock, Duration::from_secs(5));
    let new = next_event(&other);
    assert_eq!((old.attempt, new.attempt), (1, 2));

    succeed(&stalled, &old, "\"late\"");
    settled(&stalled);
    assert_eq!(total(&stalled, "stale_completions"), 1);
    assert_eq!(total(&stalled, "steps_settled"), 0);
    succeed(&other, &new, "\"kept\"");
    let view = finished(&stalled, task);
    assert_eq!((result_of(&view, "only").as_str(), view.steps[0].attempts), ("\"kept\"", 2));
}

#[test]
fn a_stalled_worker_that_wakes_up_learns_that_its_claim_is_lost() {
    let folder = Folder::new();
    let (slow, fast) = (manual(), manual());
    let stalled = working(&folder.database(), slow.clone(), 1, TWO_ATTEMPTS);
    submit(&stalled, "single");
    let old = next_event(&stalled);
    let other = working(&folder.database(), fast.clone(), 1, TWO_ATTEMPTS);
    folder.pass(&fast, Duration::from_secs(31));
    next_event(&other);
    assert!(!stalled.channel().cancelled(old.event_id));
    slow.advance(Duration::from_secs(31));
    settled(&stalled);
    assert!(stalled.channel().cancelled(old.event_id), "the handler can see that nobody wants its result");
}

#[test]
fn a_worker_that_renews_keeps_its_step_however_long_it_takes() {
    let folder = Folder::new();
    let clock = manual();
    let busy = working(&folder.database(), clock.clone(), 1, TWO_ATTEMPTS);
    let task = submit(&busy, "single").task_uuid;
    let event = next_event(&busy);
    let other = working(&folder.database(), clock.clone(), 1, TWO_ATTEMPTS);
    for _ in 0..20 {
        clock.advance(Duration::from_secs(10));
        settled(&busy);
        no_event(&other);
    }
    succeed(&busy, &event, "1");
    assert_eq!(finished(&other, task).steps[0].attempts, 1);
}

#[test]
fn a_worker_alone_that_overslept_its_own_lease_keeps_its_step() {
    let clock = manual();
    let engine = working(":memory:", clock.clone(), 1, TWO_ATTEMPTS);
    let task = submit(&engine, "single").task_uuid;
    let event = next_event(&engine);
    clock.advance(Duration::from_secs(3600));
    no_event(&engine);
    succeed(&engine, &event, "1");
    assert_eq!(finished(&engine, task).steps[0].attempts, 1);
}

#[test]
fn an_engine_that_was_dropped_with_claims_leaves_them_to_their_lease() {
    let folder = Folder::new();
    let engine = working(&folder.database(), manual(), 1, TWO_ATTEMPTS);
    let task = submit(&engine, "single").task_uuid;
    next_event(&engine);
    drop(engine);
    let clock = manual();
    let engine = Engine::open_with(&config(&folder.database()), clock.clone()).unwrap();
    engine.start_worker(worker(1)).unwrap();
    no_event(&engine);
    folder.pass(&clock, Duration::from_secs(31));
    run(&engine, "only", "1");
    assert_eq!(finished(&engine, task).steps[0].attempts, 2);
}
