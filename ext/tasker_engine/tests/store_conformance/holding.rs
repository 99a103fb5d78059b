//! Who holds what: workers, their leases, and what their rows say of their claims.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tasker_engine::error::{Error, Result};
use tasker_engine::ids::{self, Dice};
use tasker_engine::plan;
use tasker_engine::state::StepState;
use tasker_engine::store::{Claim, Commit, Holdings, LapsedWorker, Store, WorkerProcess};

use crate::place::*;

const LEASE: Duration = Duration::from_secs(10);

fn worker(worker_id: &str, host: &str) -> WorkerProcess {
    WorkerProcess { worker_id: Arc::from(worker_id), host: host.into(), pid: 42, process_started: "12345".into() }
}

fn registered(store: &mut dyn Store, workers: &[&str]) {
    write(store, |transaction| {
        for worker_id in workers {
            transaction.register_worker(&worker(worker_id, "here"), LEASE, NOW).unwrap();
        }
    });
}

fn lapsed(store: &mut dyn Store, named: &[&str]) -> Vec<LapsedWorker> {
    let named: Vec<String> = named.iter().map(ToString::to_string).collect();
    let mut lapsed = write(store, |transaction| transaction.lapsed_workers(&named).unwrap());
    lapsed.sort_by(|a, b| a.worker_id.cmp(&b.worker_id));
    lapsed
}

fn names(lapsed: &[LapsedWorker]) -> Vec<&str> {
    lapsed.iter().map(|worker| &*worker.worker_id).collect()
}

/// Commits what a worker holds, as it does together with its claims.
fn hold(store: &mut dyn Store, worker_id: &str, holdings: Holdings) -> Result<()> {
    let holdings = Some((Arc::from(worker_id), LEASE, holdings));
    store.begin().unwrap().commit(&Commit { holdings, ..Commit::default() })
}

fn holdings(store: &mut dyn Store, worker_id: &str) -> Option<Holdings> {
    write(store, |transaction| transaction.holdings(worker_id).unwrap())
}

pub fn a_lease_lasts_as_long_as_it_is_renewed(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    registered(store, &["a", "b", "c"]);
    let renew = |store: &mut dyn Store, worker_id: &str| {
        write(store, |transaction| transaction.renew(worker_id, LEASE).unwrap())
    };
    assert_eq!(lapsed(store, &[]), []);
    place.pass(Duration::from_secs(9));
    assert_eq!(lapsed(store, &[]), []);
    assert!(renew(store, "a"));
    hold(store, "b", Holdings::default()).unwrap();
    place.pass(Duration::from_secs(2));
    assert_eq!(names(&lapsed(store, &[])), ["c"], "claims renew the lease as a renewal does");
    assert_eq!(names(&lapsed(store, &["b", "nobody"])), ["b", "c"], "and who is named is taken for dead");
    assert!(renew(store, "c"), "nobody has taken it over yet");
    assert_eq!(lapsed(store, &[]), []);
    assert!(!renew(store, "nobody"));
    place.pass(Duration::from_secs(60));
    assert_eq!(names(&lapsed(store, &[])), ["a", "b", "c"]);
}

pub fn a_worker_that_was_forgotten_can_commit_no_claim(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    registered(store, &["dead", "alive"]);
    let id = started(store).task.id;
    write(store, |transaction| transaction.deregister(&[Arc::from("dead"), Arc::from("nobody")]).unwrap());
    assert!(!write(store, |transaction| transaction.renew("dead", LEASE).unwrap()));
    assert_eq!((holdings(store, "dead"), holdings(store, "alive")), (None, Some(Holdings::default())));
    for (worker_id, kept) in [("dead", false), ("alive", true)] {
        let mut transaction = store.begin().unwrap();
        let mut graphs = [read(transaction.as_mut(), id)];
        plan::claim(&mut graphs[0], 0, &Arc::from(worker_id), NOW, &mut Dice::new()).unwrap();
        transaction.write(&mut graphs).unwrap();
        let token = graphs[0].steps[0].span_id.unwrap();
        let held = Holdings { tasks: vec![id], unbegun: vec![token] };
        let holdings = Some((Arc::from(worker_id), LEASE, held));
        let ended = transaction.commit(&Commit { holdings, ..Commit::default() });
        let lost = matches!(&ended, Err(Error::LeaseLost(_)));
        assert_eq!((ended.is_ok(), lost), (kept, !kept), "{ended:?}");
        assert_eq!(load(store, id).steps[0].worker_id.as_deref(), kept.then_some("alive"), "nothing of it happened");
    }
}

