//! Owns: domain events on their way: published outside of steps, told to this process after their commit, counted and
//! recorded. Refuses: deciding which events an attempt publishes (`plan`), and writing them (`store`).
//!
//! A durable event is there for every group when its transaction is committed. A fast one goes, after the commit, over the
//! [`InProcessEventBus`]: to subscribers in Rust and through one bounded channel to Ruby. A broadcast goes both ways; what
//! goes wrong with its fast half is counted and touches nothing else.

mod bus;
mod lifecycle;
mod outlet;
mod publication;
mod publisher;
mod registry;
mod router;
mod stats;
mod subscriber;
mod trace;

pub use bus::{InProcessEventBus, InProcessEventBusConfig, Subscription};
pub use lifecycle::Lifecycle;
pub use outlet::BusItem;
pub use publication::Publication;
pub use publisher::{DomainEventError, DomainEventPublisher, Outbox};
pub use registry::{StepEventPublisher, StepEventPublisherRegistry};
pub use router::{dropped, unpublished, EventRouter};
pub use stats::{DomainEventStats, EventRouterStats, InProcessEventBusStats};

pub use crate::event::{DeliveryMode, DomainEvent, DomainEventPayload, EventMetadata, Pattern};
