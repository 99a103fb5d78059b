//! Owns: which spans a committed transaction leaves, with which ids, parents, times and attributes.
//! `docs/internals/spans.md` is the contract. Refuses: inventing times: every one of them is a transition's
//! or a completion's.
//!
//! A span is recorded when it is over, from ids that were fixed when it began and are in the store:
//! so a process that finds an abandoned attempt can still close its span, and the root is recorded by
//! whoever ends the task.

use std::sync::Arc;

use super::attempts::{Attempts, CompletionTrace, Stale};
use crate::clock::Micros;
use crate::graph::{EndedAttempt, Graph, StepTransition, TaskTransition};
use crate::ids;
use crate::state::{StepState, TaskState};
use crate::step::StepError;
use crate::telemetry::sampling;
use crate::telemetry::spans::{SpanEvent, SpanKind, SpanRecord, Value};

/// Appends the spans of what happened to `graph` in one transaction.
pub(super) fn spans(graph: &Graph, attempts: &Attempts, spans: &mut Vec<SpanRecord>) {
    if !graph.task.trace.sampled {
        return failures(graph, attempts, spans);
    }
    for transition in &graph.task_transitions {
        task_transition(graph, transition, spans);
    }
    let share = sampling::steps(&graph.task.template.namespace);
    for transition in &graph.step_transitions {
        if !share.keeps(graph.steps[transition.position].step_uuid) {
            failed_attempt(graph, transition, attempts, spans);
            continue;
        }
        match &transition.ended {
            Some(ended) if attempts.was_begun(ended.token) => attempt(graph, transition, ended, attempts, spans),
            // What no handler has seen is no execution: only the step has moved.
            Some(ended) => {
                step_move(graph, transition, StepState::Enqueued, StepState::InProgress, ended.claimed_at, spans);
                step_move(graph, transition, transition.from, transition.to, transition.at, spans);
            }
            // A claim is told of when its attempt is over.
            None if transition.to == StepState::InProgress => {}
            None => step_move(graph, transition, transition.from, transition.to, transition.at, spans),
        }
    }
    if graph.root_ended {
        spans.push(root(graph));
    }
}

/// What a task leaves that was sampled out: errors are always kept. Each attempt that failed (the handler
/// raised, it timed out, its worker died) leaves its `worker.step_execution` and `handler.execution`; the
/// end of a task that failed, or in which an attempt had failed, leaves `task.orchestration`, so that these
/// have their parent. All of them carry `sampled_out` = true. Nothing else of the task is exported: not
/// its transitions, not the attempts that went well, not spans that handlers opened. The flags that travel
/// on in `traceparent` stay 00: the services a handler calls do not record either.
fn failures(graph: &Graph, attempts: &Attempts, spans: &mut Vec<SpanRecord>) {
    for transition in &graph.step_transitions {
        failed_attempt(graph, transition, attempts, spans);
    }
    let failed_before = || graph.steps.iter().any(|step| step.attempts > 1 || step.error.is_some());
    if graph.root_ended && (graph.task.state == TaskState::Error || failed_before()) {
        spans.push(sampled_out(root(graph)));
    }
}

/// What an attempt leaves that was sampled out, with its task or alone: when it failed.
fn failed_attempt(graph: &Graph, transition: &StepTransition, attempts: &Attempts, spans: &mut Vec<SpanRecord>) {
    let Some(ended) = transition.ended.as_ref().filter(|ended| ended.error.is_some()) else { return };
    let mut whole = Vec::new();
    attempt(graph, transition, ended, attempts, &mut whole);
    let kept = whole.into_iter().filter(|span| matches!(span.name, "worker.step_execution" | "handler.execution"));
    spans.extend(kept.map(sampled_out));
}

fn sampled_out(mut span: SpanRecord) -> SpanRecord {
    span.attributes.push(("sampled_out", Value::Bool(true)));
    span
}

fn span(graph: &Graph, name: &'static str, span_id: u64, parent: u64, start: Micros, end: Micros) -> SpanRecord {
    let start = start.max(graph.task.created_at);
    SpanRecord {
        name,
        trace_id: graph.task.trace.trace_id,
        span_id,
        parent_span_id: Some(parent),
        parent_is_remote: false,
        kind: SpanKind::Internal,
        start,
        end: end.max(start),
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        error: None,
    }
}

fn event(name: &'static str, at: Micros) -> SpanEvent {
    SpanEvent { name, at, attributes: Vec::new() }
}

