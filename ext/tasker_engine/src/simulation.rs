//! Owns: an engine whose loop is turned by hand, for tests that decide themselves what happens when. Refuses: a thread, a
//! clock and chance of its own.

use std::sync::Arc;

use crate::bell::Bell;
use crate::channel::Channel;
use crate::clock::Clock;
use crate::config::Durability;
use crate::engine::{BreakerState, EngineThread, Inbox, Shared, Ticket};
pub use crate::engine::{Machine, Reply, Turn, Work};
use crate::error::Result;
use crate::events::{InProcessEventBus, InProcessEventBusConfig};
use crate::ids::Dice;
use crate::interrupt::Interrupt;
use crate::store::catalogue::Catalogue;
use crate::store::Store;

/// The loop.
pub struct Engine(EngineThread);

/// What everybody else has of the engine.
pub struct Door {
    /// Where handlers get events and leave completions.
    pub channel: Arc<Channel>,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
}

/// How the worker is.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Its id; `None`: there is no worker.
    pub worker_id: Option<Arc<str>>,
    /// It claims no more.
    pub draining: bool,
    /// Its claims.
    pub in_flight: usize,
    /// The store is left alone.
    pub breaker_open: bool,
}

/// What the engine was asked.
pub struct Asked(Option<Ticket>);

impl Asked {
    /// The answer, once it is there.
    pub fn answer(&mut self) -> Option<Result<Reply>> {
        self.0.as_mut()?.wait(std::time::Duration::ZERO, &Interrupt::new())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // Who asks no more leaves the request where it is.
        if let Some(ticket) = self.0.take() {
            ticket.leave();
        }
    }
}

impl Engine {
    /// An engine that does nothing until it is turned.
    pub fn new(
        store: Box<dyn Store>,
        catalogue: Arc<Catalogue>,
        clock: Clock,
        dice: Dice,
        machine: Arc<dyn Machine>,
    ) -> (Engine, Door) {
        let bell = Arc::new(Bell::default());
        let inbox = Arc::new(Inbox::new(Arc::clone(&bell)));
        let channel = Channel::new(clock.clone(), bell);
        let shared = Arc::new(Shared::default());
        let door = Door { channel: Arc::clone(&channel), inbox: Arc::clone(&inbox), shared: Arc::clone(&shared) };
        let bus = Arc::new(InProcessEventBus::new(InProcessEventBusConfig::default()));
        let thread =
            EngineThread::new(store, catalogue, clock, dice, Durability::Step, machine, inbox, channel, shared, bus);
        (Engine(thread), door)
    }

    /// Once round the loop.
    pub fn turn(&mut self) -> Turn {
        self.0.turn()
    }
}

impl Door {
    /// Hands work to the engine and does not wait for the answer.
    pub fn ask(&self, work: Work) -> Result<Asked> {
        self.inbox.send(work).map(|ticket| Asked(Some(ticket)))
    }

    /// Whether the engine would be woken; the next call says no again.
    pub fn rung(&self) -> bool {
        self.inbox.bell.sleep(std::time::Duration::ZERO)
    }

    /// Says how many handler threads wait for an event.
    pub fn handlers_wait(&self, threads: usize) {
        self.channel.pretend_waiting(threads);
    }

    /// As the engine last published it.
    pub fn status(&self) -> Status {
        let status = self.shared.status();
        Status {
            worker_id: status.worker_id,
            draining: status.draining,
            in_flight: status.in_flight,
            breaker_open: self.shared.pulse.breaker() != BreakerState::Closed,
        }
    }

    /// Tasks that the engine leaves alone.
    pub fn quarantine(&self) -> Vec<i64> {
        self.shared.quarantine().into_iter().map(|(task_id, _)| task_id).collect()
    }

    /// Nobody asks any more: the engine ends when it has done what was asked.
    pub fn close(&self) {
        self.inbox.close();
    }
}
