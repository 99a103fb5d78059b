//! Owns: what a step declares of its domain events: which there are, when, how they travel and what their payload must be.
//! Refuses: publishing them.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{json, Value};

use super::fields::{kind, Fields};
use super::problems::{did_you_mean, quoted, Problems};
use super::schema::{Schema, Violation};
use super::EventPublisher;
use crate::event::{self, DeliveryMode, EventKey};

/// The most events a step may declare.
const MAX_EVENTS: usize = 20;
/// The longest name of a publisher class, in bytes.
const MAX_PUBLISHER: usize = 255;

const FIELDS: &[&str] = &["name", "description", "condition", "delivery_mode", "schema", "publisher", "key"];

/// Which end of an attempt an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EventCondition {
    /// Its result was kept.
    #[default]
    Success,
    /// It failed.
    Failure,
    /// It failed, and another attempt follows.
    RetryableFailure,
    /// It failed, and the step with it.
    PermanentFailure,
    /// Any of them.
    Always,
}

impl EventCondition {
    /// Every condition, in the order the documents name them.
    pub const ALL: &'static [EventCondition] = &[
        EventCondition::Success,
        EventCondition::Failure,
        EventCondition::RetryableFailure,
        EventCondition::PermanentFailure,
        EventCondition::Always,
    ];

    /// The name it has in a template.
    pub fn as_str(self) -> &'static str {
        match self {
            EventCondition::Success => "success",
            EventCondition::Failure => "failure",
            EventCondition::RetryableFailure => "retryable_failure",
            EventCondition::PermanentFailure => "permanent_failure",
            EventCondition::Always => "always",
        }
    }

    /// The condition of that name.
    pub fn parse(text: &str) -> Option<EventCondition> {
        EventCondition::ALL.iter().copied().find(|condition| condition.as_str() == text)
    }

    /// Whether an attempt that ended so is meant. `goes_on`: another one follows.
    pub fn holds(self, success: bool, goes_on: bool) -> bool {
        match self {
            EventCondition::Success => success,
            EventCondition::Failure => !success,
            EventCondition::RetryableFailure => !success && goes_on,
            EventCondition::PermanentFailure => !success && !goes_on,
            EventCondition::Always => true,
        }
    }
}

/// An event that a step publishes.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDeclaration {
    /// Its name, unique in its step.
    pub name: Arc<str>,
    /// For people; empty when there is none.
    pub description: String,
    /// When it is published.
    pub condition: EventCondition,
    /// How it travels.
    pub delivery_mode: DeliveryMode,
    /// The JSON Schema its payload must fit.
    pub schema: Option<Value>,
    /// The Ruby class that makes its payload.
    pub publisher: Option<Arc<str>>,
    /// Where its key comes from.
    pub key: Option<EventKey>,
    compiled: Schema,
}

impl EventDeclaration {
    /// What is wrong with a payload, `/amount is missing, /id must be …`; `None`: it fits.
    pub fn misfit(&self, payload: &str) -> Option<String> {
        self.schema.as_ref()?;
        let payload: Value = match serde_json::from_str(payload) {
            Ok(payload) => payload,
            Err(error) => return Some(format!("the payload is not JSON: {error}")),
        };
        let (violations, unlisted) = self.compiled.violations(&payload);
        let words = |Violation { pointer, rule }: &Violation| {
            let place = if pointer.is_empty() { "the payload" } else { pointer };
            format!("{place} {}", if rule == "is required" { "is missing" } else { rule })
        };
        let mut listed: Vec<String> = violations.iter().map(words).collect();
        if unlisted > 0 {
            listed.push(format!("and {unlisted} more"));
        }
        (!listed.is_empty()).then(|| listed.join(", "))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "name": &*self.name,
            "description": self.description,
            "condition": self.condition.as_str(),
            "delivery_mode": self.delivery_mode.as_str(),
            "schema": self.schema,
            "publisher": self.publisher.as_deref(),
            "key": self.key.as_ref().map(EventKey::as_str),
        })
    }
}

