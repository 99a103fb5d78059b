//! Several stores on the same data: several processes on one machine, or one after another.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::bell::Bell;
use tasker_engine::error::Error;
use tasker_engine::ids::Dice;
use tasker_engine::plan;
use tasker_engine::store::{Change, Commit, Store};

use crate::place::*;

pub fn a_reader_sees_only_what_is_committed(place: &Place) {
    let mut store = place.open();
    let new = new_task(store.as_mut(), "default");
    let uuid = new.task_uuid;
    let reader = store.reader();
    let mut transaction = store.begin().unwrap();
    transaction.write(&mut [plan::submit(&new, NOW, &mut Dice::new())]).unwrap();
    if place.shared {
        assert!(matches!(reader.task(uuid), Err(Error::NotFound(_))));
    }
    transaction.commit(&Commit::default()).unwrap();
    assert_eq!(reader.task(uuid).unwrap().state, "pending");
}

pub fn a_store_notices_what_another_one_committed_and_not_its_own(place: &Place) {
    let mut store = place.open();
    if !place.certain {
        return told(place, store);
    }
    assert_eq!(store.changed_elsewhere().unwrap(), None);
    started(store.as_mut());
    assert_eq!(store.changed_elsewhere().unwrap(), None, "its own commit");
    if place.shared {
        let mut other = place.open();
        started(other.as_mut());
        assert_eq!(store.changed_elsewhere().unwrap(), Some(Change::Any));
        assert_eq!(store.changed_elsewhere().unwrap(), None, "asked a second time");
        drop(other.begin().unwrap());
        assert_eq!(store.changed_elsewhere().unwrap(), None, "what was rolled back changed nothing");
    }
}

/// Who is told hears of others' work at once, and not of his own.
fn told(place: &Place, mut store: Box<dyn Store>) {
    let bell = Arc::new(Bell::default());
    store.subscribe(Some(Arc::clone(&bell)));
    let patience = Duration::from_secs(10);
    assert!(bell.sleep(patience), "from here on it listens");
    assert_eq!(store.changed_elsewhere().unwrap(), Some(Change::Any));
    tell(store.as_mut());
    tell(place.open().as_mut());
    assert!(bell.sleep(patience));
    assert!(store.changed_elsewhere().unwrap().is_some());
    assert!(!bell.sleep(Duration::ZERO), "its own commit rang before the other's, or not at all");
    assert!(store.poll_interval(Duration::ZERO) >= Duration::from_secs(1));
}

/// Commits steps for whoever wants them, and sees to it that others are told.
fn tell(store: &mut dyn Store) {
    started(store);
    store.begin().unwrap().commit(&Commit { steps_enqueued: true, ..Commit::default() }).unwrap();
    while let Some(later) = store.flush_notices() {
        std::thread::park_timeout(later);
    }
}

pub fn two_stores_hold_the_same_tasks(place: &Place) {
    if !place.shared {
        return;
    }
    let (mut one, mut two) = (place.open(), place.open());
    let graph = started(one.as_mut());
    let id = graph.task.id;
    claim(two.as_mut(), id, 0, "two", seconds(1));
    assert_eq!(&*load(one.as_mut(), id).steps[0].worker_id.clone().unwrap(), "two");
    change(one.as_mut(), id, |graph| plan::expire(graph, 0, "test", seconds(20)).unwrap());
    let view = two.reader().task(graph.task.task_uuid).unwrap();
    assert_eq!((view.steps[0].state.as_str(), view.steps[0].attempts), ("enqueued", 1));
}

pub fn a_database_opened_again_has_kept_everything(place: &Place) {
    if !place.shared {
        return;
    }
    let graph = started(place.open().as_mut());
    let mut store = place.open();
    assert_eq!(load(store.as_mut(), graph.task.id).task.task_uuid, graph.task.task_uuid);
    assert_eq!(store.reader().transitions(graph.task.task_uuid).unwrap().len(), 5);
}
