//! Owns: which spans a committed transaction leaves, with which ids, parents, times and attributes.
//! `docs/internals/spans.md` is the contract. Refuses: inventing times: every one of them is a transition's
//! or a completion's.
//!
//! A span is recorded when it is over, from ids that were fixed when it began and are in the store:
//! so a process that finds an abandoned attempt can still close its span, and the root is recorded by
//! whoever ends the task.

mod attempt;

use std::sync::Arc;

use super::attempts::{Attempts, Stale};
use crate::clock::Micros;
use crate::graph::{Graph, StepTransition, TaskTransition};
use crate::ids::{self, Dice};
use crate::state::{StepState, TaskState};
use tasker_telemetry::record::sampling;
use tasker_telemetry::record::spans::{Attributes, SpanEvent, SpanKind, SpanRecord, Value};

/// Appends the spans of what happened to `graph` in one transaction.
pub(super) fn spans(graph: &Graph, attempts: &Attempts, dice: &mut Dice, spans: &mut Vec<SpanRecord>) {
    let mut builder = Builder { graph, attempts, dice, spans, task: None, step: None };
    if !graph.task.trace.sampled {
        return builder.failures();
    }
    for transition in &graph.task_transitions {
        builder.task_transition(transition);
    }
    let share = sampling::steps(&graph.task.template.namespace);
    for transition in &graph.step_transitions {
        if !share.keeps(graph.steps[transition.position].step_uuid) {
            builder.failed_attempt(transition);
            continue;
        }
        match &transition.ended {
            Some(ended) if attempts.was_begun(ended.token) => builder.attempt(transition, ended),
            // What no handler has seen is no execution: only the step has moved.
            Some(ended) => {
                builder.step_move(transition, StepState::Enqueued, StepState::InProgress, ended.claimed_at);
                builder.step_move(transition, transition.from, transition.to, transition.at);
            }
            // A claim is told of when its attempt is over.
            None if transition.to == StepState::InProgress => {}
            None => builder.step_move(transition, transition.from, transition.to, transition.at),
        }
    }
    if graph.root_ended {
        builder.root();
    }
}

/// Builds the spans of one task. What several of them say alike is made once, and shared.
struct Builder<'a> {
    graph: &'a Graph,
    attempts: &'a Attempts,
    dice: &'a mut Dice,
    spans: &'a mut Vec<SpanRecord>,
    task: Option<Arc<Attributes>>,
    /// Of the step that was last written about.
    step: Option<(usize, Arc<Attributes>)>,
}