/// Those of the events whose payload a class makes.
pub(super) fn publishers(declared: &[EventDeclaration]) -> Option<Arc<[EventPublisher]>> {
    let publisher = |event: &EventDeclaration| {
        let (event_name, condition) = (Arc::clone(&event.name), event.condition);
        event.publisher.clone().map(|class_name| EventPublisher { event_name, class_name, condition })
    };
    let found: Vec<EventPublisher> = declared.iter().filter_map(publisher).collect();
    (!found.is_empty()).then(|| found.into())
}

/// Reads the events of the step at `step`, which depends on `dependencies`; what is wrong is noted in `problems`.
pub(super) fn read(step: &str, list: &[Value], dependencies: &[String], problems: &Problems) -> Vec<EventDeclaration> {
    if list.len() > MAX_EVENTS {
        let count = list.len();
        problems
            .add(step, || format!("publishes {count} events, but may publish at most {MAX_EVENTS}; join some of them"));
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut read = Vec::with_capacity(list.len());
    for (number, value) in list.iter().enumerate() {
        let place = match value.get("name").and_then(Value::as_str) {
            Some(name) => format!("{step}: event {}", quoted(name)),
            None => format!("{step}: event number {}", number + 1),
        };
        let Some(event) = read_one(&place, value, dependencies, problems) else { continue };
        if !seen.insert(Arc::clone(&event.name)) {
            problems.add(&place, || "is declared twice; declare it once".to_owned());
        }
        read.push(event);
    }
    read
}

fn read_one(place: &str, value: &Value, dependencies: &[String], problems: &Problems) -> Option<EventDeclaration> {
    let fields = Fields::open(place, value, FIELDS, problems)?;
    let name = fields.required_text("name", "order.placed")?;
    fields.check(event::check_name(name));
    let schema = fields.given("schema").cloned();
    let compiled = schema.as_ref().map_or_else(|| Ok(Schema::default()), |schema| Schema::compile("schema", schema));
    let compiled = compiled.unwrap_or_else(|what| {
        fields.refuse(|| what);
        Schema::default()
    });
    let publisher = fields.text("publisher");
    publisher.into_iter().for_each(|publisher| fields.check(check_publisher(publisher)));
    Some(EventDeclaration {
        name: name.into(),
        description: fields.text("description").unwrap_or_default().to_owned(),
        condition: choice(&fields, "condition", EventCondition::ALL, EventCondition::as_str),
        delivery_mode: choice(&fields, "delivery_mode", DeliveryMode::ALL, DeliveryMode::as_str),
        schema,
        publisher: publisher.map(Arc::from),
        key: fields.text("key").and_then(|key| read_key(&fields, key, dependencies)),
        compiled,
    })
}

/// The one of `all` that the field names; the first if it is not given.
fn choice<T: Copy + Default>(fields: &Fields<'_>, field: &str, all: &[T], name: fn(T) -> &'static str) -> T {
    let Some(value) = fields.given(field) else { return T::default() };
    let chosen = value.as_str().and_then(|text| all.iter().copied().find(|one| name(*one) == text));
    chosen.unwrap_or_else(|| {
        fields.refuse(|| {
            let what = value.as_str().map_or_else(|| kind(value).to_owned(), quoted);
            let guess = did_you_mean(value.as_str().unwrap_or_default(), all.iter().map(|one| name(*one)));
            let allowed = all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
            format!("{field} is {what};{guess} it must be one of {allowed}")
        });
        T::default()
    })
}

fn read_key(fields: &Fields<'_>, text: &str, dependencies: &[String]) -> Option<EventKey> {
    let key = EventKey::parse(text);
    if let Ok(key) = &key {
        for step in key.steps().filter(|step| !dependencies.iter().any(|known| known == step)) {
            fields.refuse(|| {
                let step = quoted(step);
                format!("key reads the result of {step}, which this step does not depend on; add it to dependencies")
            });
        }
    }
    key.map_err(|what| fields.refuse(|| format!("key {what}; write a path such as `{{/input/order_id}}`"))).ok()
}

fn check_publisher(text: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let constant = |part: &str| part.starts_with(|first: char| first.is_ascii_uppercase()) && part.bytes().all(allowed);
    if text.len() <= MAX_PUBLISHER && text.split("::").all(constant) {
        return Ok(());
    }
    Err(format!(
        "publisher {} is no name a class can have; write a Ruby class such as `PaymentEventPublisher`, of at most \
         {MAX_PUBLISHER} characters",
        quoted(text)
    ))
}
