//! Owns: what a process has in hand of one group, and what follows for the group's cursor. Pure: it asks no store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{How, Outcome, Patterns};
use crate::error::Result;
use crate::store::groups::{DueDelivery, GroupState, Position, Put, Seen, Settlement, Then};

/// How many events may be given out after one that is still in hand, before that one gets a row of its own and the cursor
/// goes on without it: no more than so many come again after a crash.
pub(super) const AHEAD: u64 = 2_000;

/// An event in hand.
#[derive(Debug, Clone)]
struct InHand {
    key: Option<Arc<str>>,
    attempts: u32,
    /// It stands among the group's deliveries: the cursor may pass it.
    stands: bool,
    /// How many events had been given out before it.
    ordinal: u64,
}

/// A group that this process reads for.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) state: GroupState,
    pub(super) patterns: Patterns,
    /// Up to where was read.
    pub(super) read: Position,
    in_hand: BTreeMap<Position, InHand>,
    places: HashMap<i64, Position>,
    given: u64,
}

impl Holding {
    pub(super) fn new(state: GroupState) -> Result<Holding> {
        Ok(Holding {
            patterns: Patterns::parse(&state.patterns)?,
            read: state.cursor,
            state,
            in_hand: BTreeMap::new(),
            places: HashMap::new(),
            given: 0,
        })
    }

    /// The group as the store has it now. Other patterns: it is read again from the cursor on.
    pub(super) fn is(&mut self, state: GroupState) -> Result<()> {
        if state.patterns != self.state.patterns || state.key_order != self.state.key_order {
            let again = Holding::new(state)?;
            self.read = again.read;
            (self.patterns, self.state) = (again.patterns, again.state);
        } else {
            self.state = state;
        }
        Ok(())
    }

    pub(super) fn is_in_hand(&self, row: i64) -> bool {
        self.places.contains_key(&row)
    }

    /// Rows in hand that stand among the deliveries.
    pub(super) fn standing(&self) -> Vec<i64> {
        self.in_hand.iter().filter(|(_, event)| event.stands).map(|(at, _)| at.row).collect()
    }

    /// An event that was read is given out.
    pub(super) fn give(&mut self, seen: &Seen) {
        self.hold(seen.at, seen.key.clone(), 0, false);
    }

    /// A delivery that was due is given out. Gives which attempt it is.
    pub(super) fn give_again(&mut self, due: &DueDelivery) -> u32 {
        self.hold(due.at, due.key.clone(), due.attempts, true);
        due.attempts.saturating_add(1)
    }

    fn hold(&mut self, at: Position, key: Option<Arc<str>>, attempts: u32, stands: bool) {
        self.in_hand.insert(at, InHand { key, attempts, stands, ordinal: self.given });
        self.places.insert(at.row, at);
        self.given += 1;
    }

    /// Where the cursor may stand, without some that are in hand.
    fn cursor_without(&self, gone: &HashSet<i64>) -> Position {
        let holds_back = |(at, event): &(&Position, &InHand)| !event.stands && !gone.contains(&at.row);
        let oldest = self.in_hand.iter().find(holds_back);
        oldest.map_or(self.read, |(at, _)| at.before().min(self.read))
    }

    /// Where the cursor may stand.
    pub(super) fn cursor(&self) -> Position {
        self.cursor_without(&HashSet::new())
    }

    /// A settlement in which nothing happens: the cursor is where it may be.
    pub(super) fn nothing(&self) -> Settlement {
        Settlement { cursor: self.cursor(), patterns: self.state.patterns.clone(), ..Settlement::default() }
    }

    /// What is to be written down when deliveries ended like this, and what is taken back. Those that are not in hand are
    /// left out.
    pub(super) fn settlement(&self, outcomes: &[Outcome]) -> (Settlement, Vec<i64>) {
        let mut settlement = self.nothing();
        let mut gone = HashSet::new();
        let mut in_the_way = HashSet::new();
        for Outcome { delivery, how } in outcomes {
            let Some(event) = self.places.get(delivery).and_then(|at| self.in_hand.get(at)) else { continue };
            if !gone.insert(*delivery) {
                continue;
            }
            let key = event.key.clone().filter(|_| self.state.key_order);
            let put = |attempts, then, error| Put { row: *delivery, key: key.clone(), attempts, then, error };
            let (put, out_of_the_way) = match how {
                How::Handled => (None, event.stands),
                How::Failed { error, retry_in } => {
                    let then = retry_in.map_or(Then::Dead, Then::After);
                    let dead = then == Then::Dead;
                    (Some(put(event.attempts.saturating_add(1), then, Some(error.clone()))), dead)
                }
                How::Later(pause) => (Some(put(event.attempts, Then::After(*pause), None)), false),
            };
            if put.as_ref().is_some_and(|put| put.then != Then::Dead) {
                in_the_way.extend(key.clone());
            }
            match put {
                Some(put) => settlement.put.push(put),
                None if event.stands => settlement.done.push(*delivery),
                None => {}
            }
            settlement.wake.extend(key.filter(|_| out_of_the_way));
        }
        let recalled = self.recall(&in_the_way, &mut settlement, &mut gone);
        self.put_stragglers(&mut settlement, &mut gone);
        settlement.cursor = self.cursor_without(&gone);
        (settlement, recalled)
    }

    /// Takes back what is in hand of keys of which an earlier event will be tried again: it was given out before that one
    /// failed.
    fn recall(&self, keys: &HashSet<Arc<str>>, settlement: &mut Settlement, gone: &mut HashSet<i64>) -> Vec<i64> {
        let mut recalled = Vec::new();
        for (at, event) in self.in_hand.iter().filter(|_| !keys.is_empty()) {
            if event.key.as_ref().is_some_and(|key| keys.contains(key)) && gone.insert(at.row) {
                let (key, attempts) = (event.key.clone(), event.attempts);
                settlement.put.push(Put { row: at.row, key, attempts, then: Then::Parked, error: None });
                recalled.push(at.row);
            }
        }
        recalled
    }

    /// Events that hold the cursor back while many others were given out get rows. They stay in hand.
    fn put_stragglers(&self, settlement: &mut Settlement, gone: &mut HashSet<i64>) {
        for (at, event) in self.in_hand.iter().filter(|(_, event)| !event.stands) {
            if event.ordinal + AHEAD >= self.given {
                break;
            }
            if gone.insert(at.row) {
                let key = event.key.clone().filter(|_| self.state.key_order);
                let then = Then::After(Duration::ZERO);
                settlement.put.push(Put { row: at.row, key, attempts: event.attempts, then, error: None });
            }
        }
    }

    /// A settlement was written down.
    pub(super) fn settled(&mut self, outcomes: &[Outcome], recalled: &[i64], settlement: &Settlement) {
        for delivery in outcomes.iter().map(|outcome| &outcome.delivery).chain(recalled) {
            if let Some(at) = self.places.remove(delivery) {
                self.in_hand.remove(&at);
            }
        }
        for put in &settlement.put {
            let event = self.places.get(&put.row).and_then(|at| self.in_hand.get_mut(at));
            if let Some(event) = event {
                event.stands = true;
            }
        }
    }

    /// How many are in hand.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.in_hand.len()
    }
}

#[cfg(test)]
#[path = "holding/tests.rs"]
mod tests;
