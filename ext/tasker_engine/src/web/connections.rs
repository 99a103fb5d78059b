//! Owns: how many connections are open at once, and which one makes room for a new one. Refuses: what goes over them.
//!
//! Whoever connects is taken in. When all places are taken, the connection that has waited longest for a request of its
//! client makes room: so a thousand clients that say nothing keep nobody out who asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, Notify};

use crate::interrupt::lock;

/// Connections that are open at once: what the server takes of the process's file descriptors, and one more.
pub(super) const MOST: usize = 64;
/// How long a client is left alone before its connection may make room: its request is on its way.
const GRACE: Duration = Duration::from_millis(50);

/// The places.
#[derive(Default)]
pub(super) struct Connections {
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Default)]
struct Open {
    places: BTreeMap<u64, Place>,
    last: u64,
}

struct Place {
    /// Since when the client is waited for; `None` while it is answered.
    idle_since: Option<Instant>,
    /// Ends the connection; `None` once that has been done.
    end: Option<oneshot::Sender<()>>,
}

/// A place, and what tells that it has to make room for another connection.
pub(super) type Entered = (Seat, oneshot::Receiver<()>);

/// The place of one connection. Free again when dropped.
pub(super) struct Seat {
    connections: Arc<Connections>,
    number: u64,
}

impl Connections {
    /// A place for a connection, as soon as there is one.
    pub(super) async fn enter(self: &Arc<Self>) -> Entered {
        loop {
            match self.try_enter(Instant::now()) {
                Ok(entered) => return entered,
                Err(wait) => {
                    // Free or not, it is looked again.
                    let _ = tokio::time::timeout(wait, self.freed.notified()).await;
                }
            }
        }
    }

    /// A place; or, after the connection that has to make room was told, how long to wait for one at most.
    fn try_enter(self: &Arc<Self>, now: Instant) -> Result<Entered, Duration> {
        let mut open = lock(&self.open);
        if open.places.len() < MOST {
            open.last += 1;
            let (number, (end, ended)) = (open.last, oneshot::channel());
            open.places.insert(number, Place { idle_since: Some(now), end: Some(end) });
            return Ok((Seat { connections: Arc::clone(self), number }, ended));
        }
        let idle = open.places.values_mut().filter(|place| place.end.is_some() && place.idle_since.is_some());
        let Some(longest) = idle.min_by_key(|place| place.idle_since) else { return Err(GRACE) };
        let left = longest.idle_since.map_or(GRACE, |since| GRACE.saturating_sub(now.duration_since(since)));
        if left.is_zero() {
            if let Some(end) = longest.end.take() {
                // A connection that has just ended by itself has made room as well.
                let _ = end.send(());
            }
            return Err(GRACE);
        }
        Err(left)
    }
}

impl Seat {
    /// Says whether the client's request is being answered, or the client waited for.
    pub(super) fn answering(&self, answering: bool) {
        if let Some(place) = lock(&self.connections.open).places.get_mut(&self.number) {
            place.idle_since = (!answering).then(Instant::now);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.connections.open).places.remove(&self.number);
        self.connections.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> (Arc<Connections>, Vec<Entered>, Instant) {
        let (connections, now) = (Arc::new(Connections::default()), Instant::now());
        let seats = (0..MOST).map(|n| connections.try_enter(now + GRACE * n as u32).ok().unwrap()).collect();
        (connections, seats, now + GRACE * (MOST as u32 + 1))
    }

    #[test]
    fn who_has_been_waited_for_longest_makes_room() {
        let (connections, mut seats, now) = full();
        seats[0].0.answering(true);
        assert_eq!(connections.try_enter(now).err(), Some(GRACE), "full");
        assert!(seats[0].1.try_recv().is_err(), "it is being answered");
        assert!(seats[1].1.try_recv().is_ok() && seats[2].1.try_recv().is_err());
        drop(seats.remove(1));
        assert!(connections.try_enter(now).is_ok());
    }

    #[test]
    fn a_new_connection_is_given_the_time_to_ask() {
        let (connections, mut seats, _) = full();
        let soon = Instant::now() + GRACE / 2;
        seats.iter().for_each(|(seat, _)| seat.answering(false));
        assert!(connections.try_enter(soon).err().is_some_and(|wait| wait <= GRACE));
        assert!(seats.iter_mut().all(|(_, ended)| ended.try_recv().is_err()));
    }

    #[test]
    fn nobody_who_is_answered_makes_room() {
        let (connections, mut seats, now) = full();
        seats.iter().for_each(|(seat, _)| seat.answering(true));
        assert_eq!(connections.try_enter(now).err(), Some(GRACE));
        assert!(seats.iter_mut().all(|(_, ended)| ended.try_recv().is_err()));
    }
}
