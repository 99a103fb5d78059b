//! Owns: a request to publish an event outside of an attempt's end: checked, and made into the event. Refuses: what is not
//! allowed, before anything is written.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::publisher::DomainEventError;
use crate::clock::Micros;
use crate::event::{
    check_key, check_name, check_namespace, check_payload, DeliveryMode, DomainEvent, DomainEventPayload,
    EventMetadata, EventTrace,
};
use crate::ids;
use tasker_telemetry::record::context::TraceContext;
use tasker_telemetry::record::sampling::{self, Parent};

/// What a caller wants published.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// What happened.
    pub name: String,
    /// The application's part: any JSON; nothing is `null`.
    #[serde(default)]
    pub payload: Option<Box<RawValue>>,
    /// Whose events these are; `default` when it is not given.
    #[serde(default)]
    pub namespace: Option<String>,
    /// `durable`, the default, `fast` or `broadcast`.
    #[serde(default)]
    pub delivery_mode: Option<String>,
    /// Events of one key are handled in their order, by a group that asks for it.
    #[serde(default)]
    pub key: Option<String>,
    /// The task it is about.
    #[serde(default)]
    pub task_uuid: Option<Uuid>,
    /// The step it is about.
    #[serde(default)]
    pub step_uuid: Option<Uuid>,
    /// That step's name.
    #[serde(default)]
    pub step_name: Option<String>,
    /// The correlation id of what it is about.
    #[serde(default)]
    pub correlation_id: Option<Uuid>,
    /// W3C trace context of the caller: the event joins that trace.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Who says so; the process when it is not given.
    #[serde(default)]
    pub fired_by: Option<String>,
}

impl Publication {
    /// The event, fired at `now`.
    ///
    /// # Errors
    /// [`DomainEventError::Refused`] says what is not allowed, and what to write instead.
    pub fn into_event(self, now: Micros, fired_by: &Arc<str>) -> Result<DomainEvent, DomainEventError> {
        let namespace = self.namespace.unwrap_or_else(|| "default".into());
        check_name(&self.name).map_err(DomainEventError::Refused)?;
        check_namespace(&namespace)
            .and_then(|()| self.key.as_ref().map_or(Ok(()), |key| check_key(&self.name, key)))
            .map_err(|what| DomainEventError::Refused(format!("event {}: {what}", self.name)))?;
        let payload: Arc<str> = self.payload.map_or_else(|| "null".into(), |payload| Arc::from(payload.get()));
        check_payload(&self.name, &payload).map_err(DomainEventError::Refused)?;
        let mode = self.delivery_mode.as_deref().map_or(Some(DeliveryMode::Durable), DeliveryMode::parse);
        let Some(delivery_mode) = mode else {
            return Err(DomainEventError::Refused(format!(
                "event {}: delivery_mode is {:?}; it must be one of durable, fast, broadcast",
                self.name,
                self.delivery_mode.unwrap_or_default()
            )));
        };
        let trace = trace(self.traceparent.as_deref(), &namespace);
        let metadata = EventMetadata {
            task_uuid: self.task_uuid,
            step_uuid: self.step_uuid,
            step_name: self.step_name.map(Arc::from),
            namespace: namespace.into(),
            correlation_id: self.correlation_id,
            fired_at: now,
            fired_by: self.fired_by.map_or_else(|| Arc::clone(fired_by), Arc::from),
        };
        let payload = DomainEventPayload { payload, ..DomainEventPayload::default() };
        let mut event = DomainEvent::new(ids::uuid_v7(now), self.name.into(), payload, metadata);
        (event.delivery_mode, event.key, event.trace) = (delivery_mode, self.key.map(Arc::from), Some(trace));
        Ok(event)
    }
}

/// The caller's trace, or a new one.
pub(super) fn trace(traceparent: Option<&str>, namespace: &str) -> EventTrace {
    let parent = traceparent.and_then(TraceContext::parse_traceparent);
    let trace_id = parent.as_ref().map_or_else(ids::trace_id, |parent| parent.trace_id);
    // What is published here goes on with what this process has decided already.
    let decided = parent.as_ref().map(|parent| Parent::Own(parent.sampled));
    let sampled = sampling::decide(decided, trace_id, Some(namespace));
    EventTrace { trace_id, span_id: ids::span_id(), parent_span_id: parent.map(|parent| parent.span_id), sampled }
}
