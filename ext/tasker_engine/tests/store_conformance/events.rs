//! Domain events: written whole, in their order, with what they tell of or not at all.

use std::sync::Arc;

use serde_json::{json, Value};
use tasker_engine::event::{DomainEvent, DomainEventPayload, EventMetadata, EventTrace};
use tasker_engine::ids;
use tasker_engine::store::{Commit, Store};

use crate::place::{insert, new_task, read, seconds, write, Place, NOW};

fn event(namespace: &str, name: &str, payload: &str) -> DomainEvent {
    let metadata = EventMetadata {
        task_uuid: None,
        step_uuid: None,
        step_name: None,
        namespace: namespace.into(),
        correlation_id: None,
        fired_at: NOW,
        fired_by: "test".into(),
    };
    let payload = DomainEventPayload { payload: payload.into(), ..DomainEventPayload::default() };
    DomainEvent::new(ids::uuid_v7(NOW), name.into(), payload, metadata)
}

fn publish(store: &mut dyn Store, events: Vec<DomainEvent>) {
    let events: Vec<Arc<DomainEvent>> = events.into_iter().map(Arc::new).collect();
    write(store, |transaction| transaction.publish(&events).unwrap());
}

fn rows(place: &Place, columns: &str) -> Vec<String> {
    let told = place.sql(&format!("SELECT {columns} FROM tasker.events ORDER BY id"));
    told.lines().map(str::to_owned).collect()
}

