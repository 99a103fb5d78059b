//! Owns: an event as the JSON text it is stored and sent as. Contexts, results and payloads are JSON already and stand in
//! it as they are.

use std::fmt::Write;

use uuid::Uuid;

use super::{DomainEvent, DomainEventPayload, EventMetadata, EVENT_VERSION};

/// The event's text.
pub(super) fn text(event: &DomainEvent) -> String {
    let DomainEvent { event_id, event_name, payload, metadata, .. } = event;
    let mut text = String::with_capacity(640 + size(payload));
    // Writing to a String does not fail.
    let _ = write!(
        text,
        r#"{{"event_id":"{event_id}","event_name":"{event_name}","event_version":"{EVENT_VERSION}","payload":{{"#
    );
    match &payload.task_sequence_step {
        Some(step) => {
            let _ = write!(
                text,
                r#""task_sequence_step":{{"task_name":{},"step_name":{},"attempt":{},"context":{}}}"#,
                quoted(&step.task_name),
                quoted(&step.step_name),
                step.attempt,
                step.context
            );
        }
        None => text.push_str(r#""task_sequence_step":null"#),
    }
    let _ = match &payload.execution_result {
        Some(Ok(result)) => write!(text, r#","execution_result":{{"success":true,"result":{result}}}"#),
        Some(Err(error)) => write!(text, r#","execution_result":{{"success":false,"error":{error}}}"#),
        None => write!(text, r#","execution_result":null"#),
    };
    let _ = write!(text, r#","payload":{}}},"metadata":"#, payload.payload);
    source(&mut text, metadata);
    text.push('}');
    text
}

fn source(text: &mut String, metadata: &EventMetadata) {
    let EventMetadata { task_uuid, step_uuid, step_name, namespace, correlation_id, fired_at, fired_by } = metadata;
    text.push_str(r#"{"task_uuid":"#);
    uuid(text, *task_uuid);
    text.push_str(r#","step_uuid":"#);
    uuid(text, *step_uuid);
    text.push_str(r#","step_name":"#);
    text.push_str(&step_name.as_ref().map_or_else(|| "null".to_owned(), |name| quoted(name)));
    let _ = write!(text, r#","namespace":{},"correlation_id":"#, quoted(namespace));
    uuid(text, *correlation_id);
    let (at, by) = (fired_at.to_rfc3339_micros(), quoted(fired_by));
    let _ = write!(text, r#","fired_at":"{at}","fired_by":{by}}}"#);
}

fn uuid(text: &mut String, uuid: Option<Uuid>) {
    let _ = match uuid {
        Some(uuid) => write!(text, r#""{uuid}""#),
        None => write!(text, "null"),
    };
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn size(payload: &DomainEventPayload) -> usize {
    let result = payload.execution_result.as_ref().map_or(0, |end| end.as_ref().unwrap_or_else(|error| error).len());
    payload.payload.len() + result + payload.task_sequence_step.as_ref().map_or(0, |step| step.context.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{json, Value};

    use super::super::AttemptFacts;
    use super::*;
    use crate::clock::Micros;

    #[test]
    fn the_message_says_all_there_is_and_sorts_by_its_time() {
        let id = Uuid::from_u128(7);
        let metadata = EventMetadata {
            task_uuid: Some(id),
            step_uuid: Some(id),
            step_name: Some("charge".into()),
            namespace: "shop".into(),
            correlation_id: Some(id),
            fired_at: Micros(1_700_000_000_000_042),
            fired_by: "worker \"1\"".into(),
        };
        let step = AttemptFacts {
            task_name: "order".into(),
            step_name: "charge".into(),
            attempt: 2,
            context: Arc::from(r#"{"order_id":7}"#),
        };
        let payload = DomainEventPayload {
            task_sequence_step: Some(step),
            execution_result: Some(Ok(Arc::from(r#"{"paid":true}"#))),
            payload: Arc::from("[1]"),
        };
        let event = DomainEvent::new(id, "payment.processed".into(), payload, metadata.clone());
        let told: Value = serde_json::from_str(event.message()).unwrap();
        let wanted = json!({
            "event_id": id, "event_name": "payment.processed", "event_version": "1.0",
            "payload": {
                "task_sequence_step": {"task_name": "order", "step_name": "charge", "attempt": 2, "context": {"order_id": 7}},
                "execution_result": {"success": true, "result": {"paid": true}}, "payload": [1],
            },
            "metadata": {
                "task_uuid": id, "step_uuid": id, "step_name": "charge", "namespace": "shop", "correlation_id": id,
                "fired_at": "2023-11-14T22:13:20.000042Z", "fired_by": "worker \"1\"",
            },
        });
        assert_eq!(told, wanted);
        let bare = DomainEventPayload { payload: Arc::from("null"), ..DomainEventPayload::default() };
        let nobody =
            EventMetadata { task_uuid: None, step_uuid: None, step_name: None, correlation_id: None, ..metadata };
        let told: Value = serde_json::from_str(DomainEvent::new(id, "a.b".into(), bare, nobody).message()).unwrap();
        assert_eq!(told["payload"], json!({"task_sequence_step": null, "execution_result": null, "payload": null}));
        assert_eq!(told["metadata"]["task_uuid"], Value::Null);
    }
}
