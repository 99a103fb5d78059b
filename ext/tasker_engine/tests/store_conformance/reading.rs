//! What a reader is shown.

use serde_json::json;
use tasker_engine::error::Error;
use tasker_engine::store::catalogue::Catalogue;
use tasker_engine::store::Hold;
use tasker_engine::template::Template;
use tasker_engine::{ids, plan};

use crate::harness::failure;
use crate::place::*;

pub fn what_nobody_stored_is_not_found(place: &Place) {
    let mut store = place.open();
    let reader = store.reader();
    let uuid = ids::uuid_v7(NOW);
    for error in [
        reader.task(uuid).map(drop).unwrap_err(),
        reader.state(uuid).map(drop).unwrap_err(),
        reader.transitions(uuid).map(drop).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::NotFound(message) if message.contains(&uuid.to_string())), "{error}");
    }
    write(store.as_mut(), |transaction| {
        assert!(transaction.find(&[uuid]).unwrap().is_empty());
        let loaded = transaction.load(&[1], Hold::Locked).unwrap();
        assert!(loaded.graphs.is_empty() && loaded.unreadable.is_empty());
    });
}

pub fn a_task_is_shown_whole(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let mut new = new_task(store, "default");
    new.idempotency_key = Some("k".into());
    new.parent_correlation_id = Some(ids::uuid_v7(NOW));
    new.priority = 3;
    let graph = insert(store, new, NOW);
    claim(store, graph.task.id, 0, "w", seconds(1));
    let view = serde_json::to_value(store.reader().task(graph.task.task_uuid).unwrap()).unwrap();
    let task = &graph.task;
    for (field, expected) in [
        ("task_uuid", json!(task.task_uuid)),
        ("namespace", json!("default")),
        ("name", json!("join")),
        ("version", json!("1.0.0")),
        ("state", json!("steps_in_process")),
        ("priority", json!(3)),
        ("correlation_id", json!(task.correlation_id)),
        ("parent_correlation_id", json!(task.parent_correlation_id)),
        ("idempotency_key", json!("k")),
        ("trace_id", json!(format!("{:032x}", task.trace.trace_id))),
        ("root_span_id", json!(format!("{:016x}", task.trace.root_span_id))),
        ("created_at", json!(NOW.0)),
        ("run_at", json!(null)),
        ("completed_at", json!(null)),
        ("context", json!({"order": 1})),
    ] {
        assert_eq!(view[field], expected, "{field}");
    }
    let left = json!({
        "step_uuid": graph.steps[0].step_uuid, "name": "left", "handler": "L", "state": "in_progress", "attempts": 1,
        "max_attempts": 3, "due_at": null, "worker_id": "w", "result": null, "error": null,
    });
    assert_eq!(view["steps"][0], left);
    let names: Vec<_> = view["steps"].as_array().unwrap().iter().map(|step| step["name"].clone()).collect();
    assert_eq!(names, ["left", "right", "both"]);
    assert_eq!(store.reader().state(task.task_uuid).unwrap(), task.state);
}

pub fn transitions_are_shown_in_order_with_their_metadata(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let graph = started(store);
    let (id, uuid) = (graph.task.id, graph.task.task_uuid);
    claim(store, id, 0, "w \"1\"", seconds(2));
    let mut error = failure("line\n\"quoted\"", false);
    error.backtrace = vec!["long".into()];
    change(store, id, |graph| settle(graph, 0, Err(error), seconds(5)));
    claim(store, id, 1, "w2", seconds(6));
    change(store, id, |graph| plan::expire(graph, 1, "test", seconds(16)).unwrap());

    let all = store.reader().transitions(uuid).unwrap();
    let told: Vec<String> = all
        .iter()
        .map(|t| format!("{} {}>{}", t.step.as_deref().unwrap_or("task"), t.from_state, t.to_state))
        .collect();
    assert_eq!(
        told,
        [
            "task pending>initializing",
            "task initializing>enqueuing_steps",
            "left pending>enqueued",
            "right pending>enqueued",
            "task enqueuing_steps>steps_in_process",
            "left enqueued>in_progress",
            "left in_progress>error",
            "task steps_in_process>evaluating_results",
            "task evaluating_results>waiting_for_dependencies",
            "right enqueued>in_progress",
            "right in_progress>enqueued",
        ]
    );
    assert!(all.iter().all(|t| t.metadata["correlation_id"] == json!(graph.task.correlation_id)));
    assert!(all.iter().all(|t| t.metadata["duration_ms"].is_number()));
    let correlation_id = graph.task.correlation_id;
    assert_eq!(all[5].created_at, seconds(2).0);
    assert_eq!(
        all[5].metadata,
        json!({"correlation_id": correlation_id, "duration_ms": 1999.998, "attempt": 1, "worker": "w \"1\""})
    );
    assert_eq!(
        all[6].metadata,
        json!({
            "correlation_id": correlation_id, "duration_ms": 3000.0, "attempt": 1, "worker": "w \"1\"",
            "error": {"class": "RuntimeError", "message": "line\n\"quoted\""},
        })
    );
    assert_eq!(all[10].metadata["reason"], "lease_expired");
    assert_eq!(all[10].metadata["worker"], "w2");
    assert_eq!(all[0].metadata, json!({"correlation_id": correlation_id, "duration_ms": 0.0}));
}

