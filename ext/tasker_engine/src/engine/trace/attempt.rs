//! Owns: the spans of an attempt that has ended: the step's execution, its handler's, and what came back.

use std::sync::Arc;

use uuid::Uuid;

use super::{event, Builder};
use crate::clock::Micros;
use crate::engine::in_flight::CompletionTrace;
use crate::graph::{EndedAttempt, StepTransition};
use crate::ids;
use crate::state::StepState;
use crate::step::StepError;
use tasker_telemetry::record::spans::{SpanEvent, SpanRecord, Value};

impl Builder<'_> {
    pub(super) fn attempt(&mut self, transition: &StepTransition, ended: &EndedAttempt) {
        let Some(span_id) = ended.token else { return };
        let completion = self.attempts.completion(ended.token);
        let (start, end) = (ended.claimed_at, transition.at);
        let root = self.graph.task.trace.root_span_id;
        let mut record = self.span("worker.step_execution", span_id, root, start, end);
        record.common = Some(self.step_attributes(transition.position));
        record.attributes = vec![
            ("attempt_number", Value::I64(transition.attempt.into())),
            ("max_attempts", Value::I64(self.graph.steps[transition.position].max_attempts.into())),
        ];
        if let Some(worker_id) = &transition.worker_id {
            record.attributes.push(("worker_id", Value::Shared(Arc::clone(worker_id))));
        }
        record.events = vec![event("step.execution_started", start), event("step.execution_completed", end)];
        record.error = match (&ended.error, transition.reason) {
            (Some(error), _) => Some(format!("{}: {}", error.class_name, error.shown())),
            (None, Some("released")) => Some("the worker stopped before the handler was done".into()),
            (None, _) if completion.is_none() => Some(format!("the step became {}", transition.to)),
            (None, _) => None,
        };
        if let Some(error) = &ended.error {
            record.attributes.push(("error.type", Value::String(error.class_name.clone())));
            record.events.push(exception(error, end));
        }
        let failure = record.error.clone();
        self.spans.push(record);
        let dispatched_at = completion.map_or(start, |completion| completion.dispatched_at).clamp(start, end);
        let claimed = (StepState::Enqueued, StepState::InProgress);
        let claim = self.step_transition(transition, span_id, start, dispatched_at, claimed);
        self.spans.push(claim);
        match completion {
            Some(completion) => self.handler(transition, ended, completion, span_id),
            None => self.lost_handler(transition, ended, failure, span_id),
        }
        let received_at = completion.map_or(end, |completion| completion.received_at).clamp(start, end);
        let settled = (transition.from, transition.to);
        let settled = self.step_transition(transition, span_id, received_at, end, settled);
        self.spans.push(settled);
    }

    /// The handler's span of an attempt that brought nothing back. The spans that the handler opened may have
    /// been exported before it was lost, so their parent must not be missing. How long it ran is not known,
    /// nor, when it was another process's, whether it had begun: the span is as long as the attempt, and says so
    /// with `handler.outcome_unknown`.
    fn lost_handler(
        &mut self,
        transition: &StepTransition,
        ended: &EndedAttempt,
        failure: Option<String>,
        span_id: u64,
    ) {
        let mut record = self.handler_span(transition, span_id, ended.claimed_at, transition.at);
        record.attributes.push(("handler.outcome_unknown", Value::Bool(true)));
        record.error = failure;
        self.spans.push(record);
    }

    fn handler_span(&mut self, transition: &StepTransition, attempt: u64, start: Micros, end: Micros) -> SpanRecord {
        let mut record = self.span("handler.execution", ids::handler_span_id(attempt), attempt, start, end);
        record.common = Some(self.step_attributes(transition.position));
        record.attributes = vec![("attempt_number", Value::I64(transition.attempt.into()))];
        record
    }

    fn handler(
        &mut self,
        transition: &StepTransition,
        ended: &EndedAttempt,
        completion: &CompletionTrace,
        span_id: u64,
    ) {
        let (start, end) = (ended.claimed_at, transition.at);
        let root = self.graph.task.trace.root_span_id;
        let received_at = completion.received_at.clamp(start, end);
        let success = ended.error.is_none();
        let mut submitted_from = received_at;
        if let Some((began, done)) = completion.handler {
            // The handler thread reads the same clock in another place: keep it within the attempt.
            let (began, done) = (began.clamp(start, end), done.clamp(start, end));
            submitted_from = done;
            let mut record = self.handler_span(transition, span_id, began, done);
            record.error = ended.error.as_ref().map(|error| format!("{}: {}", error.class_name, error.shown()));
            record.events.extend(ended.error.as_ref().map(|error| exception(error, done)));
            self.spans.push(record);
        }
        let common = self.step_attributes(transition.position);
        let id = self.dice.span_id();
        let mut submission = self.span("result.submission", id, span_id, submitted_from, end);
        submission.common = Some(Arc::clone(&common));
        submission.attributes = vec![("success", Value::Bool(success))];
        self.spans.push(submission);

        let id = self.dice.span_id();
        let mut received = self.span("worker.step_completion_received", id, root, received_at, end);
        received.common = Some(common);
        received.attributes = Vec::with_capacity(4);
        received.attributes.push(("event_id", Value::Uuid(completion.event_id)));
        received.attributes.push(("success", Value::Bool(success)));
        if let Some((trace_id, span_id)) = completion.handed_back {
            received.attributes.push(("trace_id", Value::TraceId(Uuid::from_u128(trace_id))));
            received.attributes.push(("span_id", Value::SpanId(span_id)));
            received.links.push((trace_id, span_id));
        }
        let mut completed = event("step.ruby_execution_completed", received_at);
        completed.attributes.push(("success", Value::Bool(success)));
        if let Some(duration_ms) = completion.execution_time_ms {
            completed.attributes.push(("duration_ms", Value::F64(duration_ms)));
        }
        received.events.push(completed);
        self.spans.push(received);
    }
}

/// An exception as OpenTelemetry's conventions have it.
fn exception(error: &StepError, at: Micros) -> SpanEvent {
    let mut event = event("exception", at);
    event.attributes = vec![
        ("exception.type", Value::String(error.class_name.clone())),
        ("exception.message", Value::String(error.shown().to_owned())),
    ];
    if !error.backtrace.is_empty() {
        event.attributes.push(("exception.stacktrace", Value::String(error.backtrace.join("\n"))));
    }
    event
}
