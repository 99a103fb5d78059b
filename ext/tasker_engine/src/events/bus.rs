//! Owns: events inside this process: to subscribers in Rust, and to the channel to Ruby. Refuses: to wait for anybody: each
//! of them has a bounded queue, and what does not fit into it is dropped and counted.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::lifecycle::Lifecycle;
use super::outlet::{BusItem, Outlet};
use super::stats::{self, InProcessEventBusStats};
use super::subscriber::Subscriber;
use crate::error::{Error, Result};
use crate::event::{DomainEvent, Pattern};
use crate::interrupt::Interrupt;
use tasker_telemetry::record::metrics::domain_events as counts;

/// How much may wait on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InProcessEventBusConfig {
    /// Events that wait for one subscriber in Rust.
    pub subscriber_capacity: usize,
    /// Items that wait in the channel to Ruby.
    pub channel_capacity: usize,
}

/// Events that may wait for each subscriber, and for Ruby: what a burst of a second brings.
const CAPACITY: usize = 10_000;

impl Default for InProcessEventBusConfig {
    fn default() -> Self {
        InProcessEventBusConfig { subscriber_capacity: CAPACITY, channel_capacity: CAPACITY }
    }
}

/// The bus of one engine.
pub struct InProcessEventBus {
    config: InProcessEventBusConfig,
    subscribers: RwLock<Vec<Arc<Subscriber>>>,
    outlet: Arc<Outlet>,
}

/// What became of an event on the bus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Queues it was put into.
    pub(super) to_rust: usize,
    pub(super) to_ffi: usize,
    /// Queues that were full.
    pub(super) overflowed: usize,
}

/// A subscriber's place on the bus; it is left when this is dropped.
pub struct Subscription {
    bus: Arc<InProcessEventBus>,
    subscriber: Arc<Subscriber>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.bus.change(|subscribers| subscribers.retain(|known| !Arc::ptr_eq(known, &self.subscriber)));
        self.subscriber.close();
    }
}

impl InProcessEventBus {
    /// A bus that nobody listens to.
    pub fn new(config: InProcessEventBusConfig) -> InProcessEventBus {
        let outlet = Arc::new(Outlet::new(config.channel_capacity));
        InProcessEventBus { config, subscribers: RwLock::default(), outlet }
    }

    /// Calls `callback`, in a thread of its own, with each event from now on whose name fits the pattern.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for what is no pattern; others when there is no thread for it.
    pub fn subscribe(
        self: &Arc<Self>,
        pattern: &str,
        callback: impl Fn(&DomainEvent) + Send + Sync + 'static,
    ) -> Result<Subscription> {
        let pattern = Pattern::parse(pattern).map_err(Error::InvalidInput)?;
        let subscriber = Subscriber::start(pattern, self.config.subscriber_capacity, Box::new(callback))?;
        self.change(|subscribers| subscribers.push(Arc::clone(&subscriber)));
        Ok(Subscription { bus: Arc::clone(self), subscriber })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Subscriber>>)) {
        change(&mut self.subscribers.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says what Ruby wants to hear. With neither the engine does nothing for it.
    pub fn listen(&self, domain: bool, lifecycle: bool) {
        self.outlet.listen(domain, lifecycle);
    }

    /// Whether somebody wants to hear of tasks and steps. Costs one load.
    pub fn wants_lifecycle(&self) -> bool {
        self.outlet.wants_lifecycle()
    }

    /// Puts an event before all who want it.
    pub(super) fn deliver(&self, event: &Arc<DomainEvent>) -> Delivered {
        let mut delivered = Delivered::default();
        let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner);
        for subscriber in subscribers.iter().filter(|subscriber| subscriber.wants(event)) {
            if subscriber.offer(event) {
                delivered.to_rust += 1;
            } else {
                delivered.overflowed += 1;
            }
        }
        drop(subscribers);
        if self.outlet.wants_domain() {
            if self.outlet.offer(BusItem::Domain(Arc::clone(event))) {
                delivered.to_ffi += 1;
            } else {
                delivered.overflowed += 1;
            }
        }
        counts::dispatched(delivered.to_rust, delivered.to_ffi);
        delivered
    }

    /// Puts what became of tasks and steps before Ruby. Gives how many did not fit.
    pub fn tell(&self, items: Vec<Lifecycle>) -> usize {
        let offered = items.into_iter().map(|item| self.outlet.offer(BusItem::Lifecycle(Arc::new(item))));
        offered.filter(|fitted| !fitted).count()
    }

    /// The next item for Ruby, when there is one. Never blocks.
    pub fn try_poll(&self) -> Option<BusItem> {
        self.outlet.try_take()
    }

    /// Waits until there may be an item for Ruby, at most `timeout`; takes none.
    ///
    /// # Errors
    /// [`Error::Interrupted`]: the caller was called back.
    pub fn wait(&self, timeout: Duration, interrupt: &Interrupt) -> Result<bool> {
        self.outlet.wait(timeout, interrupt)
    }

    /// What the buses of this process did since it began.
    pub fn stats(&self) -> InProcessEventBusStats {
        stats::now().1
    }
}