impl Builder<'_> {
    /// What a task leaves that was sampled out: errors are always kept. Each attempt that failed (the handler
    /// raised, it timed out, its worker died) leaves its `worker.step_execution` and `handler.execution`; the
    /// end of a task that failed, or in which an attempt had failed, leaves `task.orchestration`, so that these
    /// have their parent. All of them carry `sampled_out` = true. Nothing else of the task is exported: not
    /// its transitions, not the attempts that went well, not spans that handlers opened. The flags that travel
    /// on in `traceparent` stay 00: the services a handler calls do not record either.
    fn failures(&mut self) {
        let graph = self.graph;
        for transition in &graph.step_transitions {
            self.failed_attempt(transition);
        }
        let failed_before = || graph.steps.iter().any(|step| step.attempts > 1 || step.error.is_some());
        if graph.root_ended && (graph.task.state == TaskState::Error || failed_before()) {
            let first = self.spans.len();
            self.root();
            self.sampled_out(first);
        }
    }

    /// What an attempt leaves that was sampled out, with its task or with its step: when it failed.
    fn failed_attempt(&mut self, transition: &StepTransition) {
        let Some(ended) = transition.ended.as_ref().filter(|ended| ended.error.is_some()) else { return };
        let first = self.spans.len();
        self.attempt(transition, ended);
        let kept = |span: &SpanRecord| matches!(span.name, "worker.step_execution" | "handler.execution");
        let attempt = self.spans.split_off(first);
        self.spans.extend(attempt.into_iter().filter(kept));
        self.sampled_out(first);
    }

    fn sampled_out(&mut self, first: usize) {
        for span in &mut self.spans[first..] {
            span.attributes.push(("sampled_out", Value::Bool(true)));
        }
    }

    fn span(&self, name: &'static str, span_id: u64, parent: u64, start: Micros, end: Micros) -> SpanRecord {
        let task = &self.graph.task;
        let start = start.max(task.created_at);
        SpanRecord {
            name,
            trace_id: task.trace.trace_id,
            span_id,
            parent_span_id: Some(parent),
            parent_is_remote: false,
            kind: SpanKind::Internal,
            start,
            end: end.max(start),
            common: None,
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    /// The attributes every span of the task carries.
    fn task_attributes(&mut self) -> Arc<Attributes> {
        let task = &self.graph.task;
        let made = self.task.get_or_insert_with(|| {
            Arc::new(vec![
                ("correlation_id", Value::Uuid(task.correlation_id)),
                ("task_uuid", Value::Uuid(task.task_uuid)),
                ("namespace", Value::Shared(Arc::clone(&task.template.namespace))),
            ])
        });
        Arc::clone(made)
    }

    /// The attributes every span of a step carries.
    fn step_attributes(&mut self, position: usize) -> Arc<Attributes> {
        if let Some((_, made)) = self.step.as_ref().filter(|(at, _)| *at == position) {
            return Arc::clone(made);
        }
        let (task, template) = (&self.graph.task, &self.graph.task.template.steps[position]);
        let made = Arc::new(vec![
            ("correlation_id", Value::Uuid(task.correlation_id)),
            ("task_uuid", Value::Uuid(task.task_uuid)),
            ("step_uuid", Value::Uuid(self.graph.steps[position].step_uuid)),
            ("step_name", Value::Shared(Arc::clone(&template.name))),
            ("namespace", Value::Shared(Arc::clone(&task.template.namespace))),
            ("handler_name", Value::Shared(Arc::clone(&template.handler))),
        ]);
        self.step = Some((position, Arc::clone(&made)));
        made
    }

    fn root(&mut self) {
        let task = &self.graph.task;
        let mut record = self.span("task.orchestration", task.trace.root_span_id, 0, task.created_at, task.state_since);
        record.parent_span_id = task.trace.parent_span_id;
        record.parent_is_remote = task.trace.parent_span_id.is_some();
        record.common = Some(self.task_attributes());
        record.attributes = vec![
            ("task_name", Value::Shared(Arc::clone(&task.template.name))),
            ("task_version", Value::Shared(Arc::clone(&task.template.version))),
            ("priority", Value::I64(task.priority.into())),
            ("state", Value::Static(task.state.as_str())),
            ("total_steps", Value::I64(self.graph.steps.len() as i64)),
        ];
        if let Some(parent) = task.parent_correlation_id {
            record.attributes.push(("parent_correlation_id", Value::Uuid(parent)));
        }
        if task.state == TaskState::Error {
            record.error = Some("a step failed for good".into());
        }
        self.spans.push(record);
    }

    fn task_transition(&mut self, transition: &TaskTransition) {
        let (start, end) = (transition.began, transition.at);
        let (id, common) = (self.dice.span_id(), self.task_attributes());
        let root = self.graph.task.trace.root_span_id;
        let mut record = self.span("task.state_transition", id, root, start, end);
        record.common = Some(Arc::clone(&common));
        record.attributes = vec![
            ("from_state", Value::Static(transition.from.as_str())),
            ("to_state", Value::Static(transition.to.as_str())),
            ("duration_ms", Value::F64(transition.duration_ms)),
        ];
        self.spans.push(record);
        let work = match (transition.from, transition.to) {
            (_, TaskState::EnqueuingSteps) => "step.discovery",
            (TaskState::EnqueuingSteps, TaskState::StepsInProcess) => "step.enqueuing",
            (_, TaskState::EvaluatingResults) => "result.evaluation",
            (_, to) if to.is_final() => "task.finalization",
            _ => return,
        };
        let span_id = self.dice.span_id();
        let mut record = self.span(work, span_id, id, start, end);
        record.common = Some(common);
        record.attributes = vec![("step_count", Value::I64(transition.steps as i64))];
        self.spans.push(record);
    }

    /// A move that neither begins nor ends an execution.
    fn step_move(&mut self, transition: &StepTransition, from: StepState, to: StepState, at: Micros) {
        let record = self.step_transition(transition, self.graph.task.trace.root_span_id, at, at, (from, to));
        self.spans.push(record);
    }

    fn step_transition(
        &mut self,
        transition: &StepTransition,
        parent: u64,
        start: Micros,
        end: Micros,
        (from, to): (StepState, StepState),
    ) -> SpanRecord {
        let span_id = self.dice.span_id();
        let mut record = self.span("step.state_transition", span_id, parent, start, end);
        record.common = Some(self.step_attributes(transition.position));
        record.attributes =
            vec![("from_state", Value::Static(from.as_str())), ("to_state", Value::Static(to.as_str()))];
        record
    }
}

fn event(name: &'static str, at: Micros) -> SpanEvent {
    SpanEvent { name, at, attributes: Vec::new() }
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
        common: None,
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
