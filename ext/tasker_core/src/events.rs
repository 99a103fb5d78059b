//! Owns: domain events at the border: those that Ruby publishes, with a completion or outside of steps, and what it hears of
//! the bus of this process. Data crosses as JSON text. Refuses: blocking under the GVL.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use magnus::prelude::*;
use magnus::{function, Error, RArray, RModule, RString, Ruby, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use tasker_engine::error::{Error as EngineError, Result as EngineResult};
use tasker_engine::event::{DeliveryMode, Published, Said};
use tasker_engine::events::{BusItem, Publication};
use tasker_engine::template::EventPublisher;
use uuid::Uuid;

use crate::client::ask;
use crate::errors::{guard, Fault};
use crate::{convert, gvl, runtime};

/// So that a deadline can always be computed.
const LONGEST_POLL: Duration = Duration::from_secs(3600);

/// An event as a completion brings it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedJson<'a> {
    event_id: Uuid,
    name: String,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(default)]
    delivery_mode: Option<String>,
    #[serde(default)]
    key: Option<String>,
}

/// What a handler published: a JSON array of its events, and a JSON object of the payloads that publisher classes made.
pub fn said(events: Option<RString>, payloads: Option<RString>) -> Result<Option<Box<Said>>, Fault> {
    let mut said = Said::default();
    if let Some(events) = events {
        said.events = read(events, "events", |text| {
            let events: Vec<PublishedJson<'_>> = serde_json::from_str(text)?;
            events.into_iter().map(published).collect()
        })?;
    }
    if let Some(payloads) = payloads {
        said.payloads = read(payloads, "payloads", |text| {
            let payloads: HashMap<String, &RawValue> = serde_json::from_str(text)?;
            Ok(payloads.into_iter().map(|(name, payload)| (name, Arc::from(payload.get()))).collect())
        })?;
    }
    Ok((!said.events.is_empty() || !said.payloads.is_empty()).then(|| Box::new(said)))
}

fn published(event: PublishedJson<'_>) -> serde_json::Result<Published> {
    let mode = event.delivery_mode.as_deref().map_or(Some(DeliveryMode::Durable), DeliveryMode::parse);
    let delivery_mode =
        mode.ok_or_else(|| serde::de::Error::custom("delivery_mode must be one of durable, fast, broadcast"))?;
    Ok(Published {
        event_id: event.event_id,
        name: event.name.into(),
        payload: event.payload.map_or_else(|| "null".into(), |payload| Arc::from(payload.get())),
        delivery_mode,
        key: event.key.map(Arc::from),
    })
}

/// Reads JSON text that Ruby wrote.
fn read<T>(text: RString, what: &str, parse: impl FnOnce(&str) -> serde_json::Result<T>) -> Result<T, Fault> {
    let refuse = |reason: String| Fault::from(EngineError::InvalidInput(format!("{what}: {reason}")));
    match gvl::with_str(text, |text| parse(text).map_err(|error| error.to_string())) {
        Ok(read) => read.map_err(refuse),
        Err(_) => Err(refuse("not UTF-8".into())),
    }
}

/// `[event name, publisher class name, condition]` for each of them.
pub fn publishers(ruby: &Ruby, publishers: &[EventPublisher]) -> Result<RArray, Fault> {
    let name = |text: &str| ruby.str_new(text).to_interned_str();
    let all = ruby.ary_new_capa(publishers.len());
    for EventPublisher { event_name, class_name, condition } in publishers {
        let one = ruby.ary_new_capa(3);
        for text in [event_name, class_name, condition.as_str()] {
            one.push(name(text))?;
        }
        all.push(one)?;
    }
    Ok(all)
}

/// Publishes events: a JSON array of them, all or none. Returns their ids; what is durable of them is written by then.
fn publish_events(ruby: &Ruby, events: String) -> Result<RArray, Error> {
    guard(ruby, || {
        let ids = ask(ruby, move |engine| {
            let publications: Vec<Publication> = serde_json::from_str(&events)
                .map_err(|error| EngineError::InvalidInput(format!("publish_events: {error}")))?;
            engine.publishing(publications)
        })?;
        let array = ruby.ary_new_capa(ids.len());
        for id in ids {
            array.push(convert::uuid_string(ruby, id))?;
        }
        Ok(array)
    })
}

/// Says what Ruby wants to hear of the bus: domain events, and what becomes of tasks and steps.
fn listen_bus(ruby: &Ruby, domain: bool, lifecycle: bool) -> Result<(), Error> {
    guard(ruby, || {
        runtime::engine()?.bus().listen(domain, lifecycle);
        Ok(())
    })
}

/// The next item of the bus as `[kind, JSON text]`; nil when none came within so many milliseconds. The GVL is released only
/// when there is nothing to take.
fn poll_bus(ruby: &Ruby, milliseconds: f64) -> Result<Value, Error> {
    guard(ruby, || {
        let engine = runtime::engine()?;
        let bus = engine.bus();
        ruby.thread_check_ints()?;
        if let Some(item) = bus.try_poll() {
            return item_array(ruby, &item);
        }
        let until = Instant::now() + convert::seconds(milliseconds / 1e3)?.min(LONGEST_POLL);
        let stretch = gvl::stretch(ruby);
        loop {
            let came: EngineResult<bool> = gvl::without(ruby, |interrupt| {
                let left = until.saturating_duration_since(Instant::now());
                match bus.wait(left.min(stretch), interrupt) {
                    Err(EngineError::Interrupted) => None,
                    Ok(false) if left > stretch => None,
                    other => Some(other),
                }
            })?;
            let came = came?;
            match bus.try_poll() {
                Some(item) => return item_array(ruby, &item),
                None if came => {} // another thread was faster
                None => return Ok(ruby.qnil().as_value()),
            }
        }
    })
}

fn item_array(ruby: &Ruby, item: &BusItem) -> Result<Value, Fault> {
    let array = ruby.ary_new_capa(2);
    array.push(ruby.str_new(item.kind()).to_interned_str())?;
    array.push(ruby.str_new(&item.json()))?;
    Ok(array.as_value())
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("publish_events", function!(publish_events, 1))?;
    native.define_singleton_method("listen_bus", function!(listen_bus, 2))?;
    native.define_singleton_method("poll_bus", function!(poll_bus, 1))
}