fn root(graph: &Graph) -> SpanRecord {
    let task = &graph.task;
    let mut record = span(graph, "task.orchestration", task.trace.root_span_id, 0, task.created_at, task.state_since);
    record.parent_span_id = task.trace.parent_span_id;
    record.parent_is_remote = task.trace.parent_span_id.is_some();
    record.attributes = vec![
        ("correlation_id", Value::Uuid(task.correlation_id)),
        ("task_uuid", Value::Uuid(task.task_uuid)),
        ("namespace", Value::Shared(Arc::clone(&task.template.namespace))),
        ("task_name", Value::Shared(Arc::clone(&task.template.name))),
        ("task_version", Value::Shared(Arc::clone(&task.template.version))),
        ("priority", Value::I64(task.priority.into())),
        ("state", Value::Static(task.state.as_str())),
        ("total_steps", Value::I64(graph.steps.len() as i64)),
    ];
    if let Some(parent) = task.parent_correlation_id {
        record.attributes.push(("parent_correlation_id", Value::Uuid(parent)));
    }
    if task.state == TaskState::Error {
        record.error = Some("a step failed for good".into());
    }
    record
}

fn task_transition(graph: &Graph, transition: &TaskTransition, spans: &mut Vec<SpanRecord>) {
    let task = &graph.task;
    let (start, end) = (transition.began, transition.at);
    let id = ids::span_id();
    let mut record = span(graph, "task.state_transition", id, task.trace.root_span_id, start, end);
    record.attributes = vec![
        ("correlation_id", Value::Uuid(task.correlation_id)),
        ("task_uuid", Value::Uuid(task.task_uuid)),
        ("namespace", Value::Shared(Arc::clone(&task.template.namespace))),
        ("from_state", Value::Static(transition.from.as_str())),
        ("to_state", Value::Static(transition.to.as_str())),
        ("duration_ms", Value::F64(transition.duration_ms)),
    ];
    spans.push(record);
    let work = match (transition.from, transition.to) {
        (_, TaskState::EnqueuingSteps) => "step.discovery",
        (TaskState::EnqueuingSteps, TaskState::StepsInProcess) => "step.enqueuing",
        (_, TaskState::EvaluatingResults) => "result.evaluation",
        (_, to) if to.is_final() => "task.finalization",
        _ => return,
    };
    let mut record = span(graph, work, ids::span_id(), id, start, end);
    record.attributes = vec![
        ("correlation_id", Value::Uuid(task.correlation_id)),
        ("task_uuid", Value::Uuid(task.task_uuid)),
        ("namespace", Value::Shared(Arc::clone(&task.template.namespace))),
        ("step_count", Value::I64(transition.steps as i64)),
    ];
    spans.push(record);
}

/// The attributes every span of a step carries.
fn step_attributes(graph: &Graph, transition: &StepTransition) -> Vec<(&'static str, Value)> {
    let template = &graph.task.template.steps[transition.position];
    let mut attributes = Vec::with_capacity(12);
    attributes.extend([
        ("correlation_id", Value::Uuid(graph.task.correlation_id)),
        ("task_uuid", Value::Uuid(graph.task.task_uuid)),
        ("step_uuid", Value::Uuid(graph.steps[transition.position].step_uuid)),
        ("step_name", Value::Shared(Arc::clone(&template.name))),
        ("namespace", Value::Shared(Arc::clone(&graph.task.template.namespace))),
        ("handler_name", Value::Shared(Arc::clone(&template.handler))),
    ]);
    attributes
}

