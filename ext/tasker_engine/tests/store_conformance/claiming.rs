//! What time brings up, what may be claimed, and who holds it.

use std::sync::Arc;

use tasker_engine::plan;
use tasker_engine::store::{Candidate, Due, Held, Store, WorkerProcess};

use crate::harness::failure;
use crate::place::*;

fn due(store: &mut dyn Store, count: u64, limit: usize) -> Due {
    write(store, |transaction| transaction.due(seconds(count), limit).unwrap())
}

fn waiting_until(store: &mut dyn Store, count: u64) -> i64 {
    let mut new = new_task(store, "default");
    new.run_at = Some(seconds(count));
    insert(store, new, &at(0)).task.id
}

/// A task whose first step may try again at that second.
fn retrying_at(store: &mut dyn Store, count: u64) -> i64 {
    let id = started(store).task.id;
    claim(store, id, 0, "w", &at(0));
    let mut error = failure("later", true);
    error.retry_after = Some(count as f64);
    change(store, id, |graph| settle(graph, 0, Err(error), &at(0)));
    id
}

pub fn what_is_due_comes_in_its_order_and_not_before_its_time(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let late = waiting_until(store, 30);
    let early = waiting_until(store, 20);
    let slow = retrying_at(store, 30);
    let quick = retrying_at(store, 20);
    let leased = started(store).task.id;
    claim(store, leased, 1, "w", &at(19));
    claim(store, leased, 0, "w", &at(15));
    assert_eq!(due(store, 19, 10), Due::default());
    let at_20 = due(store, 20, 10);
    assert_eq!(at_20, Due { tasks: vec![early], retries: vec![(quick, 0)], leases: vec![] });
    let at_30 = due(store, 30, 10);
    assert_eq!(at_30.tasks, [early, late]);
    assert_eq!(at_30.retries, [(quick, 0), (slow, 0)]);
    assert_eq!(at_30.leases, [(leased, 0), (leased, 1)]);
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
    let next = |store: &mut dyn Store| write(store, |transaction| transaction.next_due().unwrap());
    assert_eq!(next(store), None);
    let waiting = waiting_until(store, 50);
    assert_eq!(next(store), Some(seconds(50)));
    retrying_at(store, 40);
    assert_eq!(next(store), Some(seconds(40)));
    let leased = started(store).task.id;
    assert_eq!(next(store), Some(seconds(40)), "what is enqueued is not due: it may go at once");
    claim(store, leased, 0, "w", &at(20));
    assert_eq!(next(store), Some(seconds(30)));
    change(store, leased, |graph| settle(graph, 0, Ok("1"), &at(21)));
    assert_eq!(next(store), Some(seconds(40)));
    change(store, waiting, |graph| plan::initialize(graph, &at(60)).unwrap());
    assert_eq!(next(store), Some(seconds(40)));
}

fn enqueued(store: &mut dyn Store, namespaces: &[&str], limit: usize) -> Vec<(i32, i64, usize)> {
    let namespaces: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
    let found = write(store, |transaction| transaction.enqueued(&namespaces, limit).unwrap());
    found.steps.into_iter().map(|step: Candidate| (step.priority, step.task_id, step.position)).collect()
}

fn prioritised(store: &mut dyn Store, namespace: &str, priority: i32) -> i64 {
    let mut new = new_task(store, namespace);
    new.priority = priority;
    insert(store, new, &at(0)).task.id
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
    assert_eq!(enqueued(store, &[], 3), order[..3]);
    claim(store, high, 0, "w", &at(1));
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

pub fn a_renewal_says_which_claims_are_lost(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let id = started(store).task.id;
    claim(store, id, 0, "w", &at(0));
    claim(store, id, 1, "w", &at(0));
    change(store, id, |graph| settle(graph, 1, Ok("1"), &at(1)));
    let held = |position, attempt| Held { task_id: id, position, attempt };
    let claims = [held(0, 1), held(0, 2), held(1, 1), held(2, 1), Held { task_id: id + 99, position: 0, attempt: 1 }];
    let lost = write(store, |transaction| transaction.renew("w", &claims, seconds(77)).unwrap());
    assert_eq!(lost, claims[1..], "another attempt, a settled step, one never claimed, one that is not there");
    assert_eq!(load(store, id).steps[0].due_at, Some(seconds(77)));
    let others = write(store, |transaction| transaction.renew("other", &claims[..1], seconds(99)).unwrap());
    assert_eq!(others, claims[..1], "somebody else's");
    assert_eq!(load(store, id).steps[0].due_at, Some(seconds(77)));
}

fn worker(worker_id: &str, host: &str) -> WorkerProcess {
    WorkerProcess { worker_id: Arc::from(worker_id), host: host.into(), pid: 42, process_started: "12345".into() }
}

pub fn a_forgotten_worker_leaves_its_leases_due_at_once(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let workers = |store: &mut dyn Store, host: &str| write(store, |transaction| transaction.workers(host).unwrap());
    write(store, |transaction| {
        for (worker_id, host) in [("dead", "here"), ("alive", "here"), ("far", "there")] {
            transaction.register_worker(&worker(worker_id, host), NOW).unwrap();
        }
        transaction.register_worker(&worker("alive", "here"), NOW).unwrap();
    });
    let mut here = workers(store, "here");
    here.sort_by(|a, b| a.worker_id.cmp(&b.worker_id));
    assert_eq!(here, [worker("alive", "here"), worker("dead", "here")]);
    assert_eq!(workers(store, "there"), [worker("far", "there")]);

    let retrying = retrying_at(store, 100);
    let id = started(store).task.id;
    claim(store, id, 0, "dead", &at(0));
    claim(store, id, 1, "alive", &at(0));
    write(store, |transaction| {
        transaction.forget_worker("dead").unwrap();
        transaction.forget_worker("nobody").unwrap();
    });
    assert_eq!(workers(store, "here"), [worker("alive", "here")]);
    assert_eq!(due(store, 0, 10), Due { tasks: vec![], retries: vec![], leases: vec![(id, 0)] });
    assert_eq!(load(store, retrying).steps[0].due_at, Some(seconds(100)), "a wait is nobody's lease");
}
