//! Owns: one look for events of a group: deliveries that are due, then events that come next, apart from those that wait
//! for an earlier one of their key. Refuses: giving anything out before the store has answered every question about it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::group::{Group, Looked, State};
use super::holding::Holding;
use super::Delivery;
use crate::clock::Tick;
use crate::error::Result;
use crate::interrupt::lock;
use crate::store::groups::{DueDeliveries, Message, Position, Put, Scan, Seen, Settlement, Then};

/// Events that are gone through for what a group wants, at once: at the least and at most.
const FEWEST: usize = 100;
const MOST: usize = 1_000;

/// What comes next.
#[derive(Default)]
struct Next {
    /// Events to give out.
    wanted: Vec<Seen>,
    /// Events that wait for an earlier one of their key.
    parked: Vec<Seen>,
    /// Up to where was read.
    read: Option<Position>,
    /// There may be more at once.
    more: bool,
    /// There are events that may not be read yet.
    hidden: bool,
}

impl Group {
    /// Looks for events, at most `room`, and has them ready.
    pub(super) fn look_for(&self, state: &mut State, room: usize) -> Result<Looked> {
        let tick = self.clock.tick();
        let Some(holding) = &state.holding else { return Ok(Looked::Elsewhere(state.lease / 4)) };
        let due =
            if state.due_at <= tick { Some(self.store.due(&self.name, &holding.standing(), room)?) } else { None };
        let known = due.as_ref().map_or(0, |due| due.rows.len());
        let next =
            if known < room { self.next(holding, room - known)? } else { Next { more: true, ..Next::default() } };
        let rows = due.iter().flat_map(|due| &due.rows).map(|due| due.at.row);
        let rows: Vec<i64> = rows.chain(next.wanted.iter().map(|seen| seen.at.row)).collect();
        let mut messages = if rows.is_empty() { HashMap::new() } else { self.store.messages(&rows)? };
        if !self.set_apart(state, due.as_ref(), &next, &messages)? {
            return Ok(Looked::Elsewhere(state.lease / 4));
        }
        // From here on nothing can fail.
        let found = self.give(state, due, &next, &mut messages, (tick, room));
        Ok(match found || next.more {
            true => Looked::Found,
            false => Looked::Nothing { due: state.due_in(tick), hidden: next.hidden },
        })
    }

    /// What comes after what was read.
    fn next(&self, holding: &Holding, room: usize) -> Result<Next> {
        let Scan { events, last, more, hidden } =
            self.store.scan(&self.name, holding.read, (2 * room).clamp(FEWEST, MOST))?;
        let mut next = Next { read: last, more, hidden, ..Next::default() };
        for seen in events {
            if holding.is_in_hand(seen.at.row) || !holding.patterns.match_any(&seen.name) {
                continue;
            }
            if next.wanted.len() == room {
                (next.read, next.more, next.hidden) = (next.wanted.last().map(|seen| seen.at), true, false);
                break;
            }
            next.wanted.push(seen);
        }
        let mut keys: Vec<&str> = next.wanted.iter().filter_map(|seen| seen.key.as_deref()).collect();
        keys.sort_unstable();
        keys.dedup();
        let ordered = holding.state.key_order && !keys.is_empty();
        let blocked = if ordered { self.store.blocked(&self.name, &keys)? } else { HashSet::new() };
        let waits = |seen: &Seen| seen.key.as_deref().is_some_and(|key| blocked.contains(key));
        (next.parked, next.wanted) = next.wanted.into_iter().partition(waits);
        Ok(next)
    }

    /// Writes down which events wait for their key, and forgets deliveries of events that are older than the retention.
    /// The cursor stays. False: the lease was lost.
    fn set_apart(
        &self,
        state: &mut State,
        due: Option<&DueDeliveries>,
        next: &Next,
        messages: &HashMap<i64, Message>,
    ) -> Result<bool> {
        let Some(holding) = &state.holding else { return Ok(false) };
        let parked = |seen: &Seen| {
            let (row, key) = (seen.at.row, seen.key.clone());
            Put { row, key, attempts: 0, then: Then::Parked, error: None }
        };
        let gone = || due.iter().flat_map(|due| &due.rows).filter(|due| !messages.contains_key(&due.at.row));
        let settlement = Settlement {
            done: gone().map(|due| due.at.row).collect(),
            put: next.parked.iter().map(parked).collect(),
            wake: gone().filter_map(|due| due.key.clone()).collect(),
            ..holding.nothing()
        };
        if settlement.done.is_empty() && settlement.put.is_empty() {
            return Ok(true);
        }
        self.write(state, &settlement)
    }

    /// Has events in hand and ready to be taken. Whether there are any.
    fn give(
        &self,
        state: &mut State,
        due: Option<DueDeliveries>,
        next: &Next,
        messages: &mut HashMap<i64, Message>,
        (tick, room): (Tick, usize),
    ) -> bool {
        let Some(holding) = &mut state.holding else { return false };
        let key_order = holding.state.key_order;
        let mut ready = Vec::with_capacity(messages.len());
        let mut give = |delivery: i64, key: &Option<Arc<str>>, attempt: u32, message: Message| {
            let key = key.clone().filter(|_| key_order);
            let event = raw(message.event);
            ready.push(Delivery { delivery, attempt, key, traceparent: message.traceparent, event });
        };
        for due in due.iter().flat_map(|due| &due.rows) {
            if let Some(message) = messages.remove(&due.at.row) {
                give(due.at.row, &due.key, holding.give_again(due), message);
            }
        }
        for seen in &next.wanted {
            // One that is older than the retention is passed.
            if let Some(message) = messages.remove(&seen.at.row) {
                holding.give(seen);
                give(seen.at.row, &seen.key, 1, message);
            }
        }
        holding.read = next.read.unwrap_or(holding.read);
        if let Some(due) = due {
            let more = due.rows.len() == room;
            state.looked_due(tick, if more { Some(Duration::ZERO) } else { due.next });
        }
        let found = !ready.is_empty();
        lock(&self.ready).extend(ready);
        found
    }
}

/// The event as it is; what somebody has made of it that is no JSON, as a text.
fn raw(event: String) -> Box<RawValue> {
    RawValue::from_string(event.clone())
        .or_else(|_| serde_json::value::to_raw_value(&event))
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}
