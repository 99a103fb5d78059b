//! What a newer version has written, or somebody has broken: this version leaves it alone, says why, and goes on with the
//! rest.

use std::sync::Arc;

use serde_json::json;
use tasker_engine::plan;
use tasker_engine::state::{StepState, TaskState};
use tasker_engine::store::catalogue::Catalogue;
use tasker_engine::store::{Hold, Store};
use tasker_engine::template::Template;

use crate::place::*;

/// A second opening: it has read nothing yet.
fn afresh(place: &Place, store: Box<dyn Store>) -> Box<dyn Store> {
    drop(store);
    place.open()
}

pub fn a_state_of_a_newer_version_is_shown_and_left_as_it_is(place: &Place) {
    if !place.has_sql() {
        return;
    }
    let mut store = place.open();
    let graph = started(store.as_mut());
    let (id, uuid) = (graph.task.id, graph.task.task_uuid);
    claim(store.as_mut(), id, 1, "w", NOW);
    place.sql(&format!("UPDATE tasker.steps SET state = 'on_hold' WHERE task_id = {id} AND position = 0"));
    let mut store = afresh(place, store);
    let store = store.as_mut();
    assert_eq!(load(store, id).steps[0].state, StepState::Unknown);
    assert_eq!(store.reader().task(uuid).unwrap().steps[0].state, "on_hold");
    let told = change(store, id, |graph| settle(graph, 1, Ok("1"), seconds(1)));
    assert_eq!(told.task.state, TaskState::WaitingForDependencies, "it is somebody's work: the task goes on");
    assert!(plan::resolve_step(&mut load(store, id), 0, Arc::from("1"), seconds(2)).is_err());
    place.sql(&format!("UPDATE tasker.tasks SET state = 'paused' WHERE id = {id}"));
    assert_eq!(load(store, id).task.state, TaskState::Unknown);
    assert_eq!(store.reader().task(uuid).unwrap().state, "paused");
    assert_eq!(store.reader().state(uuid).unwrap(), TaskState::Unknown);
    assert!(plan::cancel(&mut load(store, id), seconds(3)).is_err(), "nothing follows it");
}

pub fn fields_of_a_newer_version_in_a_template_are_passed_over(place: &Place) {
    if !place.has_sql() {
        return;
    }
    let mut store = place.open();
    let graph = started(store.as_mut());
    let mut document: serde_json::Value = serde_json::from_str(&graph.task.template.to_json()).unwrap();
    document["owner"] = json!({"team": "billing"});
    document["steps"][0]["sandbox"] = json!(["wasm"]);
    document["steps"][0]["retry"]["budget"] = json!(7);
    assert!(
        Template::from_json("test", &document.to_string()).is_err(),
        "whoever registers it hears of a typing error"
    );
    let text = document.to_string().replace('\'', "''");
    place.sql(&format!("UPDATE tasker.templates SET document = '{text}' WHERE id = {}", graph.task.template_id));
    let mut store = afresh(place, store);
    let template = load(store.as_mut(), graph.task.id).task.template;
    assert_eq!(*template, *graph.task.template);
    let catalogue = Catalogue::default();
    store.reader().read_templates("default", "join", &catalogue).unwrap();
    assert!(catalogue.find("default", "join", None).is_some());
}

pub fn an_old_template_that_cannot_be_read_hides_no_other(place: &Place) {
    if !place.has_sql() {
        return;
    }
    let mut store = place.open();
    let kept = keep(store.as_mut(), &template("default"));
    place.sql(
        "INSERT INTO tasker.templates (namespace, name, version, created_at, document) \
         SELECT namespace, name, '9.0.0', created_at, '{\"steps\": 7}' FROM tasker.templates",
    );
    let catalogue = Catalogue::default();
    store.reader().read_templates("default", "join", &catalogue).unwrap();
    assert_eq!(catalogue.find("default", "join", None).unwrap().id, kept);
}

pub fn columns_and_tables_of_a_newer_version_do_no_harm(place: &Place) {
    if !place.has_sql() {
        return;
    }
    let mut store = place.open();
    let before = started(store.as_mut()).task.id;
    for table in ["tasks", "steps", "journal", "templates", "workers"] {
        place.sql(&format!("ALTER TABLE tasker.{table} ADD COLUMN later TEXT DEFAULT 'x'"));
    }
    place.sql("CREATE TABLE tasker.later (id INTEGER PRIMARY KEY)");
    // Others are at work on the database all the time, and new processes come.
    for mut store in [store, place.open()] {
        let after = started(store.as_mut());
        for id in [before, after.task.id] {
            let position = load(store.as_mut(), id).steps.iter().position(|step| step.state == StepState::Enqueued);
            claim(store.as_mut(), id, position.unwrap(), "w", NOW);
            change(store.as_mut(), id, |graph| settle(graph, position.unwrap(), Ok("1"), seconds(1)));
        }
        assert_eq!(store.reader().task(after.task.task_uuid).unwrap().steps[0].state, "complete");
    }
}

pub fn a_newer_schema_is_refused_unless_it_only_adds(place: &Place) {
    if !place.has_sql() {
        return;
    }
    let mut store = place.open();
    let id = started(store.as_mut()).task.id;
    place.newer_schema(1);
    let mut store = afresh(place, store);
    assert_eq!(load(store.as_mut(), id).task.state, TaskState::StepsInProcess);
    place.newer_schema(99);
    let refused = place.refusal();
    assert!(refused.contains("newer") && refused.contains("upgrade"), "{refused}");
}

pub fn a_row_that_makes_no_sense_is_named_and_the_others_are_loaded(place: &Place) {
    if !place.has_sql() {
        return;
    }
    let mut store = place.open();
    let new = new_task(store.as_mut(), "broken");
    let mut ids = vec![insert(store.as_mut(), new, NOW).task.id];
    ids.extend((0..3).map(|_| started(store.as_mut()).task.id));
    place.sql("UPDATE tasker.templates SET document = '{\"steps\": 7}' WHERE namespace = 'broken'");
    place.sql(&format!("DELETE FROM tasker.steps WHERE task_id = {} AND position = 2", ids[1]));
    place.sql(&format!("DELETE FROM tasker.journal WHERE task_id = {}", ids[2]));
    let mut store = afresh(place, store);
    let loaded = write(store.as_mut(), |transaction| transaction.load(&ids, Hold::Locked).unwrap());
    assert_eq!(loaded.graphs.iter().map(|graph| graph.task.id).collect::<Vec<_>>(), ids[3..]);
    let told: Vec<(i64, String)> = loaded.unreadable.iter().map(|(id, why)| (*id, why.to_string())).collect();
    assert_eq!(told.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids[..3]);
    for ((_, why), word) in told.iter().zip(["template", "steps", "journal"]) {
        assert!(why.contains(word), "{why}");
    }
}