pub fn a_workers_row_tells_whoever_takes_over_what_it_held(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    registered(store, &["w"]);
    let id = started(store).task.id;
    let tokens = [0, 1].map(|position| claim(store, id, position, "w", NOW).steps[position].span_id.unwrap());
    // Tokens have 64 bits without a sign.
    let held = Holdings { tasks: vec![id, id + 99], unbegun: vec![tokens[1], u64::MAX, 1] };
    hold(store, "w", held.clone()).unwrap();
    assert_eq!(holdings(store, "w"), Some(held.clone()));
    place.pass(LEASE * 2);
    assert_eq!(lapsed(store, &[]), [LapsedWorker { worker_id: Arc::from("w"), holdings: held.clone() }]);
    let unbegun = |token| held.unbegun.contains(&token);
    let taken = change(store, id, |graph| {
        for (position, token) in tokens.into_iter().enumerate() {
            if unbegun(token) {
                assert!(plan::release(graph, position, token, false, seconds(20)).unwrap());
            } else {
                plan::expire(graph, position, "test", seconds(20)).unwrap();
            }
        }
    });
    let attempts = |graph: &tasker_engine::graph::Graph| [0, 1].map(|position| graph.steps[position].attempts);
    assert_eq!(attempts(&taken), [1, 0], "what had not begun costs no attempt");
    assert_eq!(attempts(&load(store, id)), [1, 0]);
    assert!(load(store, id).steps[..2].iter().all(|step| step.state == StepState::Enqueued && step.span_id.is_none()));
    hold(store, "w", Holdings::default()).unwrap();
    assert_eq!(holdings(store, "w"), Some(Holdings::default()));
}

pub fn workers_are_listed_by_their_host(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    write(store, |transaction| {
        for (worker_id, host) in [("two", "here"), ("one", "here"), ("far", "there")] {
            transaction.register_worker(&worker(worker_id, host), LEASE, NOW).unwrap();
        }
        transaction.register_worker(&worker("two", "here"), LEASE, NOW).unwrap();
    });
    let workers = |store: &mut dyn Store, host: &str| {
        let mut found = write(store, |transaction| transaction.workers(host).unwrap());
        found.sort_by(|a, b| a.worker_id.cmp(&b.worker_id));
        found
    };
    assert_eq!(workers(store, "here"), [worker("one", "here"), worker("two", "here")]);
    assert_eq!(workers(store, "there"), [worker("far", "there")]);
    write(store, |transaction| transaction.deregister(&[Arc::from("one")]).unwrap());
    assert_eq!(workers(store, "here"), [worker("two", "here")]);
}

pub fn many_tasks_are_found_and_loaded_at_once(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let tasks: Vec<_> = (0..3).map(|_| started(store).task).collect();
    let nobody = ids::uuid_v7(NOW);
    let asked = [tasks[2].task_uuid, nobody, tasks[0].task_uuid, tasks[2].task_uuid];
    let found = write(store, |transaction| transaction.find(&asked).unwrap());
    let expected: HashMap<_, _> = [&tasks[0], &tasks[2]].map(|task| (task.task_uuid, task.id)).into();
    assert_eq!(found, expected);
    let ids = [tasks[0].id, tasks[2].id, tasks[2].id + 99];
    let loaded = write(store, |transaction| transaction.load(&ids, tasker_engine::store::Hold::Locked).unwrap().graphs);
    assert_eq!(loaded.iter().map(|graph| graph.task.id).collect::<Vec<_>>(), ids[..2]);
}

pub fn who_read_a_task_before_another_changed_it_cannot_write_it(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let graph = started(store);
    let id = graph.task.id;
    assert_eq!(graph.task.journal, 1, "one row for the transaction that made it");
    let stale = load(store, id);
    assert_eq!(claim(store, id, 0, "quick", NOW).task.journal, 2);
    let mut graphs = [stale];
    plan::claim(&mut graphs[0], 1, &Arc::from("slow"), NOW, &mut Dice::new()).unwrap();
    let mut transaction = store.begin().unwrap();
    let ended = transaction.write(&mut graphs).and_then(|()| transaction.commit(&Commit::default()));
    assert!(matches!(ended, Err(Error::Contention(_))), "{ended:?}");
    let kept = load(store, id);
    assert_eq!((kept.task.journal, kept.steps[1].state), (2, StepState::Enqueued));
}

pub fn a_worker_hears_which_of_its_claims_others_have_ended(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let (kept, cancelled) = (started(store).task.id, started(store).task.id);
    let mut held = |task_id: i64, position: usize| {
        let token = claim(store, task_id, position, "w", NOW).steps[position].span_id.unwrap();
        Claim { task_id, position, token }
    };
    let claims = [held(kept, 0), held(kept, 1), held(cancelled, 0)];
    let [first, again, gone] = claims;
    change(store, cancelled, |graph| plan::cancel(graph, seconds(1)).unwrap());
    change(store, kept, |graph| plan::expire(graph, 1, "test", seconds(1)).unwrap());
    claim(store, kept, 1, "w", seconds(2));
    let never = Claim { task_id: kept + 99, ..first };
    let asked = [first, again, gone, never];
    assert_eq!(write(store, |transaction| transaction.lost(&asked).unwrap()), [again, gone, never]);
}
