//! What time brings up, and what may be claimed.

use std::time::Duration;

use tasker_engine::clock::Now;
use tasker_engine::plan;
use tasker_engine::store::{Backlog, Candidate, Due, Queue, Store, WorkerProcess};

use crate::harness::failure;
use crate::place::*;

fn due(store: &mut dyn Store, count: u64, limit: usize) -> Due {
    write(store, |transaction| transaction.due(Now::both(seconds(count)), limit, &[]).unwrap())
}

fn waiting_until(store: &mut dyn Store, count: u64) -> i64 {
    let mut new = new_task(store, "default");
    new.run_at = Some(seconds(count));
    insert(store, new, NOW).task.id
}

/// A task whose first step may try again at that second.
fn retrying_at(store: &mut dyn Store, count: u64) -> i64 {
    let id = started(store).task.id;
    claim(store, id, 0, "w", seconds(0));
    let mut error = failure("later", true);
    error.retry_after = Some(count as f64);
    change(store, id, |graph| settle(graph, 0, Err(error), seconds(0)));
    id
}

pub fn what_is_due_comes_in_its_order_and_not_before_its_time(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let late = waiting_until(store, 30);
    let early = waiting_until(store, 20);
    let slow = retrying_at(store, 30);
    let quick = retrying_at(store, 20);
    let claimed = started(store).task.id;
    claim(store, claimed, 0, "w", seconds(15));
    assert_eq!(due(store, 19, 10), Due::default());
    let at_20 = due(store, 20, 10);
    assert_eq!(at_20, Due { tasks: vec![early], retries: vec![(quick, 0)] });
    let at_30 = due(store, 30, 10);
    assert_eq!(at_30.tasks, [early, late]);
    assert_eq!(at_30.retries, [(quick, 0), (slow, 0)]);
    let except = write(store, |transaction| transaction.due(Now::both(seconds(30)), 10, &[early, slow]).unwrap());
    assert_eq!(except, Due { tasks: vec![late], retries: vec![(quick, 0)] });
}

pub fn what_is_due_comes_in_portions(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let tasks: Vec<i64> = (1..=4).map(|count| waiting_until(store, count)).collect();
    let retries: Vec<(i64, usize)> = (1..=4).map(|count| (retrying_at(store, count), 0)).collect();
    let portion = due(store, 60, 3);
    assert_eq!(portion.tasks, tasks[..3]);
    assert_eq!(portion.retries, retries[..3]);
}

pub fn the_next_thing_due_is_the_earliest_of_all(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let in_seconds = |count: u64| Some(seconds(count).since(seconds(0)));
    let next =
        |store: &mut dyn Store| write(store, |transaction| transaction.next_due(Now::both(seconds(0)), &[]).unwrap());
    assert_eq!(next(store), None);
    let waiting = waiting_until(store, 50);
    assert_eq!(next(store), in_seconds(50));
    let retrying = retrying_at(store, 40);
    assert_eq!(next(store), in_seconds(40));
    let except = |store: &mut dyn Store, ids: &[i64]| {
        write(store, |transaction| transaction.next_due(Now::both(seconds(0)), ids).unwrap())
    };
    assert_eq!(except(store, &[retrying]), in_seconds(50));
    assert_eq!(except(store, &[retrying, waiting]), None);
    let claimed = started(store).task.id;
    assert_eq!(next(store), in_seconds(40), "what is enqueued is not due: it may go at once");
    claim(store, claimed, 0, "w", seconds(20));
    assert_eq!(next(store), in_seconds(40), "what runs is due at no time");
    change(store, waiting, |graph| plan::initialize(graph, seconds(60)).unwrap());
    assert_eq!(next(store), in_seconds(40));
}

fn enqueued(store: &mut dyn Store, namespaces: &[&str], limit: usize) -> Vec<(i32, i64, usize)> {
    let namespaces: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
    let found = write(store, |transaction| transaction.claimable(&namespaces, limit, &[]).unwrap());
    found.steps.into_iter().map(|step: Candidate| (step.priority, step.task_id, step.position)).collect()
}