/// What the reader says, as SQL from outside sees it.
pub fn views_show_the_journal_as_rows(place: &Place) {
    if !place.has_sql() {
        return;
    }
    let mut store = place.open();
    let store = store.as_mut();
    let graph = started(store);
    let id = graph.task.id;
    claim(store, id, 0, "w", seconds(2));
    change(store, id, |graph| settle(graph, 0, Err(failure("no", false)), seconds(5)));
    let rows = |sql: &str| place.sql(sql).lines().map(str::to_owned).collect::<Vec<_>>();
    let moves = "SELECT sort_key, from_state, to_state FROM tasker.";
    assert_eq!(
        rows(&format!("{moves}task_transitions WHERE task_id = {id} ORDER BY sort_key")),
        [
            "1|pending|initializing",
            "2|initializing|enqueuing_steps",
            "3|enqueuing_steps|steps_in_process",
            "4|steps_in_process|evaluating_results",
            "5|evaluating_results|waiting_for_dependencies",
        ]
    );
    let of_left = format!("step_transitions WHERE task_id = {id} AND position = 0 ORDER BY sort_key");
    let left = ["1|pending|enqueued", "2|enqueued|in_progress", "3|in_progress|error"];
    assert_eq!(rows(&format!("{moves}{of_left}")), left);
    assert_eq!(rows(&format!("{moves}workflow_{of_left}")), left, "under its other name too");
    let shown = rows(&format!("SELECT metadata FROM tasker.{of_left}"));
    let shown: Vec<serde_json::Value> = shown.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let read = store.reader().transitions(graph.task.task_uuid).unwrap();
    let read: Vec<_> = read.into_iter().filter(|t| t.step.as_deref() == Some("left")).map(|t| t.metadata).collect();
    assert_eq!(shown, read);
}

pub fn those_that_have_ended_are_found_in_one_look(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let (running, failed, over) = (started(store).task, started(store).task, started(store).task);
    change(store, over.id, |graph| plan::cancel(graph, seconds(1)).unwrap());
    for position in 0..2 {
        claim(store, failed.id, position, "w", seconds(1));
        change(store, failed.id, |graph| settle(graph, position, Err(failure("no", false)), seconds(2)));
    }
    let reader = store.reader();
    assert!(reader.ended(&[]).unwrap().is_empty());
    let asked = [running.task_uuid, failed.task_uuid, ids::uuid_v7(NOW), over.task_uuid];
    let mut ended = reader.ended(&asked).unwrap();
    ended.sort();
    let mut expected = [failed.task_uuid, over.task_uuid];
    expected.sort();
    assert_eq!(ended, expected);
    change(store, failed.id, |graph| plan::rerun_step(graph, 0, seconds(3)).unwrap());
    assert_eq!(reader.ended(&asked).unwrap(), [over.task_uuid], "one that goes on has not ended");
}

pub fn tasks_are_counted_by_state(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    assert_eq!(store.reader().count_tasks().unwrap(), []);
    started(store);
    let id = started(store).task.id;
    started(store);
    change(store, id, |graph| plan::cancel(graph, seconds(1)).unwrap());
    let mut counts = store.reader().count_tasks().unwrap();
    counts.sort();
    assert_eq!(counts, [("cancelled".to_owned(), 1), ("steps_in_process".to_owned(), 2)]);
}

pub fn stored_templates_can_be_read_by_name(place: &Place) {
    let mut store = place.open();
    let store = store.as_mut();
    let version = |text: &str| {
        Template::from_yaml("test", &format!("{{name: t, version: {text}, steps: [{{name: s, handler: H}}]}}")).unwrap()
    };
    let old = keep(store, &version("1.0.0"));
    let new = keep(store, &version("2.0.0"));
    let catalogue = Catalogue::default();
    store.reader().read_templates("default", "nothing", &catalogue).unwrap();
    assert!(catalogue.names().is_empty());
    store.reader().read_templates("default", "t", &catalogue).unwrap();
    assert_eq!(catalogue.find("default", "t", None).unwrap().id, new, "the one stored last is the latest");
    assert_eq!(catalogue.find("default", "t", Some("1.0.0")).unwrap().id, old);
    assert_eq!(*catalogue.get(new).unwrap(), version("2.0.0"));
}