/// A move that neither begins nor ends an execution.
fn step_move(
    graph: &Graph,
    transition: &StepTransition,
    from: StepState,
    to: StepState,
    at: Micros,
    spans: &mut Vec<SpanRecord>,
) {
    let mut record = step_transition(graph, transition, graph.task.trace.root_span_id, at, at);
    states(&mut record, from.as_str(), to.as_str());
    spans.push(record);
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

fn attempt(
    graph: &Graph,
    transition: &StepTransition,
    ended: &EndedAttempt,
    attempts: &Attempts,
    spans: &mut Vec<SpanRecord>,
) {
    let Some(span_id) = ended.token else { return };
    let completion = attempts.completion(ended.token);
    let (start, end) = (ended.claimed_at, transition.at);
    let mut record = span(graph, "worker.step_execution", span_id, graph.task.trace.root_span_id, start, end);
    record.attributes = step_attributes(graph, transition);
    record.attributes.extend([
        ("attempt_number", Value::I64(transition.attempt.into())),
        ("max_attempts", Value::I64(graph.steps[transition.position].max_attempts.into())),
    ]);
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
    spans.push(record);
    let dispatched_at = completion.map_or(start, |completion| completion.dispatched_at);
    let mut claim = step_transition(graph, transition, span_id, start, dispatched_at.clamp(start, end));
    states(&mut claim, "enqueued", "in_progress");
    spans.push(claim);
    match completion {
        Some(completion) => handler(graph, transition, ended, completion, span_id, spans),
        None => lost_handler(graph, transition, ended, failure, span_id, spans),
    }
    let received_at = completion.map_or(end, |completion| completion.received_at);
    let mut settled = step_transition(graph, transition, span_id, received_at.clamp(start, end), end);
    states(&mut settled, transition.from.as_str(), transition.to.as_str());
    spans.push(settled);
}

fn step_transition(graph: &Graph, transition: &StepTransition, attempt: u64, start: Micros, end: Micros) -> SpanRecord {
    let mut record = span(graph, "step.state_transition", ids::span_id(), attempt, start, end);
    record.attributes = step_attributes(graph, transition);
    record
}

/// The handler's span of an attempt that brought nothing back. The spans that the handler opened may have
/// been exported before it was lost, so their parent must not be missing. How long it ran is not known,
/// nor, when it was another process's, whether it had begun: the span is as long as the attempt, and says so
/// with `handler.outcome_unknown`.
fn lost_handler(
    graph: &Graph,
    transition: &StepTransition,
    ended: &EndedAttempt,
    failure: Option<String>,
    span_id: u64,
    spans: &mut Vec<SpanRecord>,
) {
    let (start, end) = (ended.claimed_at, transition.at);
    let mut record = handler_span(graph, transition, span_id, start, end);
    record.attributes.push(("handler.outcome_unknown", Value::Bool(true)));
    record.error = failure;
    spans.push(record);
}

fn handler_span(graph: &Graph, transition: &StepTransition, attempt: u64, start: Micros, end: Micros) -> SpanRecord {
    let mut record = span(graph, "handler.execution", ids::handler_span_id(attempt), attempt, start, end);
    record.attributes = step_attributes(graph, transition);
    record.attributes.push(("attempt_number", Value::I64(transition.attempt.into())));
    record
}

fn handler(
    graph: &Graph,
    transition: &StepTransition,
    ended: &EndedAttempt,
    completion: &CompletionTrace,
    span_id: u64,
    spans: &mut Vec<SpanRecord>,
) {
    let (start, end) = (ended.claimed_at, transition.at);
    let root = graph.task.trace.root_span_id;
    let received_at = completion.received_at.clamp(start, end);
    let success = ended.error.is_none();
    let mut submitted_from = received_at;
    if let Some((began, done)) = completion.handler {
        // The handler thread reads the same clock in another place: keep it within the attempt.
        let (began, done) = (began.clamp(start, end), done.clamp(start, end));
        submitted_from = done;
        let mut record = handler_span(graph, transition, span_id, began, done);
        record.error = ended.error.as_ref().map(|error| format!("{}: {}", error.class_name, error.shown()));
        record.events.extend(ended.error.as_ref().map(|error| exception(error, done)));
        spans.push(record);
    }
    let mut submission = span(graph, "result.submission", ids::span_id(), span_id, submitted_from, end);
    submission.attributes = step_attributes(graph, transition);
    submission.attributes.push(("success", Value::Bool(success)));
    spans.push(submission);

    let mut received = span(graph, "worker.step_completion_received", ids::span_id(), root, received_at, end);
    received.attributes = step_attributes(graph, transition);
    received.attributes.push(("event_id", Value::Uuid(completion.event_id)));
    received.attributes.push(("success", Value::Bool(success)));
    if let Some((trace_id, span_id)) = completion.handed_back {
        received.attributes.push(("trace_id", Value::String(format!("{trace_id:032x}"))));
        received.attributes.push(("span_id", Value::String(format!("{span_id:016x}"))));
        received.links.push((trace_id, span_id));
    }
    let mut completed = event("step.ruby_execution_completed", received_at);
    completed.attributes.push(("success", Value::Bool(success)));
    if let Some(duration_ms) = completion.execution_time_ms {
        completed.attributes.push(("duration_ms", Value::F64(duration_ms)));
    }
    received.events.push(completed);
    spans.push(received);
}

fn states(record: &mut SpanRecord, from: &'static str, to: &'static str) {
    record.attributes.push(("from_state", Value::Static(from)));
    record.attributes.push(("to_state", Value::Static(to)));
}

/// The span of a result that was refused: its attempt was no longer current. What is known of it came back with it. It hangs
/// on the attempt, and begins after that has ended.
pub(super) fn stale(refused: &Stale) -> Option<SpanRecord> {
    // Whether its trace is exported was decided by its id, and whether its step's spans are, by the step's.
    let step = sampling::steps_of_any_namespace().keeps(refused.step_uuid);
    let sampled = |(trace_id, _): &(u128, u64)| step && sampling::decide(None, *trace_id, None);
    let (trace_id, span_id) = refused.handed_back.filter(sampled)?;
    let at = refused.received_at;
    let mut completed = event("step.ruby_execution_completed", at);
    completed.attributes.push(("success", Value::Bool(refused.success)));
    Some(SpanRecord {
        name: "worker.stale_completion_received",
        trace_id,
        span_id: ids::span_id(),
        parent_span_id: Some(span_id),
        parent_is_remote: false,
        kind: SpanKind::Internal,
        start: at,
        end: at,
        attributes: vec![
            ("task_uuid", Value::Uuid(refused.task_uuid)),
            ("step_uuid", Value::Uuid(refused.step_uuid)),
            ("event_id", Value::Uuid(refused.event_id)),
            ("success", Value::Bool(refused.success)),
        ],
        events: vec![completed],
        links: Vec::new(),
        error: Some("the attempt was no longer current: its result is refused".into()),
    })
}
