//! Events that are published outside of steps: durable when the call returns, all of them or none.

use std::sync::Arc;

use serde_json::json;
use tasker_engine::bootstrap::Engine;
use tasker_engine::error::Error;
use tasker_engine::event::{DeliveryMode, DomainEventPayload, EventMetadata};
use tasker_engine::events::{Publication, StepEventPublisherRegistry};
use uuid::Uuid;

use crate::harness::{config, Folder};
use crate::{names, stored};

fn publications(json: serde_json::Value) -> Vec<Publication> {
    serde_json::from_str(&json.to_string()).unwrap()
}

#[test]
fn events_are_durable_when_the_call_returns_and_have_the_ids_it_gave() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    let [task, correlation] = [1, 2].map(Uuid::from_u128);
    let given = publications(json!([
        {"name": "order.placed", "payload": {"n": 1}, "namespace": "fresh", "key": "k", "task_uuid": task,
         "correlation_id": correlation, "traceparent": "00-0000000000000000000000000000000a-000000000000000b-01"},
        {"name": "order.bare"},
        {"name": "order.fast", "delivery_mode": "fast"},
    ]));
    let ids = engine.publish_events(given).unwrap();
    let all = stored(&folder);
    assert_eq!(names(&folder), ["order.placed", "order.bare"]);
    assert_eq!((&all[0]["event_id"], &all[1]["event_id"]), (&json!(ids[0]), &json!(ids[1])));
    assert_eq!((ids.len(), ids[2].get_version_num()), (3, 7));
    assert_eq!(all[0]["payload"]["payload"], json!({"n": 1}));
    assert_eq!(all[0]["metadata"]["task_uuid"], json!(task));
    assert_eq!(all[0]["metadata"]["correlation_id"], json!(correlation));
    assert_eq!((&all[1]["metadata"]["namespace"], &all[1]["payload"]["payload"]), (&json!("default"), &json!(null)));
}

#[test]
fn one_that_is_not_allowed_keeps_all_of_the_call_back() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    let large = "x".repeat(10_000_000);
    let refused = [
        (json!({"name": "Order"}), "event name `Order` is not allowed"),
        (json!({"name": "a".repeat(10_000)}), "has 10000 bytes; shorten it to at most 128"),
        (json!({"name": "a.b", "namespace": "it's"}), "namespace `it\\'s` is not allowed"),
        (json!({"name": "a.b", "key": "k\0"}), "its key is empty or has a NUL in it"),
        (json!({"name": "a.b", "delivery_mode": "slow"}), "it must be one of durable, fast, broadcast"),
        (json!({"name": "a.b", "payload": large}), "its payload is 10000002 bytes"),
    ];
    for (event, reason) in refused {
        let given = publications(json!([{"name": "order.placed"}, event]));
        let Err(Error::InvalidInput(message)) = engine.publish_events(given) else { panic!("{reason}") };
        assert!(message.contains(reason), "{message}");
    }
    let many: Vec<_> = (0..1001).map(|_| json!({"name": "a.b"})).collect();
    assert!(engine.publish_events(publications(json!(many))).is_err());
    assert!(names(&folder).is_empty());
}

#[test]
fn what_is_published_from_many_threads_is_all_there() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    let publish = |thread: usize| {
        let engine = Arc::clone(&engine);
        std::thread::spawn(move || {
            for n in 0..25 {
                let event = json!([{"name": format!("t{thread}.n{n}"), "namespace": format!("ns{}", thread % 3)}]);
                engine.publish_events(publications(event)).unwrap();
            }
        })
    };
    (0..8).map(publish).collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    let all = names(&folder);
    for thread in 0..8 {
        let own: Vec<&String> = all.iter().filter(|name| name.starts_with(&format!("t{thread}."))).collect();
        let wanted: Vec<String> = (0..25).map(|n| format!("t{thread}.n{n}")).collect();
        assert_eq!(own, wanted.iter().collect::<Vec<_>>());
    }
}

#[test]
fn rust_publishes_by_the_names_of_the_documents() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    let registry =
        StepEventPublisherRegistry::with_event_router(engine.domain_event_publisher(), engine.event_router());
    let metadata = EventMetadata {
        task_uuid: None,
        step_uuid: None,
        step_name: None,
        namespace: "payments".into(),
        correlation_id: Some(Uuid::from_u128(9)),
        fired_at: tasker_engine::clock::Clock::System.now(),
        fired_by: "test".into(),
    };
    let payload = || DomainEventPayload { payload: r#"{"n":1}"#.into(), ..DomainEventPayload::default() };
    let id = registry.publisher().publish_event("order.placed", payload(), metadata.clone()).unwrap();
    registry.router().route_event(DeliveryMode::Broadcast, "order.both", payload(), metadata.clone()).unwrap();
    registry.router().route_event(DeliveryMode::Fast, "order.fast", payload(), metadata.clone()).unwrap();
    assert!(registry.publisher().publish_event("Order", payload(), metadata.clone()).is_err());
    for (bad, reason) in [("{", "its payload is not JSON"), (&*format!("\"{}\"", "x".repeat(1 << 20)), "bytes")] {
        let payload = DomainEventPayload { payload: bad.into(), ..DomainEventPayload::default() };
        let refused = registry.publisher().publish_event("order.placed", payload, metadata.clone()).unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    assert_eq!(names(&folder), ["order.placed", "order.both"]);
    assert_eq!(stored(&folder)[0]["event_id"], json!(id));
    assert_eq!(stored(&folder)[0]["metadata"]["fired_by"], "test");
}
