//! Owns: publishers of handlers that are written in Rust: what makes an event's payload, by the name that templates have for
//! it. Handlers in Ruby have theirs in Ruby.

use std::collections::HashMap;
use std::sync::Arc;

use super::publisher::DomainEventPublisher;
use super::router::EventRouter;
use crate::channel::StepEvent;
use crate::event::Said;
use crate::step::StepError;

/// Makes the payload of an event.
pub trait StepEventPublisher: Send + Sync {
    /// The payload of the event of that name, JSON text, for an attempt that ended so; `None`: what it is without a
    /// publisher.
    fn transform_payload(
        &self,
        event_name: &str,
        step: &StepEvent,
        outcome: std::result::Result<&str, &StepError>,
    ) -> Option<String>;
}

/// Publishers by the name that templates have for them.
pub struct StepEventPublisherRegistry {
    publisher: Arc<DomainEventPublisher>,
    router: EventRouter,
    publishers: HashMap<String, Arc<dyn StepEventPublisher>>,
}

impl StepEventPublisherRegistry {
    /// An empty registry whose events go by `router`.
    pub fn with_event_router(publisher: Arc<DomainEventPublisher>, router: EventRouter) -> StepEventPublisherRegistry {
        StepEventPublisherRegistry { publisher, router, publishers: HashMap::new() }
    }

    /// Makes a publisher known under the name that templates have for it; the last one counts.
    pub fn register(&mut self, name: impl Into<String>, publisher: Arc<dyn StepEventPublisher>) {
        self.publishers.insert(name.into(), publisher);
    }

    /// What publishes durable events.
    pub fn publisher(&self) -> &Arc<DomainEventPublisher> {
        &self.publisher
    }

    /// What sends events their ways.
    pub fn router(&self) -> &EventRouter {
        &self.router
    }

    /// The payloads of the events that an attempt's end may publish: what goes back with its completion.
    pub fn said(&self, step: &StepEvent, outcome: std::result::Result<&str, &StepError>) -> Said {
        let declared = step.publishers.iter().flat_map(|publishers| publishers.iter());
        // Whether another attempt follows a failure is the engine's to say.
        let wanted = declared.filter(|declared| {
            let success = outcome.is_ok();
            declared.condition.holds(success, true) || declared.condition.holds(success, false)
        });
        let payloads = wanted.filter_map(|declared| {
            let publisher = self.publishers.get(&*declared.class_name)?;
            let payload = publisher.transform_payload(&declared.event_name, step, outcome)?;
            Some((declared.event_name.to_string(), Arc::from(payload)))
        });
        Said { events: Vec::new(), payloads: payloads.collect() }
    }
}
