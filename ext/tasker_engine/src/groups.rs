//! Owns: event groups of this process: which it reads for, what of theirs is in hand, and their leases. A subscriber asks
//! for events ([`Groups::claim`]) and says what became of each ([`Groups::settle`]). Refuses: running handlers, and any part
//! in the engine's transactions: a subscriber that is slow, or hangs, delays no step.
//!
//! # At least once
//! A group's cursor stands before the oldest event in hand. What a process had in hand when it died, and what it had
//! handled after that, is read again by whoever takes over its lease.

mod group;
mod holding;
mod keeper;
mod look;
mod look_for;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::event::Pattern;
use crate::ids;
use crate::interrupt::lock;
use crate::store::groups::{From, GroupSpec, Groups as Store, LONGEST_LEASE};
use crate::sync::Mutex;
pub(crate) use group::{Group, Looked};
use keeper::Keeper;
pub use look::GroupLook;

/// The shortest lease.
const SHORTEST_LEASE: Duration = Duration::from_millis(500);
/// The longest name of a group, in bytes.
const LONGEST_NAME: usize = 128;
/// Patterns a group may have.
const PATTERNS: usize = 100;
/// Events a subscriber may ask for at once.
pub(crate) const MOST: usize = 1_000;

/// A group as its subscriber opens it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Its name.
    pub name: String,
    /// Names of the events it wants: `*` stands for one word, `#` for any number of them.
    pub patterns: Vec<String>,
    /// Where it begins if it is new: `"now"`, `"beginning"`, or seconds since the epoch.
    #[serde(default = "now")]
    pub from: serde_json::Value,
    /// Whether events of one key are handled one after the other.
    #[serde(default)]
    pub key_order: bool,
}

fn now() -> serde_json::Value {
    "now".into()
}

/// An event on its way to a handler.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// Names it in [`Groups::settle`].
    pub delivery: i64,
    /// 1 for the first.
    pub attempt: u32,
    /// The event's key, where events of one key are handled one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Arc<str>>,
    /// Its publisher's trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The whole event.
    pub event: Box<RawValue>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Said")]
pub struct Outcome {
    /// Which one.
    pub delivery: i64,
    /// How it ended.
    pub how: How,
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq)]
pub enum How {
    /// It was handled.
    Handled,
    /// An attempt failed.
    Failed {
        /// What went wrong, JSON: kept for people, as it is.
        error: String,
        /// How long until the next attempt; `None`: the event is given up.
        retry_in: Option<Duration>,
    },
    /// It was not tried, and no attempt is counted. It comes again after so long.
    Later(Duration),
}

/// An outcome as a subscriber says it: `{delivery, ok: true}`, `{delivery, error, retry_in}` (seconds, or null),
/// `{delivery, later}` (seconds).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    delivery: i64,
    #[serde(default, rename = "ok")]
    _ok: bool,
    error: Option<Box<RawValue>>,
    retry_in: Option<f64>,
    later: Option<f64>,
}

impl std::convert::From<Said> for Outcome {
    fn from(said: Said) -> Outcome {
        // What is no number of seconds is none.
        let pause = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let how = match said {
            Said { error: Some(error), retry_in, .. } => {
                How::Failed { error: error.get().to_owned(), retry_in: retry_in.map(pause) }
            }
            Said { later: Some(later), .. } => How::Later(pause(later)),
            _ => How::Handled,
        };
        Outcome { delivery: said.delivery, how }
    }
}

