//! Owns: what a store knows of event groups, as a trait: who follows the events, how far each has come, what waits for a
//! retry and what was given up. Refuses: deciding what a group does next (`groups`), and the transactions of steps: a
//! group's work shares none with them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Micros;
use crate::error::Result;
use crate::interrupt::{lock, time_left, wait_on, Interrupt};
use crate::sync::{Condvar, Mutex};

/// An event's place in the order in which all groups read them. SQLite writes one transaction after the other: there
/// `xid` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The transaction that published it.
    pub xid: u64,
    /// The event's row.
    pub row: i64,
}

impl Position {
    /// Where a reader stands that has not read this one, and everything before.
    pub fn before(self) -> Position {
        Position { row: self.row - 1, ..self }
    }
}

/// Where a new group begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With what is published from now on. What is being published at this moment may be among it.
    Now,
    /// With the oldest event there is.
    Beginning,
    /// With the first event fired at that time or later.
    At(Micros),
}

/// A group as its subscriber wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    /// Its name.
    pub name: String,
    /// Names of the events it wants, with `*` and `#`.
    pub patterns: Vec<String>,
    /// Whether events of one key are handled one after the other.
    pub key_order: bool,
    /// Where it begins, if it is new.
    pub from: From,
}

/// A group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// Every event up to here was handled, or stands among the deliveries, or is not wanted.
    pub cursor: Position,
    /// Names of the events it wants.
    pub patterns: Vec<String>,
    /// Whether events of one key are handled one after the other.
    pub key_order: bool,
}

/// What came of asking for a group's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// It is the holder's.
    Mine(GroupState),
    /// Another one has it, for so long at the most unless it is renewed.
    Others(Duration),
    /// There is no such group.
    Unknown,
}

/// An event, without its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its place in the order.
    pub at: Position,
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: Option<Arc<str>>,
}

/// What comes after a position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// Events in order, without those that stand among the group's deliveries.
    pub events: Vec<Seen>,
    /// Up to where was looked; `None`: there was nothing.
    pub last: Option<Position>,
    /// There may be more at once.
    pub more: bool,
    /// There are events that are not to be read yet: a transaction that began before theirs is still open.
    pub hidden: bool,
}

/// A delivery whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    /// The event's place.
    pub at: Position,
    /// The event's key.
    pub key: Option<Arc<str>>,
    /// Attempts so far.
    pub attempts: u32,
}

/// What is due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueDeliveries {
    /// Deliveries, the oldest events first.
    pub rows: Vec<DueDelivery>,
    /// How long until the next one is due.
    pub next: Option<Duration>,
}

/// What a subscriber gets of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The whole event, JSON.
    pub event: String,
    /// Its publisher's trace context.
    pub traceparent: Option<String>,
}

/// When a delivery comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// After so long.
    After(Duration),
    /// When an earlier event of its key is out of the way.
    Parked,
    /// Never, unless somebody asks for it.
    Dead,
}

/// A delivery to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The event's row.
    pub row: i64,
    /// The event's key.
    pub key: Option<Arc<str>>,
    /// Attempts so far.
    pub attempts: u32,
    /// When it comes again.
    pub then: Then,
    /// What went wrong, JSON.
    pub error: Option<String>,
}

/// What a holder has done, all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The group's cursor from now on, unless the group wants other events meanwhile than those of `patterns`.
    pub cursor: Position,
    /// The patterns that the holder has read by.
    pub patterns: Vec<String>,
    /// Deliveries that were made: their rows go.
    pub done: Vec<i64>,
    /// Deliveries to be written down.
    pub put: Vec<Put>,
    /// Keys of which a delivery is out of the way.
    pub wake: Vec<Arc<str>>,
}

/// A group, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// Names of the events it wants.
    pub patterns: Vec<String>,
    /// Whether events of one key are handled one after the other.
    pub key_order: bool,
    /// Who reads for it, and for how long at least.
    pub holder: Option<(String, Duration)>,
    /// Names of events behind the cursor: how many of each, and when the oldest was fired. At most [`COUNTED`] events
    /// are counted.
    pub behind: Vec<(String, usize, Micros)>,
    /// Deliveries that wait for a retry, or for an earlier one of their key.
    pub retrying: usize,
    /// Dead letters.
    pub dead: usize,
    /// When it was opened first.
    pub began_at: Micros,
}

