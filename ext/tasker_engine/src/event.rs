//! Owns: the domain event, something that an application says happened: what it consists of, what may be said in it, and
//! the message it travels as. Refuses: delivering it, and deciding when there is one.

mod key;
mod limits;
mod message;
mod pattern;

use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::clock::Micros;
pub use key::{EventKey, KeySource};
pub use limits::{check_key, check_name, check_namespace, check_payload, EVENTS_OF_ATTEMPT, KEY_BYTES, PAYLOAD_BYTES};
pub use pattern::Pattern;
use tasker_telemetry::record::context::TraceContext;

/// The version of every event's form.
pub const EVENT_VERSION: &str = "1.0";

/// How an event travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeliveryMode {
    /// Through the store: written with what it tells of, delivered to every group at least once.
    #[default]
    Durable,
    /// Inside this process, after the commit; lost with it.
    Fast,
    /// Both ways.
    Broadcast,
}

impl DeliveryMode {
    /// Every mode, in the order the documents name them.
    pub const ALL: &'static [DeliveryMode] = &[DeliveryMode::Durable, DeliveryMode::Fast, DeliveryMode::Broadcast];

    /// The name it has in a template.
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryMode::Durable => "durable",
            DeliveryMode::Fast => "fast",
            DeliveryMode::Broadcast => "broadcast",
        }
    }

    /// The mode of that name.
    pub fn parse(text: &str) -> Option<DeliveryMode> {
        DeliveryMode::ALL.iter().copied().find(|mode| mode.as_str() == text)
    }

    /// Whether it goes through the store.
    pub fn is_durable(self) -> bool {
        self != DeliveryMode::Fast
    }

    /// Whether it goes over the bus of this process.
    pub fn is_fast(self) -> bool {
        self != DeliveryMode::Durable
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct DomainEvent {
    /// Its identity: a UUIDv7.
    pub event_id: Uuid,
    /// What happened: lower-case words with dots in between.
    pub event_name: Arc<str>,
    /// What is said of it.
    pub payload: DomainEventPayload,
    /// Where it comes from.
    pub metadata: EventMetadata,
    /// How it travels.
    pub delivery_mode: DeliveryMode,
    /// Events of one key are handled in their order, by a group that asks for it.
    pub key: Option<Arc<str>>,
    /// Its place in a trace.
    pub trace: Option<EventTrace>,
    message: OnceLock<Box<str>>,
}

/// What is said of an event. Each part is JSON text.
#[derive(Debug, Clone, Default)]
pub struct DomainEventPayload {
    /// The attempt it comes from: `{task_name, step_name, attempt, context}`.
    pub task_sequence_step: Option<AttemptFacts>,
    /// How the attempt ended: `{success, result}` or `{success, error}`.
    pub execution_result: Option<std::result::Result<Arc<str>, Arc<str>>>,
    /// The application's own part.
    pub payload: Arc<str>,
}

/// The attempt an event comes from.
#[derive(Debug, Clone)]
pub struct AttemptFacts {
    /// The template's name.
    pub task_name: Arc<str>,
    /// The step's name.
    pub step_name: Arc<str>,
    /// The attempt's number; the first is 1.
    pub attempt: u32,
    /// The task's context: a JSON object.
    pub context: Arc<str>,
}

/// Where an event comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMetadata {
    /// The task, where it comes from one.
    pub task_uuid: Option<Uuid>,
    /// The step.
    pub step_uuid: Option<Uuid>,
    /// The step's name.
    pub step_name: Option<Arc<str>>,
    /// Whose events these are; names the queue.
    pub namespace: Arc<str>,
    /// The task's correlation id, or the caller's.
    pub correlation_id: Option<Uuid>,
    /// When it happened.
    pub fired_at: Micros,
    /// Who says so: the worker, or the process.
    pub fired_by: Arc<str>,
}

/// An event's place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTrace {
    /// The trace.
    pub trace_id: u128,
    /// The event's own span, `publish_domain_event`: what a consumer's span is linked to.
    pub span_id: u64,
    /// The span it was published in.
    pub parent_span_id: Option<u64>,
    /// Whether the trace is kept.
    pub sampled: bool,
}

impl DomainEvent {
    /// An event of these parts.
    pub fn new(event_id: Uuid, event_name: Arc<str>, payload: DomainEventPayload, metadata: EventMetadata) -> Self {
        DomainEvent {
            event_id,
            event_name,
            payload,
            metadata,
            delivery_mode: DeliveryMode::Durable,
            key: None,
            trace: None,
            message: OnceLock::new(),
        }
    }

    /// The whole event as JSON text, made once.
    pub fn message(&self) -> &str {
        self.message.get_or_init(|| message::text(self).into())
    }

    /// W3C `traceparent` of the event's own span.
    pub fn traceparent(&self) -> Option<String> {
        let EventTrace { trace_id, span_id, sampled, .. } = self.trace?;
        Some(TraceContext { trace_id, span_id, sampled }.to_traceparent())
    }

    /// The PGMQ queue of its namespace.
    pub fn queue(&self) -> String {
        queue(&self.metadata.namespace)
    }
}

/// The PGMQ queue of a namespace's durable events.
pub fn queue(namespace: &str) -> String {
    format!("{namespace}_domain_events")
}

/// What a handler published in an attempt, as it comes with the completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// The events it published, in order.
    pub events: Vec<Published>,
    /// Payloads that publisher classes made, by the declaration's name; JSON text.
    pub payloads: Vec<(String, Arc<str>)>,
}

/// An event that a handler published.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Its identity, which the handler knows already.
    pub event_id: Uuid,
    /// What happened.
    pub name: Arc<str>,
    /// The application's part: JSON text.
    pub payload: Arc<str>,
    /// How it travels.
    pub delivery_mode: DeliveryMode,
    /// Its key.
    pub key: Option<Arc<str>>,
}

impl Said {
    /// What it adds to a transaction, in bytes.
    pub fn bytes(&self) -> usize {
        let events = self.events.iter().map(|event| event.payload.len() + event.name.len());
        events.chain(self.payloads.iter().map(|(_, payload)| payload.len())).sum()
    }

    /// The payload that a publisher class made for a declaration.
    pub fn payload(&self, name: &str) -> Option<&Arc<str>> {
        self.payloads.iter().find(|(known, _)| known == name).map(|(_, payload)| payload)
    }
}
