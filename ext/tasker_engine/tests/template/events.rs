//! What a step says of its domain events: read, defaulted, written again, or refused with the place and the cure.

use serde_json::{json, Value};
use tasker_engine::event::{DeliveryMode, KeySource};
use tasker_engine::template::{EventCondition, EventDeclaration, Template};

use super::{linked, one_step, refused_json};

fn declared(event: Value) -> EventDeclaration {
    let document = one_step(json!({ "publishes_events": [event] }));
    Template::from_json("orders.json", &document.to_string()).unwrap().steps[0].publishes_events[0].clone()
}

fn refused(events: Value) -> String {
    refused_json(one_step(json!({ "publishes_events": events })))
}

#[test]
fn an_event_has_a_name_and_defaults_for_the_rest() {
    let event = declared(json!({"name": "order.placed", "description": null, "key": null, "schema": null}));
    assert_eq!((&*event.name, &*event.description), ("order.placed", ""));
    assert_eq!((event.condition, event.delivery_mode), (EventCondition::Success, DeliveryMode::Durable));
    assert_eq!((event.schema, event.publisher, event.key), (None, None, None));
}

#[test]
fn a_document_with_events_is_written_as_it_was_read() {
    let full = json!({
        "name": "payment.processed", "description": "It was paid.", "condition": "always", "delivery_mode": "broadcast",
        "schema": {"type": "object", "required": ["amount"]}, "publisher": "Pay::Publisher", "key": "{/steps/b/id}-{/result/n}",
    });
    let mut document = linked(&[("b", &[]), ("a", &["b"])]);
    document["steps"][1]["publishes_events"] =
        json!([full, {"name": "payment.failed", "condition": "permanent_failure"}]);
    let template = Template::from_json("orders.json", &document.to_string()).unwrap();
    let text = template.to_json();
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["steps"][1]["publishes_events"][0], full);
    assert_eq!(Template::from_json("again", &text).unwrap(), template);
    assert_eq!(Template::from_stored("again", &text).unwrap().to_json(), text);
    let publishers = template.steps[1].publishers.as_ref().unwrap();
    assert_eq!((publishers.len(), &*publishers[0].class_name), (1, "Pay::Publisher"));
    assert_eq!((&*publishers[0].event_name, publishers[0].condition), ("payment.processed", EventCondition::Always));
    let steps = [("b".into(), r#"{"id":3}"#.into())];
    let source = KeySource { input: "{}", steps: &steps, result: Some(r#"{"n":4}"#) };
    assert_eq!(template.steps[1].publishes_events[0].key.as_ref().unwrap().of(source).as_deref(), Some("3-4"));
}

#[test]
fn a_step_without_events_is_written_as_before_there_were_any() {
    let text = Template::from_json("orders.json", &one_step(json!({})).to_string()).unwrap().to_json();
    assert!(!text.contains("publishes_events"), "{text}");
    assert_eq!(Template::from_json("orders.json", &text).unwrap().steps[0].publishers, None);
}

#[test]
fn a_payload_is_held_against_its_schema() {
    let schema = json!({"type": "object", "required": ["amount", "id"], "properties": {"n": {"type": "number"}}});
    let event = declared(json!({"name": "a.b", "schema": schema}));
    assert_eq!(event.misfit(r#"{"amount":1,"id":2}"#), None);
    assert_eq!(event.misfit(r#"{"id":2}"#).as_deref(), Some("/amount is missing"));
    assert_eq!(
        event.misfit(r#"{"n":"secret"}"#).as_deref(),
        Some("/amount is missing, /id is missing, /n must be of the type number")
    );
    assert_eq!(event.misfit("[]").as_deref(), Some("the payload must be of the type object"));
    assert_eq!(declared(json!({"name": "a.b"})).misfit("not JSON"), None);
}

#[test]
fn a_condition_holds_for_its_ends_of_attempts() {
    let holding = |success, goes_on| -> Vec<&str> {
        let all = EventCondition::ALL.iter().filter(|condition| condition.holds(success, goes_on));
        all.map(|condition| condition.as_str()).collect()
    };
    assert_eq!(holding(true, false), ["success", "always"]);
    assert_eq!(holding(false, true), ["failure", "retryable_failure", "always"]);
    assert_eq!(holding(false, false), ["failure", "permanent_failure", "always"]);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let table = [
        (json!("a.b"), "step `a`: publishes_events must be a list of mappings, but is text"),
        (json!([{"name": "a.b", "keys": 1}]), "step `a`: event `a.b`: unknown field `keys`; did you mean `key`?"),
        (json!([{}]), "step `a`: event number 1: name is missing; add one, such as `name: order.placed`"),
        (json!([{"name": "Placed"}]), "step `a`: event `Placed`: event name `Placed` is not allowed; write words"),
        (json!([{"name": "a.b"}, {"name": "a.b"}]), "step `a`: event `a.b`: is declared twice; declare it once"),
        (
            json!([{"name": "a.b", "condition": "sucess"}]),
            "step `a`: event `a.b`: condition is `sucess`; did you mean `success`? it must be one of success, failure,",
        ),
        (
            json!([{"name": "a.b", "delivery_mode": 1}]),
            "step `a`: event `a.b`: delivery_mode is a number; it must be one of durable, fast, broadcast",
        ),
        (
            json!([{"name": "a.b", "schema": {"type": "objekt"}}]),
            "step `a`: event `a.b`: schema is no JSON Schema: at `/type`: \"objekt\" is no type",
        ),
        (json!([{"name": "a.b", "publisher": "pay"}]), "step `a`: event `a.b`: publisher `pay` is no name a class can"),
        (
            json!([{"name": "a.b", "key": "order"}]),
            "step `a`: event `a.b`: key `order` names no path; write a path such",
        ),
        (
            json!([{"name": "a.b", "key": "{/steps/c/id}"}]),
            "step `a`: event `a.b`: key reads the result of `c`, which this step does not depend on; add it",
        ),
    ];
    for (events, says) in table {
        let message = refused(events);
        assert!(message.starts_with(says), "{message}");
    }
    let many: Vec<Value> = (0..21).map(|n| json!({"name": format!("a.b{n}")})).collect();
    assert_eq!(refused(json!(many)), "step `a`: publishes 21 events, but may publish at most 20; join some of them");
}

#[test]
fn what_a_newer_version_has_stored_is_read_all_the_same() {
    let stored = one_step(json!({ "publishes_events": [{"name": "a.b", "ttl": 5}] })).to_string();
    assert!(Template::from_json("orders.json", &stored).is_err());
    assert_eq!(Template::from_stored("orders.json", &stored).unwrap().steps[0].publishes_events.len(), 1);
}
