//! Owns: the engine's spans as the SDK's exporters take them. Refuses: to copy text that is shared or static.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind as SdkKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, Key, KeyValue, Value as SdkValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::spans::{Attributes, SpanKind, SpanRecord, Value};
use crate::clock::Micros;

/// What a span takes in a request besides its text, about.
const FIXED: usize = 100;

/// The span, and how many bytes it will take, about.
pub(super) fn convert<K: Into<Key> + AsRef<str>>(
    record: SpanRecord<K>,
    scope: &InstrumentationScope,
) -> (SpanData, usize) {
    let size = size(&record);
    let mut events = SpanEvents::default();
    events.events = record
        .events
        .into_iter()
        .map(|event| Event::new(event.name.into().to_string(), time(event.at), attributes(event.attributes), 0))
        .collect();
    let mut links = SpanLinks::default();
    links.links =
        record.links.into_iter().map(|(trace_id, span_id)| Link::with_context(context(trace_id, span_id))).collect();
    let span = SpanData {
        span_context: context(record.trace_id, record.span_id),
        parent_span_id: record.parent_span_id.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: record.parent_is_remote,
        span_kind: kind(record.kind),
        name: record.name.into().to_string().into(),
        start_time: time(record.start),
        end_time: time(record.end),
        attributes: attributes(record.attributes),
        dropped_attributes_count: 0,
        events,
        links,
        status: record.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope.clone(),
    };
    (span, size)
}

fn context(trace_id: u128, span_id: u64) -> SpanContext {
    SpanContext::new(TraceId::from(trace_id), SpanId::from(span_id), TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn time(at: Micros) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.0).unwrap_or(0))
}

fn kind(kind: SpanKind) -> SdkKind {
    match kind {
        SpanKind::Internal => SdkKind::Internal,
        SpanKind::Server => SdkKind::Server,
        SpanKind::Client => SdkKind::Client,
        SpanKind::Producer => SdkKind::Producer,
        SpanKind::Consumer => SdkKind::Consumer,
    }
}

/// What is known to be nothing is left out: OpenTelemetry has no value for it.
fn attributes<K: Into<Key>>(attributes: Attributes<K>) -> Vec<KeyValue> {
    attributes.into_iter().filter_map(|(key, given)| Some(KeyValue::new(key, value(given)?))).collect()
}

fn value(value: Value) -> Option<SdkValue> {
    Some(match value {
        Value::Static(text) => text.into(),
        Value::Shared(text) => text.into(),
        Value::String(text) | Value::Json(text) => text.into(),
        Value::Uuid(id) => id.hyphenated().to_string().into(),
        Value::I64(number) => number.into(),
        Value::F64(number) => number.into(),
        Value::Bool(truth) => truth.into(),
        Value::Null => return None,
    })
}

fn size<K: AsRef<str>>(record: &SpanRecord<K>) -> usize {
    let of = |attributes: &Attributes<K>| {
        attributes.iter().map(|(key, value)| key.as_ref().len() + text(value) + 8).sum::<usize>()
    };
    let events =
        record.events.iter().map(|event| event.name.as_ref().len() + of(&event.attributes) + 16).sum::<usize>();
    FIXED + of(&record.attributes) + events + record.links.len() * 34 + record.error.as_deref().map_or(0, str::len)
}

/// How many bytes a span of the SDK's will take, about.
pub(super) fn size_of(span: &SpanData) -> usize {
    let of = |attributes: &[KeyValue]| {
        attributes.iter().map(|each| each.key.as_str().len() + each.value.as_str().len() + 8).sum::<usize>()
    };
    let events = span.events.iter().map(|event| event.name.len() + of(&event.attributes) + 16).sum::<usize>();
    FIXED + of(&span.attributes) + events + span.links.len() * 34
}

fn text(value: &Value) -> usize {
    match value {
        Value::Static(text) => text.len(),
        Value::Shared(text) => text.len(),
        Value::String(text) | Value::Json(text) => text.len(),
        Value::Uuid(_) => 36,
        _ => 8,
    }
}
