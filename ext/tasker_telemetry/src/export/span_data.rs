//! Owns: the engine's spans as the SDK's exporters take them. Refuses: to copy text that is shared or static.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind as SdkKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value as SdkValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::record::spans::{OwnName, SpanKind, SpanRecord, Value};
use crate::time::Micros;

/// What a span takes in a request besides its text, about.
const FIXED: usize = 100;

/// The span as the SDK has it.
pub(super) fn convert(record: SpanRecord<OwnName>, scope: &InstrumentationScope) -> SpanData {
    let common = record.common.iter().flat_map(|common| common.iter().cloned());
    let mut events = SpanEvents::default();
    events.events = record
        .events
        .into_iter()
        .map(|event| Event::new(event.name, time(event.at), attributes(event.attributes), 0))
        .collect();
    let mut links = SpanLinks::default();
    links.links =
        record.links.into_iter().map(|(trace_id, span_id)| Link::with_context(context(trace_id, span_id))).collect();
    SpanData {
        span_context: context(record.trace_id, record.span_id),
        parent_span_id: record.parent_span_id.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: record.parent_is_remote,
        span_kind: kind(record.kind),
        name: record.name,
        start_time: time(record.start),
        end_time: time(record.end),
        attributes: attributes(common.chain(record.attributes)),
        dropped_attributes_count: 0,
        events,
        links,
        status: record.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope.clone(),
    }
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
fn attributes(attributes: impl IntoIterator<Item = (OwnName, Value)>) -> Vec<KeyValue> {
    attributes.into_iter().filter_map(|(key, given)| Some(KeyValue::new(key, value(given)?))).collect()
}

fn value(value: Value) -> Option<SdkValue> {
    Some(match value {
        Value::Static(text) => text.into(),
        Value::Shared(text) => text.into(),
        Value::String(text) | Value::Json(text) => text.into(),
        Value::Uuid(id) => id.hyphenated().to_string().into(),
        Value::TraceId(id) => id.simple().to_string().into(),
        Value::SpanId(id) => format!("{id:016x}").into(),
        Value::I64(number) => number.into(),
        Value::F64(number) => number.into(),
        Value::Bool(truth) => truth.into(),
        Value::Null => return None,
    })
}

/// How many bytes a span will take in a request, about.
pub(super) fn size(span: &SpanData) -> usize {
    let of = |attributes: &[KeyValue]| {
        attributes.iter().map(|each| each.key.as_str().len() + each.value.as_str().len() + 8).sum::<usize>()
    };
    let events = span.events.iter().map(|event| event.name.len() + of(&event.attributes) + 16).sum::<usize>();
    FIXED + of(&span.attributes) + events + span.links.len() * 34
}
