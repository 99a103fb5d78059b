//! Owns: one group that this process reads for, or waits to: its lease, looks for events, and settlements, one after the
//! other. Refuses: waiting under its lock for anything but the store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::holding::Holding;
use super::{Delivery, How, Outcome};
use crate::clock::{Clock, Tick};
use crate::error::{Error, Result};
use crate::interrupt::lock;
use crate::store::groups::{Groups as Store, Leased, Settlement};
use crate::sync::Mutex;
use tasker_telemetry::record::metrics::domain_events;

/// How often deliveries that are due are looked for though none was known of: an operator may have asked for some.
const DUE: Duration = Duration::from_secs(1);

/// What a look brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// There are events in hand that nobody has taken, or there may be more at once.
    Found,
    /// Nothing. When something is due; and whether there are events that may not be read yet.
    Nothing {
        /// How long until then.
        due: Duration,
        /// They may be read in a moment.
        hidden: bool,
    },
    /// Another process reads for the group, for so long at least.
    Elsewhere(Duration),
}

/// One group.
pub(crate) struct Group {
    pub(super) name: String,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) holder: Arc<str>,
    pub(super) state: Mutex<State>,
    /// Given out by a look, and not taken yet.
    pub(super) ready: Mutex<VecDeque<Delivery>>,
}

/// What is known of it.
pub(super) struct State {
    pub(super) holding: Option<Holding>,
    pub(super) lease: Duration,
    /// Until when the lease holds.
    pub(super) until: Tick,
    /// When deliveries that are due are next looked for.
    pub(super) due_at: Tick,
    /// It was opened again since its row was read: perhaps with other patterns.
    stale: bool,
    closed: bool,
}

impl Group {
    pub(super) fn new(name: String, store: Arc<dyn Store>, clock: Clock, holder: Arc<str>) -> Group {
        let tick = clock.tick();
        let state =
            State { holding: None, lease: Duration::ZERO, until: tick, due_at: tick, stale: false, closed: false };
        Group { name, store, clock, holder, state: Mutex::new(state), ready: Mutex::default() }
    }

    pub(super) fn was_opened(&self) {
        lock(&self.state).stale = true;
    }

    /// The store's side.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Events that a look has brought, at most `limit`.
    pub(crate) fn take(&self, limit: usize) -> Vec<Delivery> {
        let mut ready = lock(&self.ready);
        let count = ready.len().min(limit);
        ready.drain(..count).collect()
    }