fn prioritised(store: &mut dyn Store, namespace: &str, priority: i32) -> i64 {
    let mut new = new_task(store, namespace);
    new.priority = priority;
    insert(store, new, NOW).task.id
}

pub fn steps_are_claimed_by_priority_then_in_turn_then_by_age(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    assert_eq!(enqueued(store, &[], 10), []);
    let old = prioritised(store, "default", 0);
    let low = prioritised(store, "default", -5);
    let high = prioritised(store, "other", 5);
    let young = prioritised(store, "other", 0);
    let order = [
        (5, high, 0),
        (5, high, 1),
        (0, old, 0),
        (0, young, 0),
        (0, old, 1),
        (0, young, 1),
        (-5, low, 0),
        (-5, low, 1),
    ];
    assert_eq!(enqueued(store, &[], 10), order);
    assert_eq!(enqueued(store, &["default", "other"], 10), order);
    let first = enqueued(store, &[], 3);
    assert!(first.len() >= 3 && first.len() <= 2 * (3 + 1), "about as many of each namespace: {first:?}");
    assert_eq!(first[..3], order[..3]);
    let found = |limit| write(store, |transaction| transaction.claimable(&[], limit, &[high, old]).unwrap());
    let mut found = found;
    let left: Vec<_> = found(10).steps.iter().map(|step| (step.priority, step.task_id, step.position)).collect();
    assert_eq!(left, [order[3], order[5], order[6], order[7]], "some are left alone");
    assert!(found(2).more && !found(10).more);
    claim(store, high, 0, "w", seconds(1));
    assert_eq!(enqueued(store, &[], 10), order[1..], "a claimed step is no longer enqueued");
}

pub fn a_namespace_keeps_others_away(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let mine = prioritised(store, "mine", 0);
    prioritised(store, "theirs", 9);
    assert_eq!(enqueued(store, &["mine"], 10), [(0, mine, 0), (0, mine, 1)]);
    assert_eq!(enqueued(store, &["nobody"], 10), []);
}

fn backlog(store: &mut dyn Store, limit: usize) -> Backlog {
    write(store, |transaction| transaction.backlog(limit).unwrap())
}

pub fn what_waits_is_counted_by_queue(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    assert_eq!(backlog(store, 100), Backlog::default());
    keep(store, &template("idle"));
    for (namespace, at) in [("busy", 30), ("busy", 20), ("busy", 40), ("calm", 10)] {
        let new = new_task(store, namespace);
        insert(store, new, seconds(at));
    }
    let new = new_task(store, "default");
    let waits = insert(store, new, seconds(5)).task.id;
    claim(store, waits, 0, "w", seconds(6));
    change(store, waits, |graph| settle(graph, 0, Err(failure("later", true)), seconds(7)));
    let worker = WorkerProcess { worker_id: "w1".into(), host: "h".into(), pid: 1, process_started: String::new() };
    write(store, |transaction| transaction.register_worker(&worker, Duration::from_secs(30), NOW).unwrap());
    // Its third move, a microsecond after each other.
    let enqueued = |at: u64| seconds(at).after(Duration::from_micros(2));
    let queue = |namespace: &str, steps, oldest: Option<u64>| Queue {
        namespace: namespace.into(),
        steps,
        oldest: oldest.map(enqueued),
    };
    let found = backlog(store, 100);
    let queues =
        [queue("busy", 6, Some(20)), queue("calm", 2, Some(10)), queue("default", 1, Some(5)), queue("idle", 0, None)];
    assert_eq!(found.queues, queues);
    assert_eq!((found.steps_enqueued(), found.oldest()), (9, Some(enqueued(5))));
    assert_eq!((found.tasks_active, found.workers), (5, 1));
    let short = backlog(store, 4).queues;
    assert_eq!(short.iter().map(|queue| queue.steps).collect::<Vec<_>>(), [1, 1, 1, 0], "a fourth of it for each");
    place.pass(Duration::from_secs(31));
    assert_eq!(backlog(store, 100).workers, 0, "a lease that has run out is nobody's");
}
