//! What is written is what is there.

use std::sync::Arc;

use serde_json::json;
use tasker_engine::graph::Graph;
use tasker_engine::ids::{self, Dice};
use tasker_engine::plan;
use tasker_engine::store::{Commit, Existing, IdempotencyKey};
use tasker_engine::template::Template;

use crate::harness::failure;
use crate::place::*;

/// The graph as a load gives it: without what happened in the transaction, without the texts and the numbers of
/// messages, which are the store's own.
fn stored(graph: &Graph) -> String {
    let mut graph = Graph::loaded(graph.task.clone(), graph.steps.clone());
    // A template prints its names in no order; its text is as good.
    let single = Template::from_yaml("test", "{name: single, steps: [{name: s, handler: H}]}").unwrap();
    let document = std::mem::replace(&mut graph.task.template, Arc::new(single)).to_json();
    graph.task.context = None;
    for step in &mut graph.steps {
        (step.result, step.error, step.message_id) = (None, None, None);
        (step.changed, step.settled) = (false, false);
    }
    format!("{document}\n{:#?}\n{:#?}", graph.task, graph.steps)
}

pub fn what_is_loaded_is_what_was_applied(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let mut new = new_task(store, "default");
    new.priority = -7;
    new.parent_correlation_id = Some(ids::uuid_v7(NOW));
    new.idempotency_key = Some("schlüssel \u{1f511} '".into());
    new.trace.parent_span_id = Some(u64::MAX);
    new.trace.trace_id = 1;
    new.trace.sampled = false;
    new.run_at = Some(seconds(5));
    let graph = insert(store, new, NOW);
    assert_eq!(stored(&load(store, graph.task.id)), stored(&graph));

    let id = graph.task.id;
    let started = change(store, id, |graph| plan::initialize(graph, seconds(5)).unwrap());
    assert_eq!(stored(&load(store, id)), stored(&started));
    let claimed = claim(store, id, 1, "worker ü", seconds(6));
    assert_eq!(stored(&load(store, id)), stored(&claimed));
    let failed = change(store, id, |graph| settle(graph, 1, Err(failure("no", true)), seconds(7)));
    assert_eq!(stored(&load(store, id)), stored(&failed));
    let cancelled = change(store, id, |graph| plan::cancel(graph, seconds(8)).unwrap());
    assert_eq!(stored(&load(store, id)), stored(&cancelled));
    assert!(cancelled.task.completed_at.is_some() && load(store, id).task.trace.root_recorded);
}

pub fn what_was_not_committed_never_was(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let kept = started(store);
    let new = new_task(store, "default");
    let uuid = new.task_uuid;
    {
        let mut transaction = store.begin().unwrap();
        let new = plan::submit(&new, NOW, &mut Dice::new());
        let mut graphs = [new, read(transaction.as_mut(), kept.task.id)];
        plan::claim(&mut graphs[1], 0, &Arc::from("w"), seconds(1), &mut Dice::new()).unwrap();
        transaction.write(&mut graphs).unwrap();
    }
    assert!(write(store, |transaction| transaction.find(&[uuid]).unwrap()).is_empty());
    assert_eq!(stored(&load(store, kept.task.id)), stored(&kept));
    assert_eq!(store.reader().transitions(kept.task.task_uuid).unwrap().len(), 5);
}

pub fn an_idempotency_key_finds_its_task_and_only_that(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let mut new = new_task(store, "default");
    new.idempotency_key = Some("k".into());
    let again = new.clone();
    let graph = insert(store, new, NOW);
    let key = |namespace: &str, name: &str, key: &str| IdempotencyKey {
        namespace: Arc::from(namespace),
        name: Arc::from(name),
        key: key.into(),
    };
    let keys = [("other", "k"), ("default", "K"), ("default", "k")].map(|(space, text)| key(space, "join", text));
    let found = write(store, |transaction| transaction.find_idempotent(&keys).unwrap());
    let task = &graph.task;
    let (task_uuid, correlation_id, trace_id) = (task.task_uuid, task.correlation_id, task.trace.trace_id);
    assert_eq!(found, [None, None, Some(Existing { task_uuid, correlation_id, trace_id })]);
    let none = write(store, |transaction| transaction.find_idempotent(&[key("default", "other", "k")]).unwrap());
    assert_eq!(none, [None]);
    let twin = tasker_engine::plan::NewTask { task_uuid: ids::uuid_v7(NOW), ..again };
    let mut transaction = store.begin().unwrap();
    let ended = transaction.write(&mut [plan::submit(&twin, NOW, &mut Dice::new())]);
    let ended = ended.and_then(|()| transaction.commit(&Commit::default()));
    assert!(ended.is_err(), "the store itself keeps the key unique");
}

