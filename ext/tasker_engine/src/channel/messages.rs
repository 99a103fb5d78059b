//! Owns: what goes through the channel: a step event out, a completion in.

use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Micros;
use crate::event::Said;
use crate::step::StepError;
use crate::template::EventPublisher;
use tasker_telemetry::record::context::{self, TraceContext};

/// One attempt of one step, handed to a handler thread.
#[derive(Debug, Clone)]
pub struct StepEvent {
    /// Names this attempt; a completion must bring it back.
    pub event_id: Uuid,
    /// The task.
    pub task_uuid: Uuid,
    /// The step.
    pub step_uuid: Uuid,
    /// The task's correlation id.
    pub correlation_id: Uuid,
    /// The correlation id of the workflow that started this one.
    pub parent_correlation_id: Option<Uuid>,
    /// The task's namespace.
    pub namespace: Arc<str>,
    /// The template's name.
    pub task_name: Arc<str>,
    /// The step's name in its template.
    pub step_name: Arc<str>,
    /// The handler's name in its template.
    pub handler: Arc<str>,
    /// This attempt's number; the first is 1.
    pub attempt: u32,
    /// The attempt after which the step fails for good.
    pub max_attempts: u32,
    /// Seconds the handler may take; `None` is no limit.
    pub timeout_seconds: Option<f64>,
    /// The task's context: a JSON object.
    pub context: Arc<str>,
    /// The results of the steps this one depends on, as JSON, by step name.
    pub dependency_results: Vec<(Arc<str>, Arc<str>)>,
    /// The step's `config` from its template: a JSON object.
    pub config: Arc<str>,
    /// The declared events whose payload a class makes; `None`: there are none.
    pub publishers: Option<Arc<[EventPublisher]>>,
    /// Trace id of the attempt's `worker.step_execution` span: 32 hex digits.
    pub trace_id: Option<String>,
    /// Span id of the attempt's `worker.step_execution` span: 16 hex digits.
    pub span_id: Option<String>,
    /// W3C `traceparent` whose parent is the attempt's `handler.execution` span: what a call to
    /// another service carries.
    pub traceparent: Option<String>,
    /// When the event entered the channel.
    pub dispatched_at: Micros,
    /// The claim's token, when it was made ahead of a free handler.
    pub claimed_ahead: Option<u64>,
}

/// What a handler thread hands back for a [`StepEvent`].
#[derive(Debug, Clone)]
pub struct StepCompletion {
    /// The event's id.
    pub event_id: Uuid,
    /// The task, as it came with the event.
    pub task_uuid: Uuid,
    /// The step, as it came with the event.
    pub step_uuid: Uuid,
    /// The result as JSON, or why there is none.
    pub outcome: std::result::Result<String, StepError>,
    /// When the handler began, by the handler thread's wall clock.
    pub started_at: Option<Micros>,
    /// How long the handler ran, in milliseconds.
    pub execution_time_ms: Option<f64>,
    /// The event's `trace_id`, brought back.
    pub trace_id: Option<String>,
    /// The event's `span_id`, brought back.
    pub span_id: Option<String>,
    /// What the handler published, when it did.
    pub said: Option<Box<Said>>,
}

impl StepEvent {
    /// Does something inside the attempt's span: what is logged there carries its ids.
    pub(crate) fn in_span(&self, work: impl FnOnce()) {
        match self
            .trace_id
            .as_ref()
            .zip(self.span_id.as_ref())
            .and_then(|(trace, span)| context::parse_ids(trace, span))
        {
            Some((trace_id, span_id)) => {
                let sampled = self.traceparent.as_ref().is_some_and(|header| header.ends_with("01"));
                context::with_context(&TraceContext { trace_id, span_id, sampled }, work);
            }
            None => work(),
        }
    }
}

impl StepCompletion {
    /// The failure of an attempt of which no more is known than its event.
    pub fn failed(event_id: Uuid, error: StepError) -> StepCompletion {
        StepCompletion {
            event_id,
            task_uuid: Uuid::nil(),
            step_uuid: Uuid::nil(),
            outcome: Err(error),
            started_at: None,
            execution_time_ms: None,
            trace_id: None,
            span_id: None,
            said: None,
        }
    }
}
