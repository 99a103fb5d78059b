//! Owns: the spans of an event's publication: `publish_domain_event`, with `route_event` and what that led to below it.
//! `docs/internals/spans.md` is the contract.

use std::sync::Arc;

use super::bus::Delivered;
use crate::clock::Micros;
use crate::event::{DomainEvent, EventTrace};
use crate::ids;
use tasker_telemetry::record::spans::{Attributes, SpanKind, SpanRecord, Value};

/// Appends the spans of an event that was fired, committed, and on its way by `now`.
pub(super) fn spans(
    event: &DomainEvent,
    delivered: Delivered,
    committed: Micros,
    now: Micros,
    spans: &mut Vec<SpanRecord>,
) {
    let Some(trace) = event.trace.filter(|trace| trace.sampled) else { return };
    let fired = event.metadata.fired_at;
    let common = Arc::new(common(event));
    let mode = || ("delivery_mode", Value::Static(event.delivery_mode.as_str()));
    let mut add = |name, span_id, parent: Option<u64>, (start, end): (Micros, Micros), attributes| {
        let start = start.max(fired);
        let common = Some(Arc::clone(&common));
        spans.push(SpanRecord { common, attributes, ..blank(trace, name, span_id, parent, start, end.max(start)) });
        span_id
    };
    let end = now.max(committed);
    let root = add("publish_domain_event", trace.span_id, trace.parent_span_id, (fired, end), {
        vec![
            ("event_name", Value::Shared(Arc::clone(&event.event_name))),
            ("event_id", Value::Uuid(event.event_id)),
            ("namespace", Value::Shared(Arc::clone(&event.metadata.namespace))),
            mode(),
        ]
    });
    let (durable, fast) = (event.delivery_mode.is_durable(), event.delivery_mode.is_fast());
    let mut attributes = vec![mode()];
    if durable {
        attributes.push(("target_queue", Value::String(event.queue())));
    }
    let route = add("route_event", ids::span_id(), Some(root), (fired, end), attributes);
    if durable {
        let size = i64::try_from(event.message().len()).unwrap_or(i64::MAX);
        let attributes = vec![("queue_name", Value::String(event.queue())), ("message_size", Value::I64(size))];
        add("publish_durable", ids::span_id(), Some(route), (fired, committed), attributes);
    }
    if fast {
        let reached = i64::try_from(delivered.to_rust + delivered.to_ffi).unwrap_or(i64::MAX);
        let attributes = vec![("subscriber_count", Value::I64(reached))];
        add("publish_fast", ids::span_id(), Some(route), (committed, end), attributes);
    }
    add("record_metrics", ids::span_id(), Some(root), (end, end), Vec::new());
}

/// What all of them say.
fn common(event: &DomainEvent) -> Attributes {
    let metadata = &event.metadata;
    let ids = [
        ("correlation_id", metadata.correlation_id),
        ("task_uuid", metadata.task_uuid),
        ("step_uuid", metadata.step_uuid),
    ];
    ids.into_iter().filter_map(|(name, id)| Some((name, Value::Uuid(id?)))).collect()
}

fn blank(
    trace: EventTrace,
    name: &'static str,
    span_id: u64,
    parent_span_id: Option<u64>,
    start: Micros,
    end: Micros,
) -> SpanRecord {
    SpanRecord {
        name,
        trace_id: trace.trace_id,
        span_id,
        parent_span_id,
        parent_is_remote: false,
        kind: SpanKind::Internal,
        start,
        end,
        common: None,
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        error: None,
    }
}
