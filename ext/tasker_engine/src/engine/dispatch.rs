//! Owns: turning a claim into the event a handler thread gets.

use std::sync::Arc;

use super::claims::Claimed;
use super::in_flight::{AttemptInputs, InFlight};
use crate::channel::StepEvent;
use crate::clock::Micros;
use crate::graph::Graph;
use crate::ids::{self, Dice};
use crate::store::Claim;
use tasker_telemetry::record::context::TraceContext;
use tasker_telemetry::record::sampling;

/// The event for a claimed step of `graph`, and what the worker remembers of it.
pub(super) fn event(graph: &Graph, claimed: Claimed, now: Micros, dice: &mut Dice) -> (StepEvent, InFlight) {
    let task = &graph.task;
    let step = &graph.steps[claimed.position];
    let template = &task.template.steps[claimed.position];
    let span_id = step.span_id.unwrap_or_default();
    // What the handler does is below its step's spans: kept or dropped with them.
    let sampled = task.trace.sampled && sampling::steps(&task.template.namespace).keeps(step.step_uuid);
    let attempt = TraceContext { trace_id: task.trace.trace_id, span_id, sampled };
    let handler = TraceContext { span_id: ids::handler_span_id(span_id), ..attempt };
    let inputs = (!template.publishes_events.is_empty()).then(|| AttemptInputs::of(template, &claimed.inputs));
    let event = StepEvent {
        event_id: dice.uuid_v7(now),
        task_uuid: task.task_uuid,
        step_uuid: step.step_uuid,
        correlation_id: task.correlation_id,
        parent_correlation_id: task.parent_correlation_id,
        namespace: Arc::clone(&task.template.namespace),
        task_name: Arc::clone(&task.template.name),
        step_name: Arc::clone(&template.name),
        handler: Arc::clone(&template.handler),
        attempt: step.attempts,
        max_attempts: step.max_attempts,
        timeout_seconds: template.timeout_seconds,
        context: claimed.inputs.context,
        dependency_results: claimed.inputs.dependency_results,
        config: Arc::clone(&template.config),
        publishers: template.publishers.clone(),
        trace_id: Some(attempt.trace_id_hex()),
        span_id: Some(attempt.span_id_hex()),
        traceparent: Some(handler.to_traceparent()),
        dispatched_at: now,
        claimed_ahead: claimed.ahead.then_some(span_id),
    };
    let in_flight = InFlight {
        claim: Claim { task_id: task.id, position: claimed.position, token: span_id },
        attempt: step.attempts,
        ahead: claimed.ahead,
        ending: false,
        timeout_seconds: template.timeout_seconds,
        dispatched_at: now,
        inputs,
    };
    (event, in_flight)
}
