//! Owns: event groups for Ruby: opening one, claiming events, saying what became of them, and what operators ask. Answers
//! are JSON text. Refuses: blocking under the GVL, and running handlers.

use magnus::{function, Error, Object, RModule, Ruby};
use serde::Serialize;
use serde_json::value::RawValue;
use tasker_engine::error::{Error as EngineError, Result as EngineResult};
use tasker_engine::event::Pattern;
use tasker_engine::groups::{Opening, Outcome};
use tasker_engine::store::groups::DeadLetter;

use crate::client::ask;
use crate::convert;
use crate::errors::guard;

fn json<T: Serialize + ?Sized>(value: &T) -> EngineResult<String> {
    serde_json::to_string(value).map_err(|error| EngineError::Internal(format!("cannot write JSON: {error}")))
}

fn read<'a, T: serde::Deserialize<'a>>(what: &str, text: &'a str) -> EngineResult<T> {
    serde_json::from_str(text).map_err(|error| EngineError::InvalidInput(format!("{what}: {error}")))
}

/// Makes a group known, as JSON says it: `{name, patterns, from, key_order}`.
fn event_group_open(ruby: &Ruby, opening: String) -> Result<(), Error> {
    guard(ruby, || {
        let opening: Opening = read("event group", &opening)?;
        ask(ruby, |engine| engine.opening_group(opening))
    })
}

/// The next events for a group that was opened in this process, at most `limit`, under a lease of so many seconds: a JSON
/// array of `{delivery, attempt, key, traceparent, event}`. Waits for them, at most `wait` seconds; then it is empty.
fn event_group_claim(ruby: &Ruby, name: String, limit: usize, lease: f64, wait: f64) -> Result<String, Error> {
    guard(ruby, || {
        let (lease, wait) = (convert::seconds(lease)?, convert::seconds(wait)?);
        let deliveries = ask(ruby, |engine| engine.claiming_events(&name, limit, lease, wait))?;
        Ok(json(&deliveries)?)
    })
}

/// Says what became of deliveries: a JSON array of `{delivery, ok}`, `{delivery, error, retry_in}` or `{delivery, later}`.
/// Gives those that were given out and are not to be handled now, because an earlier one of their key will be tried again.
/// `nil`: the group's lease was lost, and others have them all.
fn event_group_settle(ruby: &Ruby, name: String, outcomes: String) -> Result<Option<Vec<i64>>, Error> {
    guard(ruby, || {
        let outcomes: Vec<Outcome> = read("outcomes", &outcomes)?;
        ask(ruby, |engine| engine.settling_events(name, outcomes))
    })
}

/// Gives a group back. What is in hand goes to whoever reads for it next.
fn event_group_close(ruby: &Ruby, name: String) -> Result<(), Error> {
    guard(ruby, || ask(ruby, |engine| engine.closing_group(name)))
}

/// All groups of the database, as JSON.
fn event_groups(ruby: &Ruby) -> Result<String, Error> {
    guard(ruby, || ask(ruby, |engine| engine.asking_groups(|groups| json(&groups.list()?))))
}

/// A dead letter as it is shown.
#[derive(Serialize)]
struct Letter {
    delivery: i64,
    key: Option<String>,
    attempts: u32,
    /// Microseconds since the epoch.
    died_at: i64,
    error: Option<Box<RawValue>>,
    event: Box<RawValue>,
}

/// JSON as it is stored; what is none, as a text.
fn raw(text: &str) -> EngineResult<Box<RawValue>> {
    let raw = RawValue::from_string(text.to_owned()).or_else(|_| serde_json::value::to_raw_value(text));
    raw.map_err(|error| EngineError::Internal(format!("cannot write JSON: {error}")))
}

fn letter(letter: DeadLetter) -> EngineResult<Letter> {
    Ok(Letter {
        delivery: letter.row,
        key: letter.key,
        attempts: letter.attempts,
        died_at: letter.died_at.0,
        error: letter.error.as_deref().map(raw).transpose()?,
        event: raw(&letter.event)?,
    })
}

/// Dead letters of a group, the oldest events first, at most `limit`, as JSON.
fn event_dead(ruby: &Ruby, name: String, limit: usize) -> Result<String, Error> {
    guard(ruby, || {
        ask(ruby, |engine| {
            engine.asking_groups(move |groups| {
                let letters = groups.store().dead(&name, limit)?;
                json(&letters.into_iter().map(letter).collect::<EngineResult<Vec<_>>>()?)
            })
        })
    })
}

/// Has dead letters delivered again, with a fresh budget of attempts: those named, or all when it is nil. How many.
fn event_requeue(ruby: &Ruby, name: String, deliveries: Option<Vec<i64>>) -> Result<usize, Error> {
    guard(ruby, || {
        ask(ruby, |engine| engine.asking_groups(move |groups| groups.store().requeue(&name, deliveries.as_deref())))
    })
}

/// Forgets dead letters: those named, or all when it is nil. How many.
fn event_drop(ruby: &Ruby, name: String, deliveries: Option<Vec<i64>>) -> Result<usize, Error> {
    guard(ruby, || {
        ask(ruby, |engine| engine.asking_groups(move |groups| groups.store().forget(&name, deliveries.as_deref())))
    })
}

/// Forgets a group that nobody reads for. Whether it was there.
fn event_group_remove(ruby: &Ruby, name: String) -> Result<bool, Error> {
    guard(ruby, || ask(ruby, |engine| engine.asking_groups(move |groups| groups.store().remove(&name))))
}

/// Whether an event of that name fits a pattern.
fn event_matches(ruby: &Ruby, pattern: String, name: String) -> Result<bool, Error> {
    guard(ruby, || Ok(Pattern::parse(&pattern).map_err(EngineError::InvalidInput)?.matches(&name)))
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("event_group_open", function!(event_group_open, 1))?;
    native.define_singleton_method("event_group_claim", function!(event_group_claim, 4))?;
    native.define_singleton_method("event_group_settle", function!(event_group_settle, 2))?;
    native.define_singleton_method("event_group_close", function!(event_group_close, 1))?;
    native.define_singleton_method("event_groups", function!(event_groups, 0))?;
    native.define_singleton_method("event_dead", function!(event_dead, 2))?;
    native.define_singleton_method("event_requeue", function!(event_requeue, 2))?;
    native.define_singleton_method("event_drop", function!(event_drop, 2))?;
    native.define_singleton_method("event_group_remove", function!(event_group_remove, 1))?;
    native.define_singleton_method("event_matches?", function!(event_matches, 2))
}
