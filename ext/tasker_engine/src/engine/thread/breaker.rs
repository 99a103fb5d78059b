//! Owns: the circuit breaker between the engine's thread and its store, by the engine's own clock. After [`FAILURES`]
//! failures in a row the store is left alone for a while, then one transaction probes it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;
use crate::engine::pulse::BreakerState;
use crate::engine::shared::Shared;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// How long it stays open, the first time and after each probe that failed; the last one for all later ones.
const OPEN: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// The breaker.
pub(super) struct Breaker {
    shared: Arc<Shared>,
    database: String,
    failures: u32,
    /// How often in a row it was opened, and until when it is.
    opened: usize,
    open_until: Option<Tick>,
}

impl Breaker {
    pub(super) fn new(shared: &Arc<Shared>, database: String) -> Breaker {
        Breaker { shared: Arc::clone(shared), database, failures: 0, opened: 0, open_until: None }
    }

    /// Whether the store is left alone now.
    pub(super) fn is_open(&mut self, tick: Tick) -> bool {
        match self.open_until {
            Some(until) if tick < until => true,
            Some(_) => {
                self.open_until = None;
                self.set(BreakerState::HalfOpen);
                false
            }
            None => false,
        }
    }

    /// Until when the store is left alone.
    pub(super) fn open_until(&self) -> Option<Tick> {
        self.open_until
    }

    /// The store answered.
    pub(super) fn succeeded(&mut self) {
        (self.failures, self.opened) = (0, 0);
        self.set(BreakerState::Closed);
    }

    /// The store did not answer as it should.
    pub(super) fn failed(&mut self, tick: Tick) {
        self.failures += 1;
        if self.opened > 0 || self.failures >= FAILURES {
            self.open_until = Some(tick.after(OPEN[self.opened.min(OPEN.len() - 1)]));
            self.opened += 1;
            self.set(BreakerState::Open);
        }
    }

    /// Tells of each change: one line, and the state for health and metrics. A probe that failed is no news.
    fn set(&self, state: BreakerState) {
        let before = self.shared.pulse.set_breaker(state);
        let database = &*self.database;
        match (before, state) {
            (BreakerState::Closed, BreakerState::Open) => tracing::error!(
                database,
                circuit_breaker = "store",
                state = "open",
                "Circuit breaker open: the database keeps failing; requests are refused until it answers again"
            ),
            (BreakerState::Open, BreakerState::HalfOpen) => tracing::debug!(
                database,
                circuit_breaker = "store",
                state = "half_open",
                "Circuit breaker half-open: trying the database"
            ),
            (BreakerState::Open | BreakerState::HalfOpen, BreakerState::Closed) => tracing::info!(
                database,
                circuit_breaker = "store",
                state = "closed",
                "Circuit breaker closed: the database answers again"
            ),
            _ => {}
        }
    }
}