/// The events a group wants: those that fit one of several patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Reads patterns.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for what can fit no name.
    pub fn parse(texts: &[String]) -> Result<Patterns> {
        let patterns = texts.iter().map(|text| Pattern::parse(text)).collect::<std::result::Result<_, _>>();
        patterns.map(Patterns).map_err(Error::InvalidInput)
    }

    /// Whether an event of that name is wanted.
    pub fn match_any(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

/// The groups that a process reads for, or would, by name.
type Held = Arc<Mutex<HashMap<String, Arc<Group>>>>;

/// The groups of one engine.
pub struct Groups {
    store: Arc<dyn Store>,
    clock: Clock,
    holder: Arc<str>,
    groups: Held,
    keeper: Mutex<Option<Keeper>>,
    looks: Arc<Mutex<Vec<GroupLook>>>,
}

impl Groups {
    /// Holds nothing yet, and has no thread.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Groups {
        let holder = Arc::from(holder(clock.now()));
        Groups { store, clock, holder, groups: Arc::default(), keeper: Mutex::default(), looks: Arc::default() }
    }

    /// Makes a group known. One that is there keeps its place, and wants the events of these patterns from now on.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a name, a pattern or a `from` that cannot be used.
    pub fn open(&self, opening: &Opening) -> Result<()> {
        let spec = spec(opening)?;
        self.store.open(&spec, self.clock.now())?;
        self.start_keeper()?;
        let make = || {
            let (store, clock, holder) = (Arc::clone(&self.store), self.clock.clone(), Arc::clone(&self.holder));
            Arc::new(Group::new(spec.name.clone(), store, clock, holder))
        };
        // Who reads for it already goes by the new patterns from the next look on.
        lock(&self.groups).entry(spec.name.clone()).or_insert_with(make).was_opened();
        self.store.news().ring();
        Ok(())
    }

    /// A group that was opened here, to claim from with that lease.
    ///
    /// # Errors
    /// [`Error::NotFound`]: it was not opened in this process. [`Error::InvalidInput`]: no such lease can be had.
    pub(crate) fn to_claim(&self, name: &str, lease: Duration) -> Result<Arc<Group>> {
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease) {
            return Err(Error::InvalidInput(format!(
                "event group {name:?}: a lease of {} s is impossible; use 0.5 to 60",
                lease.as_secs_f64()
            )));
        }
        self.group(name)
    }

    /// Says what became of deliveries. Gives those that were given out and are taken back, because an earlier one of their
    /// key will be tried again: they come again after it. `None`: the lease was lost meanwhile, and others have them all.
    ///
    /// # Errors
    /// The store's: nothing was written down, and it may be said again.
    pub fn settle(&self, name: &str, outcomes: &[Outcome]) -> Result<Option<Vec<i64>>> {
        self.group(name)?.settle(outcomes)
    }

    /// Gives a group back: what is in hand goes to whoever reads for it next. Harmless for one that is not open.
    pub fn close(&self, name: &str) -> Result<()> {
        let group = lock(&self.groups).remove(name);
        group.map_or(Ok(()), |group| group.close())
    }

    /// The store's side, for what operators ask.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// All groups in the store, and how each is.
    pub fn list(&self) -> Result<Vec<GroupLook>> {
        let now = self.clock.now();
        Ok(self.store.list()?.into_iter().map(|view| GroupLook::of(view, now)).collect())
    }

    /// The groups as of the last look; none before one was opened here.
    pub(crate) fn looks(&self) -> Arc<Mutex<Vec<GroupLook>>> {
        Arc::clone(&self.looks)
    }

    /// Ends the thread. Leases run out by themselves.
    pub(crate) fn end(&self) {
        drop(lock(&self.keeper).take());
    }

    fn group(&self, name: &str) -> Result<Arc<Group>> {
        lock(&self.groups).get(name).map(Arc::clone).ok_or_else(|| {
            Error::NotFound(format!("event group {name:?} is not open in this process; open it before you claim"))
        })
    }

    fn start_keeper(&self) -> Result<()> {
        let mut keeper = lock(&self.keeper);
        if keeper.is_none() {
            *keeper = Some(Keeper::start(&self.groups, &self.store, &self.clock, &self.looks)?);
        }
        Ok(())
    }
}

/// Who reads, for people: no two engines have the same name.
fn holder(now: Micros) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "host".into());
    let unique = ids::uuid_v7(now).simple().to_string();
    format!("{}-{}-{}", host.trim(), std::process::id(), &unique[unique.len() - 8..])
}

fn spec(opening: &Opening) -> Result<GroupSpec> {
    let Opening { name, patterns, from, key_order } = opening;
    let refuse = |why: String| Err(Error::InvalidInput(format!("event group {name:?}: {why}")));
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') {
        return refuse(format!("a name has 1 to {LONGEST_NAME} bytes, and none of them is zero"));
    }
    if patterns.is_empty() || patterns.len() > PATTERNS {
        return refuse(format!("it has {} patterns; use 1 to {PATTERNS}, like \"payment.*\"", patterns.len()));
    }
    Patterns::parse(patterns)?;
    let from = match from {
        serde_json::Value::String(text) if text == "now" => From::Now,
        serde_json::Value::String(text) if text == "beginning" => From::Beginning,
        serde_json::Value::Number(seconds) => {
            let seconds = seconds.as_f64().unwrap_or_default();
            From::At(Micros((seconds * 1e6) as i64))
        }
        other => return refuse(format!("from is \"now\", \"beginning\" or a time, not {other}")),
    };
    Ok(GroupSpec { name: name.clone(), patterns: patterns.clone(), key_order: *key_order, from })
}
