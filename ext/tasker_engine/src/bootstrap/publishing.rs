//! Owns: publishing events outside of steps, in both forms, and the way to the bus.

use std::sync::Arc;

use uuid::Uuid;

use super::asked::Asked;
use super::Engine;
use crate::engine::{Inbox, Work};
use crate::error::{Error, Result};
use crate::event::DomainEvent;
use crate::events::{
    unpublished, DomainEventError, DomainEventPublisher, EventRouter, InProcessEventBus, Outbox, Publication,
};

/// The most events of one call, and the most bytes of their payloads.
const EVENTS: usize = 1_000;
const BYTES: usize = 16 * 1024 * 1024;

impl Engine {
    /// Publishes events, all of them or none. Those with a durable half are durable when this returns. Gives their ids.
    ///
    /// # Errors
    /// [`Error::InvalidInput`]: one of them is not allowed, or they are too many; others when the store does not take them.
    pub fn publish_events(&self, publications: Vec<Publication>) -> Result<Vec<Uuid>> {
        self.publishing(publications)?.answer()
    }

    /// As [`Engine::publish_events`], for callers that look around meanwhile.
    ///
    /// # Errors
    /// As [`Engine::publish_events`], as far as no store is needed to find out.
    pub fn publishing(&self, publications: Vec<Publication>) -> Result<Asked<Vec<Uuid>>> {
        if publications.len() > EVENTS {
            let count = publications.len();
            return Err(Error::InvalidInput(format!("{count} events in one call; publish at most {EVENTS} at once")));
        }
        let (now, fired_by) = (self.clock.now(), self.fired_by());
        let made = publications.into_iter().map(|publication| publication.into_event(now, &fired_by).map(Arc::new));
        let events: Vec<Arc<DomainEvent>> = made.collect::<std::result::Result<_, DomainEventError>>()?;
        let bytes: usize = events.iter().map(|event| event.payload.payload.len()).sum();
        if bytes > BYTES {
            return Err(Error::InvalidInput(format!(
                "the payloads of one call are {bytes} bytes of JSON; publish at most {BYTES} at once"
            )));
        }
        let ids = events.iter().map(|event| event.event_id).collect();
        let (durable, fast): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.delivery_mode.is_durable());
        if durable.is_empty() {
            EventRouter::gone(&self.bus, &fast, &self.clock);
            return Ok(Asked::here(move || Ok(ids)));
        }
        let (bus, clock) = (Arc::clone(&self.bus), self.clock.clone());
        let wanted = durable.clone();
        let mut asked = Asked::request(&self.inbox, Work::Publish(durable), |_| Ok(()));
        let mut rest = Some((ids, fast));
        Ok(Asked::new(move |timeout, interrupt| {
            let written = asked.wait(timeout, interrupt)?;
            let written = written.inspect_err(|_| wanted.iter().for_each(|event| unpublished(event)));
            Some(written.map(|()| {
                let (ids, fast) = rest.take().unwrap_or_default();
                EventRouter::gone(&bus, &fast, &clock);
                ids
            }))
        }))
    }

    /// Who publishes outside of an attempt: the worker, or the process.
    fn fired_by(&self) -> Arc<str> {
        let worker = self.shared.status().worker_id;
        worker.unwrap_or_else(|| format!("process-{}", std::process::id()).into())
    }

    /// Says that this process publishes events: what somebody who misses them looks for in a worker's log.
    pub(super) fn say_events(&self) {
        tracing::info!("Setting up step event publisher registry...");
        tracing::info!("Creating in-process event bus for fast domain events...");
        tracing::info!("Creating event router for dual-path delivery...");
    }

    /// The bus of this process.
    pub fn bus(&self) -> &Arc<InProcessEventBus> {
        &self.bus
    }

    /// What publishes durable events from Rust.
    pub fn domain_event_publisher(&self) -> Arc<DomainEventPublisher> {
        let outbox = ThisOutbox(Arc::clone(&self.inbox));
        Arc::new(DomainEventPublisher::new(Arc::new(outbox), self.clock.clone()))
    }

    /// What sends events of Rust their ways.
    pub fn event_router(&self) -> EventRouter {
        EventRouter::new(self.domain_event_publisher(), Arc::clone(&self.bus))
    }
}

/// The way into the store.
struct ThisOutbox(Arc<Inbox>);

impl Outbox for ThisOutbox {
    fn write(&self, events: Vec<Arc<DomainEvent>>) -> std::result::Result<(), DomainEventError> {
        let asked = Asked::request(&self.0, Work::Publish(events.clone()), |_| Ok(()));
        let written = asked.answer().inspect_err(|_| events.iter().for_each(|event| unpublished(event)));
        written.map_err(DomainEventError::Unpublished)
    }
}
