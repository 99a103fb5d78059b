//! Events, completions and patience, as the scenarios need them.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::bell::Bell;
use crate::channel::{Channel, StepCompletion, StepEvent};
use crate::clock::{Clock, Micros};

/// No wait here ends by time.
pub const LONG: Duration = Duration::from_secs(3600);

pub fn channel() -> (Arc<Channel>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    (Channel::new(Clock::System, Arc::clone(&bell)), bell)
}

/// The event with that number.
pub fn event(number: u128) -> StepEvent {
    let text: Arc<str> = Arc::from("x");
    StepEvent {
        event_id: Uuid::from_u128(number),
        task_uuid: Uuid::nil(),
        step_uuid: Uuid::nil(),
        correlation_id: Uuid::nil(),
        parent_correlation_id: None,
        namespace: Arc::clone(&text),
        task_name: Arc::clone(&text),
        step_name: Arc::clone(&text),
        handler: Arc::clone(&text),
        attempt: 1,
        max_attempts: 1,
        timeout_seconds: None,
        context: Arc::clone(&text),
        dependency_results: Vec::new(),
        config: text,
        publishers: None,
        trace_id: None,
        span_id: None,
        traceparent: None,
        dispatched_at: Micros(0),
        claimed_ahead: None,
    }
}

pub fn completion(event: &StepEvent) -> StepCompletion {
    StepCompletion {
        event_id: event.event_id,
        task_uuid: event.task_uuid,
        step_uuid: event.step_uuid,
        outcome: Ok("1".into()),
        started_at: None,
        execution_time_ms: None,
        trace_id: None,
        span_id: None,
        said: None,
    }
}