    /// Looks for events, at most `limit` besides those that nobody has taken.
    pub(crate) fn look(&self, limit: usize, lease: Duration) -> Result<Looked> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::Stopped(format!("event group {:?} was closed in this process", self.name)));
        }
        state.lease = lease;
        let tick = self.clock.tick();
        if state.holding.is_none() || state.stale || state.until <= tick {
            if let Some(left) = self.take_lease(&mut state)? {
                return Ok(Looked::Elsewhere(left));
            }
        }
        let waiting = lock(&self.ready).len();
        let looked = match limit.saturating_sub(waiting) {
            // Who wants none only keeps the lease.
            0 => Looked::Nothing { due: DUE, hidden: false },
            room => self.look_for(&mut state, room)?,
        };
        Ok(if waiting > 0 { Looked::Found } else { looked })
    }

    /// Takes the lease, or renews it. `Some`: another one has it, for so long.
    fn take_lease(&self, state: &mut State) -> Result<Option<Duration>> {
        let tick = self.clock.tick();
        match self.store.lease(&self.name, &self.holder, state.lease)? {
            Leased::Mine(stored) => {
                match &mut state.holding {
                    Some(holding) => holding.is(stored)?,
                    None => state.holding = Some(Holding::new(stored)?),
                }
                (state.until, state.due_at, state.stale) = (tick.after(state.lease), tick, false);
                Ok(None)
            }
            Leased::Others(left) => {
                self.lost(state);
                Ok(Some(left))
            }
            Leased::Unknown => {
                self.lost(state);
                Err(Error::NotFound(format!("event group {:?} is not in this database any more", self.name)))
            }
        }
    }

    /// Others have it: what is in hand is theirs.
    fn lost(&self, state: &mut State) {
        if state.holding.take().is_some() {
            tracing::warn!(group = self.name, "An event group's lease was lost; its events are delivered elsewhere");
        }
        lock(&self.ready).clear();
    }

    /// Says what became of deliveries. Gives those that were taken and are to be left alone; `None`: the lease was lost.
    pub(super) fn settle(&self, outcomes: &[Outcome]) -> Result<Option<Vec<i64>>> {
        let mut state = lock(&self.state);
        let Some(holding) = &state.holding else { return Ok(None) };
        let (settlement, mut recalled) = holding.settlement(outcomes);
        if !self.write_ended(&mut state, outcomes, &recalled, &settlement)? {
            return Ok(None);
        }
        if !recalled.is_empty() {
            // Those that nobody has taken yet never are.
            lock(&self.ready).retain(|delivery| {
                let at = recalled.iter().position(|row| *row == delivery.delivery);
                at.map(|at| recalled.swap_remove(at)).is_none()
            });
        }
        Ok(Some(recalled))
    }

    /// Writes down a settlement that ends no delivery. False: the lease was lost.
    pub(super) fn write(&self, state: &mut State, settlement: &Settlement) -> Result<bool> {
        self.write_ended(state, &[], &[], settlement)
    }

    fn write_ended(
        &self,
        state: &mut State,
        outcomes: &[Outcome],
        recalled: &[i64],
        settlement: &Settlement,
    ) -> Result<bool> {
        let tick = self.clock.tick();
        let stored = match self.store.settle(&self.name, &self.holder, state.lease, settlement)? {
            Leased::Mine(stored) => stored,
            Leased::Others(_) | Leased::Unknown => {
                self.lost(state);
                return Ok(false);
            }
        };
        state.until = tick.after(state.lease);
        self.count(outcomes);
        if let Some(holding) = &mut state.holding {
            holding.settled(outcomes, recalled, settlement);
            holding.is(stored)?;
        }
        for put in &settlement.put {
            if let crate::store::groups::Then::After(pause) = put.then {
                state.due_at = state.due_at.min(tick.after(pause));
            }
        }
        if !settlement.wake.is_empty() {
            state.due_at = tick;
        }
        Ok(true)
    }

    fn count(&self, outcomes: &[Outcome]) {
        if outcomes.is_empty() {
            return;
        }
        let count = |is: fn(&How) -> bool| outcomes.iter().filter(|outcome| is(&outcome.how)).count();
        let handled = count(|how| *how == How::Handled);
        let retried = count(|how| matches!(how, How::Failed { retry_in: Some(_), .. }));
        let dead = count(|how| matches!(how, How::Failed { retry_in: None, .. }));
        domain_events::delivered(&self.name, handled, retried, dead);
    }

    /// Renews the lease, and has the cursor stand where it may, when it is time for one of the two. Gives how long the
    /// lease is, if it is held.
    pub(super) fn keep(&self) -> Result<Option<Duration>> {
        let mut state = lock(&self.state);
        let Some(holding) = &state.holding else { return Ok(None) };
        let cursor = holding.cursor();
        let renew_at = state.until.before(state.lease * 2 / 3);
        if cursor > holding.state.cursor || renew_at <= self.clock.tick() {
            let settlement = holding.nothing();
            self.write(&mut state, &settlement)?;
        }
        Ok(Some(state.lease))
    }

    /// Gives the lease up: what is in hand goes to whoever reads next.
    pub(super) fn close(&self) -> Result<()> {
        let mut state = lock(&self.state);
        state.closed = true;
        lock(&self.ready).clear();
        let Some(holding) = state.holding.take() else { return Ok(()) };
        let cursor = holding.cursor();
        if cursor > holding.state.cursor {
            self.store.settle(&self.name, &self.holder, state.lease, &holding.nothing())?;
        }
        self.store.release(&self.name, &self.holder)
    }
}

impl State {
    /// How long until deliveries that are due are looked for.
    pub(super) fn due_in(&self, tick: Tick) -> Duration {
        self.due_at.since(tick).min(DUE)
    }

    /// Deliveries were looked for; `next`: when another one is due, as far as that was found out.
    pub(super) fn looked_due(&mut self, tick: Tick, next: Option<Duration>) {
        self.due_at = tick.after(next.map_or(DUE, |next| next.min(DUE)));
    }
}
