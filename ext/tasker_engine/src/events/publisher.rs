//! Owns: publishing from Rust, and what can go wrong with it.

use std::sync::Arc;

use serde_json::value::RawValue;
use thiserror::Error;
use uuid::Uuid;

use super::publication::trace;
use crate::clock::Clock;
use crate::error::Error as EngineError;
use crate::event::{check_name, check_namespace, check_payload, DomainEvent, DomainEventPayload, EventMetadata};
use crate::ids;

/// Why an event was not published. Nothing of it is there.
#[derive(Debug, Error)]
pub enum DomainEventError {
    /// It is not allowed as it stands.
    #[error("{0}")]
    Refused(String),
    /// The store did not take it.
    #[error("the event was not published: {0}")]
    Unpublished(EngineError),
}

impl From<DomainEventError> for EngineError {
    fn from(error: DomainEventError) -> EngineError {
        match error {
            DomainEventError::Refused(what) => EngineError::InvalidInput(what),
            DomainEventError::Unpublished(error) => error,
        }
    }
}

/// Where durable events are written. The engine has one.
pub trait Outbox: Send + Sync {
    /// Writes events, all of them or none, and waits until they are durable.
    ///
    /// # Errors
    /// The engine is stopped, or its store refuses them.
    fn write(&self, events: Vec<Arc<DomainEvent>>) -> Result<(), DomainEventError>;
}

/// Publishes durable events from Rust.
#[derive(Clone)]
pub struct DomainEventPublisher {
    outbox: Arc<dyn Outbox>,
    clock: Clock,
}

impl DomainEventPublisher {
    /// A publisher that writes to `outbox`.
    pub fn new(outbox: Arc<dyn Outbox>, clock: Clock) -> DomainEventPublisher {
        DomainEventPublisher { outbox, clock }
    }

    /// Publishes an event and waits until it is durable. Gives its id, a UUIDv7.
    ///
    /// # Errors
    /// [`DomainEventError`]; then nothing was published.
    pub fn publish_event(
        &self,
        event_name: &str,
        payload: DomainEventPayload,
        metadata: EventMetadata,
    ) -> Result<Uuid, DomainEventError> {
        let event = self.event(event_name, payload, metadata)?;
        self.write(Arc::new(event))
    }

    pub(super) fn event(
        &self,
        event_name: &str,
        payload: DomainEventPayload,
        metadata: EventMetadata,
    ) -> Result<DomainEvent, DomainEventError> {
        check_name(event_name)
            .and_then(|()| check_namespace(&metadata.namespace))
            .map_err(DomainEventError::Refused)?;
        let payload = DomainEventPayload {
            payload: if payload.payload.is_empty() { "null".into() } else { payload.payload },
            ..payload
        };
        check_payload(event_name, &payload.payload).map_err(DomainEventError::Refused)?;
        if let Err(error) = serde_json::from_str::<&RawValue>(&payload.payload) {
            return Err(DomainEventError::Refused(format!("event {event_name}: its payload is not JSON: {error}")));
        }
        let trace = trace(None, &metadata.namespace);
        let mut event = DomainEvent::new(ids::uuid_v7(self.clock.now()), event_name.into(), payload, metadata);
        event.trace = Some(trace);
        Ok(event)
    }

    pub(super) fn write(&self, event: Arc<DomainEvent>) -> Result<Uuid, DomainEventError> {
        let event_id = event.event_id;
        self.outbox.write(vec![event]).map(|()| event_id)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }
}