/// Messages of the queue, where the store has queues.
fn messages(place: &Place, namespace: &str) -> Option<Vec<Value>> {
    let sql =
        format!("SELECT json_build_array(message, headers) FROM pgmq.q_{namespace}_domain_events ORDER BY msg_id");
    (!place.certain).then(|| place.sql(&sql).lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

pub fn events_are_kept_in_their_order_with_all_they_say(place: &Place) {
    let mut store = place.open();
    let [task, step, correlation] = [1, 2, 3].map(uuid::Uuid::from_u128);
    let mut full = event("shop", "order.placed", r#"{"quote":"it's \"so\" \\ 100 €","n":1.5}"#);
    (full.metadata.task_uuid, full.metadata.step_uuid, full.metadata.correlation_id) =
        (Some(task), Some(step), Some(correlation));
    full.key = Some("k'\"\\{,}".into());
    full.trace = Some(EventTrace { trace_id: 10, span_id: 11, parent_span_id: None, sampled: true });
    let (message, traceparent) = (full.message().to_owned(), full.traceparent().unwrap());
    publish(store.as_mut(), vec![full, event("shop", "order.paid", "null")]);
    publish(store.as_mut(), vec![event("shop", "order.sent", "[]")]);
    if place.has_sql() {
        assert_eq!(rows(place, "name"), ["order.placed", "order.paid", "order.sent"]);
        assert_eq!(rows(place, "message")[0], message);
        let columns = "namespace, key, task_uuid, step_uuid, correlation_id, traceparent";
        assert_eq!(rows(place, columns)[0], format!("shop|k'\"\\{{,}}|{task}|{step}|{correlation}|{traceparent}"));
        assert_eq!(rows(place, columns)[1], "shop|||||");
    }
    if let Some(messages) = messages(place, "shop").filter(|_| place.has_sql()) {
        assert_eq!(messages[0][0], serde_json::from_str::<Value>(&message).unwrap());
        assert_eq!(messages[0][1], json!({"traceparent": traceparent, "correlation_id": correlation}));
        assert_eq!((messages.len(), &messages[1][1]), (3, &json!({})));
    }
}

pub fn many_events_of_several_namespaces_are_written_at_once(place: &Place) {
    let mut store = place.open();
    let payload = format!("\"{}\"", "x".repeat(300));
    let many = |namespaces: &[&str], count: usize| -> Vec<DomainEvent> {
        (0..count).map(|n| event(namespaces[n % namespaces.len()], &format!("a.b{n}"), &payload)).collect()
    };
    publish(store.as_mut(), many(&["left", "right"], 100));
    publish(store.as_mut(), many(&["left", "right"], 4));
    publish(store.as_mut(), many(&["left"], 1000));
    if place.has_sql() {
        let names: Vec<String> =
            [100, 4, 1000].into_iter().flat_map(|count| (0..count).map(|n| format!("a.b{n}"))).collect();
        assert_eq!(rows(place, "name"), names);
        let counted = place.sql("SELECT namespace, count(*) FROM tasker.events GROUP BY namespace ORDER BY namespace");
        assert_eq!(counted, "left|1052\nright|52");
    }
    if let Some(messages) = messages(place, "left").filter(|_| place.has_sql()) {
        assert_eq!(messages.len(), 1052);
        assert_eq!(messages[1051][0]["event_name"], "a.b999");
    }
}

pub fn events_of_a_transaction_that_was_not_committed_never_were(place: &Place) {
    let mut store = place.open();
    let graph = {
        let new = new_task(store.as_mut(), "default");
        insert(store.as_mut(), new, NOW)
    };
    let lost = Arc::new(event("fresh", "order.lost", "1"));
    let mut transaction = store.begin().unwrap();
    let mut graphs = [read(transaction.as_mut(), graph.task.id)];
    tasker_engine::plan::cancel(&mut graphs[0], seconds(1)).unwrap();
    transaction.write(&mut graphs).unwrap();
    transaction.publish(&[Arc::clone(&lost)]).unwrap();
    drop(transaction);
    // The same one once more, and its queue too has to be made again.
    let mut transaction = store.begin().unwrap();
    transaction.publish(&[lost]).unwrap();
    transaction.commit(&Commit { events: true, ..Commit::default() }).unwrap();
    if place.has_sql() {
        assert_eq!(rows(place, "name"), ["order.lost"]);
    }
    assert_eq!(messages(place, "fresh").filter(|_| place.has_sql()).map_or(1, |messages| messages.len()), 1);
}

pub fn an_event_that_is_there_already_is_refused(place: &Place) {
    let mut store = place.open();
    let once = Arc::new(event("shop", "order.placed", "1"));
    write(store.as_mut(), |transaction| transaction.publish(&[Arc::clone(&once)]).unwrap());
    let mut transaction = store.begin().unwrap();
    let again = transaction.publish(&[once]).and_then(|()| transaction.commit(&Commit::default()));
    assert!(matches!(again, Err(tasker_engine::error::Error::Refused(_))), "{again:?}");
    publish(store.as_mut(), vec![event("shop", "order.next", "1")]);
    if place.has_sql() {
        assert_eq!(rows(place, "name"), ["order.placed", "order.next"]);
    }
}

pub fn a_file_s_other_process_is_woken_when_a_group_follows(place: &Place) {
    if !place.has_sql() || !place.certain {
        return;
    }
    let (mut store, mut other) = (place.open(), place.open());
    place.sql("INSERT INTO tasker.event_groups (name, patterns, key_order, began_at) VALUES ('g', '[\"#\"]', 0, 0)");
    let bell = Arc::new(tasker_engine::bell::Bell::default());
    other.subscribe(Some(Arc::clone(&bell)));
    publish(store.as_mut(), vec![event("shop", "order.placed", "1")]);
    assert!(bell.sleep(crate::harness::PATIENCE), "nobody was woken");
}

pub fn old_events_are_deleted_but_none_that_somebody_has_still_to_deal_with(place: &Place) {
    let mut store = place.open();
    let aged = |name: &str, age: u64| {
        let mut event = event("shop", name, "1");
        event.metadata.fired_at = seconds(age);
        event
    };
    let all = [("a.kept", 0), ("a.old", 1), ("a.older", 2), ("a.young", 100), ("a.last", 101)];
    publish(store.as_mut(), all.iter().map(|(name, age)| aged(name, *age)).collect());
    if place.has_sql() {
        place.sql(
            "INSERT INTO tasker.event_deliveries (group_name, event_row, attempts, due_at) \
             SELECT 'g', id, 1, fired_at FROM tasker.events WHERE name = 'a.kept'",
        );
    }
    let mut prune = |limit| write(store.as_mut(), |transaction| transaction.prune_events(seconds(50), limit).unwrap());
    if !place.has_sql() {
        assert_eq!((prune(2), prune(10)), (2, 1));
        return;
    }
    assert_eq!(prune(1), 1);
    assert_eq!(rows(place, "name"), ["a.kept", "a.older", "a.young", "a.last"]);
    // What is kept is not in the way of the others.
    assert_eq!((prune(1), prune(1)), (1, 0));
    assert_eq!(rows(place, "name"), ["a.kept", "a.young", "a.last"]);
    if !place.certain {
        place.sql("UPDATE pgmq.q_shop_domain_events SET enqueued_at = '2000-01-01' WHERE msg_id <= 3");
        assert_eq!(prune(10), 3);
        assert_eq!(messages(place, "shop").unwrap().len(), 2);
    }
}
