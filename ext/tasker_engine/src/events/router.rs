//! Owns: which ways an event goes, and what is counted, logged and recorded of it once it has gone.

use std::sync::Arc;

use uuid::Uuid;

use super::bus::{Delivered, InProcessEventBus};
use super::publisher::{DomainEventError, DomainEventPublisher};
use super::stats::{self, EventRouterStats};
use super::trace;
use crate::clock::{Clock, Micros};
use crate::event::{DeliveryMode, DomainEvent, DomainEventPayload, EventMetadata};
use tasker_telemetry::record::context::{with_context, TraceContext};
use tasker_telemetry::record::metrics::domain_events::{self as counts, Delivery};
use tasker_telemetry::record::spans;

/// The target of lines about events.
const EVENTS: &str = "tasker_worker";

/// Sends events the ways their delivery mode names.
#[derive(Clone)]
pub struct EventRouter {
    publisher: Arc<DomainEventPublisher>,
    bus: Arc<InProcessEventBus>,
}

impl EventRouter {
    /// A router of these two ways.
    pub fn new(publisher: Arc<DomainEventPublisher>, bus: Arc<InProcessEventBus>) -> EventRouter {
        EventRouter { publisher, bus }
    }

    /// Publishes an event. With a durable half it is durable when this returns. Gives its id.
    ///
    /// # Errors
    /// [`DomainEventError`]; then nothing was published.
    pub fn route_event(
        &self,
        delivery_mode: DeliveryMode,
        event_name: &str,
        payload: DomainEventPayload,
        metadata: EventMetadata,
    ) -> Result<Uuid, DomainEventError> {
        let mut event = self.publisher.event(event_name, payload, metadata)?;
        event.delivery_mode = delivery_mode;
        let event = Arc::new(event);
        if delivery_mode.is_durable() {
            // The engine puts it on the bus once it is committed.
            return self.publisher.write(event);
        }
        EventRouter::gone(&self.bus, std::slice::from_ref(&event), self.publisher.clock());
        Ok(event.event_id)
    }

    /// Takes note that events are committed, or need not be: puts those that go over the bus on it, and tells of all.
    pub fn gone(bus: &InProcessEventBus, events: &[Arc<DomainEvent>], clock: &Clock) {
        if events.is_empty() {
            return;
        }
        let committed = clock.now();
        let mut made = Vec::new();
        let record = spans::enabled();
        for event in events {
            let fast = event.delivery_mode.is_fast();
            let delivered = if fast { bus.deliver(event) } else { Delivered::default() };
            count(event, delivered, committed);
            lines(event);
            if record {
                trace::spans(event, delivered, committed, clock.now(), &mut made);
            }
        }
        spans::record_all(made);
    }

    /// What the routers of this process did since it began.
    pub fn stats(&self) -> EventRouterStats {
        stats::now().0
    }
}

fn count(event: &DomainEvent, delivered: Delivered, committed: Micros) {
    let (mode, namespace) = (delivery(event.delivery_mode), &event.metadata.namespace);
    counts::routed(mode);
    counts::published(&event.event_name, namespace, mode, committed.millis_since(event.metadata.fired_at));
    if delivered.overflowed > 0 {
        counts::failed(&event.event_name, namespace, mode);
        if event.delivery_mode == DeliveryMode::Broadcast {
            counts::fast_delivery_error();
        }
    }
}

/// Takes note of an event that was not published, because its payload does not fit.
pub fn dropped(name: &str, namespace: &str, delivery_mode: DeliveryMode, why: &str) {
    counts::failed(name, namespace, delivery(delivery_mode));
    if delivery_mode.is_durable() {
        counts::routing_error();
    }
    tracing::warn!(
        target: EVENTS, event_name = name, namespace, delivery_mode = delivery_mode.as_str(), reason = why,
        "A domain event was not published: its payload does not fit its schema"
    );
}

/// Takes note of a durable event that the store did not take. Its publisher has the error.
pub fn unpublished(event: &DomainEvent) {
    counts::failed(&event.event_name, &event.metadata.namespace, delivery(event.delivery_mode));
    counts::routing_error();
}

fn delivery(mode: DeliveryMode) -> Delivery {
    match mode {
        DeliveryMode::Durable => Delivery::Durable,
        DeliveryMode::Fast => Delivery::Fast,
        DeliveryMode::Broadcast => Delivery::Broadcast,
    }
}

fn lines(event: &DomainEvent) {
    if !tracing::enabled!(target: EVENTS, tracing::Level::INFO) {
        return;
    }
    let metadata = &event.metadata;
    let (task_uuid, correlation_id) = (metadata.task_uuid, metadata.correlation_id);
    let (task_uuid, correlation_id) =
        (task_uuid.map(tracing::field::display), correlation_id.map(tracing::field::display));
    let say = || {
        tracing::debug!(
            target: EVENTS, event_id = %event.event_id, event_name = &*event.event_name, queue_name = event.queue(),
            task_uuid, correlation_id, "Publishing domain event"
        );
        tracing::info!(
            target: EVENTS, event_id = %event.event_id, event_name = &*event.event_name, task_uuid, correlation_id,
            namespace = &*metadata.namespace, delivery_mode = event.delivery_mode.as_str(),
            "Domain event published successfully"
        );
    };
    match &event.trace {
        Some(trace) => {
            let context = TraceContext { trace_id: trace.trace_id, span_id: trace.span_id, sampled: trace.sampled };
            with_context(&context, say);
        }
        None => say(),
    }
}
