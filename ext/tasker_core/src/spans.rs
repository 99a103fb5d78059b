//! Owns: showing Ruby the spans this process recorded lately. Refuses: making spans.

use magnus::{function, Error, Object, RModule, Ruby};
use serde_json::{json, Map, Value as Json};
use tasker_engine::error::Error as EngineError;
use tasker_telemetry::record::spans::{Attributes, OwnName, SpanRecord, Value};
use tasker_telemetry::record::tap;

use crate::errors::guard;

/// Starts keeping spans, or stops and forgets them.
fn capture_spans(ruby: &Ruby, on: bool) -> Result<(), Error> {
    guard(ruby, || {
        tap::capture(on);
        Ok(())
    })
}

/// The kept spans as a JSON array, in the order they ended.
fn captured_spans(ruby: &Ruby) -> Result<String, Error> {
    guard(ruby, || {
        let spans: Vec<Json> = tap::captured().iter().map(span).collect();
        Ok(serde_json::to_string(&spans).map_err(|error| EngineError::Internal(format!("spans: {error}")))?)
    })
}

fn span(span: &SpanRecord<OwnName>) -> Json {
    let events = span
        .events
        .iter()
        .map(|event| json!({ "name": event.name, "at_us": event.at.0, "attributes": attributes(&event.attributes) }));
    let links = span.links.iter().map(
        |(trace_id, span_id)| json!({ "trace_id": format!("{trace_id:032x}"), "span_id": format!("{span_id:016x}") }),
    );
    json!({
        "name": span.name,
        "trace_id": format!("{:032x}", span.trace_id),
        "span_id": format!("{:016x}", span.span_id),
        "parent_span_id": span.parent_span_id.map(|id| format!("{id:016x}")),
        "start_us": span.start.0,
        "end_us": span.end.0,
        "attributes": attributes(&span.attributes),
        "events": events.collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
        "error": span.error,
    })
}

fn attributes(attributes: &Attributes<OwnName>) -> Map<String, Json> {
    let value = |value: &Value| match value {
        Value::Static(text) => json!(text),
        Value::Shared(text) => json!(&**text),
        Value::String(text) | Value::Json(text) => json!(text),
        Value::Uuid(uuid) => json!(uuid.to_string()),
        Value::TraceId(id) => json!(id.simple().to_string()),
        Value::SpanId(id) => json!(format!("{id:016x}")),
        Value::I64(number) => json!(number),
        Value::F64(number) => json!(number),
        Value::Bool(truth) => json!(truth),
        Value::Null => Json::Null,
    };
    attributes.iter().map(|(key, held)| (key.clone().into_owned(), value(held))).collect()
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("capture_spans", function!(capture_spans, 1))?;
    native.define_singleton_method("captured_spans", function!(captured_spans, 0))
}