pub fn the_same_document_keeps_its_number_and_a_changed_one_gets_its_own(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let first = keep(store, &template("default"));
    assert_eq!(keep(store, &template("default")), first);
    let changed = template("default").to_json().replace(r#""timeout_seconds":null"#, r#""timeout_seconds":9.0"#);
    let changed = Template::from_json("test", &changed).unwrap();
    assert_ne!(keep(store, &changed), first);
    assert_ne!(keep(store, &template("other")), first);
}

pub fn a_step_keeps_its_result_and_its_last_error(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let graph = started(store);
    let (id, uuid) = (graph.task.id, graph.task.task_uuid);
    let left = |store: &dyn tasker_engine::store::Store| store.reader().task(uuid).unwrap().steps.remove(0);
    let mut error = failure("gateway \"busy\"\n\u{0}", true);
    error.code = Some("E-1".into());
    error.backtrace = vec!["a.rb:1".into(), "b.rb:2".into()];
    claim(store, id, 0, "w", seconds(1));
    change(store, id, |graph| settle(graph, 0, Err(error.clone()), seconds(2)));
    let kept = left(store).error.unwrap();
    assert_eq!(
        (&kept["class"], &kept["message"], &kept["code"]),
        (&json!("RuntimeError"), &json!(error.message), &json!("E-1"))
    );
    assert_eq!((&kept["backtrace"], &kept["attempt"]), (&json!(["a.rb:1", "b.rb:2"]), &json!(1)));

    change(store, id, |graph| plan::wake(graph, &[0], seconds(60)).unwrap());
    claim(store, id, 0, "w", seconds(61));
    assert!(left(store).error.is_some(), "the error of the last attempt is known while the next one runs");
    change(store, id, |graph| settle(graph, 0, Ok(r#"{"receipt":1e300}"#), seconds(62)));
    let step = left(store);
    assert!(step.error.is_none());
    assert_eq!(step.result.unwrap().get(), r#"{"receipt":1e300}"#);
}

pub fn a_step_gets_the_context_and_the_results_it_depends_on(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let id = started(store).task.id;
    claim(store, id, 0, "w", seconds(1));
    claim(store, id, 1, "w", seconds(1));
    change(store, id, |graph| settle(graph, 0, Ok("[1]"), seconds(2)));
    write(store, |transaction| {
        let mut graph = read(transaction, id);
        settle(&mut graph, 1, Ok("\"r\""), seconds(3));
        let inputs = transaction.inputs(&[(&graph, 2)]).unwrap().remove(0);
        assert_eq!(&*inputs.context, r#"{"order":1}"#);
        let results: Vec<(Arc<str>, Arc<str>)> = inputs.dependency_results;
        let expected = [("right", "\"r\""), ("left", "[1]")].map(|(name, json)| (Arc::from(name), Arc::from(json)));
        assert_eq!(results, expected, "one of this transaction, one of an earlier one, as the template lists them");
    });
}

pub fn what_ended_long_ago_is_deleted_whole_and_nothing_else(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let mut ended = |second: u64| {
        let graph = started(store);
        change(store, graph.task.id, |graph| plan::cancel(graph, seconds(second)).unwrap());
        graph.task
    };
    let (old, older, young) = (ended(20), ended(10), ended(40));
    let open = started(store).task;
    let prune = |store: &mut dyn tasker_engine::store::Store, before: u64, limit: usize| {
        write(store, |transaction| transaction.prune(seconds(before), limit).unwrap())
    };
    assert_eq!(prune(store, 5, 10), 0);
    assert_eq!(prune(store, 30, 1), 1, "a portion");
    assert!(store.reader().task(older.task_uuid).is_err(), "the oldest first");
    assert!(store.reader().task(old.task_uuid).is_ok());
    assert_eq!(prune(store, 30, 10), 1);
    for (task, kept) in [(old, false), (young, true), (open, true)] {
        assert_eq!(store.reader().task(task.task_uuid).is_ok(), kept);
        assert_eq!(store.reader().transitions(task.task_uuid).is_ok(), kept);
    }
    assert_eq!(prune(store, 100, 10), 1, "what is not finished stays, however old");
}