/// An event that a group has given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event's row.
    pub row: i64,
    /// Its key.
    pub key: Option<String>,
    /// Attempts made.
    pub attempts: u32,
    /// When it was given up.
    pub died_at: Micros,
    /// What went wrong last, JSON.
    pub error: Option<String>,
    /// The whole event, JSON.
    pub event: String,
}

/// Events behind a cursor that are counted at most.
pub const COUNTED: usize = 10_000;
/// Parked deliveries of a key that come when the one before them is out of the way.
pub const WOKEN: usize = 100;
/// The longest lease of a group: one that seems to last longer is from another time of the clock, and has run out.
pub const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// Event groups in a store. Any thread may ask; a database that hangs, hangs whoever asks.
pub trait Groups: Send + Sync {
    /// Makes a group known. One that is there keeps its cursor, and wants these events from now on.
    fn open(&self, spec: &GroupSpec, now: Micros) -> Result<()>;
    /// Takes the lease, or renews it. With one that was not the holder's before, parked deliveries that wait for nothing
    /// any more come again.
    fn lease(&self, group: &str, holder: &str, lease: Duration) -> Result<Leased>;
    /// Gives the lease up, if it is the holder's.
    fn release(&self, group: &str, holder: &str) -> Result<()>;
    /// Deliveries whose time has come and that wait for no earlier one of their key, at most `limit` besides those in
    /// `except`.
    fn due(&self, group: &str, except: &[i64], limit: usize) -> Result<DueDeliveries>;
    /// Events after a position, at most `limit`.
    fn scan(&self, group: &str, after: Position, limit: usize) -> Result<Scan>;
    /// Those of the keys that have a delivery which is neither made nor dead.
    fn blocked(&self, group: &str, keys: &[&str]) -> Result<HashSet<String>>;
    /// The messages of events. One that is gone is left out.
    fn messages(&self, rows: &[i64]) -> Result<HashMap<i64, Message>>;
    /// Writes down what a holder has done, and renews its lease. [`Leased::Others`]: the lease is lost, and nothing was
    /// written.
    fn settle(&self, group: &str, holder: &str, lease: Duration, settlement: &Settlement) -> Result<Leased>;
    /// All groups, by name.
    fn list(&self) -> Result<Vec<GroupView>>;
    /// Dead letters, the oldest events first, at most `limit`.
    fn dead(&self, group: &str, limit: usize) -> Result<Vec<DeadLetter>>;
    /// Has dead letters delivered again, with a fresh budget of attempts: those of the rows, or all. Gives how many.
    fn requeue(&self, group: &str, rows: Option<&[i64]>) -> Result<usize>;
    /// Forgets dead letters: those of the rows, or all. Gives how many.
    fn forget(&self, group: &str, rows: Option<&[i64]>) -> Result<usize>;
    /// Forgets a group nobody holds, with its deliveries. Whether it was there.
    ///
    /// # Errors
    /// [`crate::error::Error::IllegalTransition`]: somebody holds it.
    fn remove(&self, group: &str) -> Result<bool>;
    /// Rings when there may be something for a group: in this process always, for other processes' events once
    /// [`Groups::listen`] was called.
    fn news(&self) -> &Arc<News>;
    /// Hears of other processes' events from now on, where that can be done. How often to look all the same.
    fn listen(&self) -> Duration;
}

/// Tells those who read for a group that there may be something to read.
#[derive(Default)]
pub struct News {
    number: Mutex<u64>,
    come: Condvar,
}

impl News {
    /// There may be something.
    pub fn ring(&self) {
        *lock(&self.number) += 1;
        self.come.notify_all();
    }

    /// The latest there was: for [`News::wait`].
    pub fn number(&self) -> u64 {
        *lock(&self.number)
    }

    /// Waits for news after `seen`, at most `timeout`, or until the caller is called back.
    pub fn wait(self: &Arc<News>, seen: u64, timeout: Duration, interrupt: &Interrupt) {
        let news = Arc::clone(self);
        interrupt.wakes(move || {
            drop(lock(&news.number));
            news.come.notify_all();
        });
        let deadline = Instant::now() + timeout;
        let mut number = lock(&self.number);
        while *number == seen && !interrupt.is_set() {
            let Some(left) = time_left(Some(deadline), timeout) else { return };
            number = wait_on(&self.come, number, left);
        }
    }
}
