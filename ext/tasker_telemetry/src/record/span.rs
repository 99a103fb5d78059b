//! Owns: what a finished span is. Refuses: anything about where it goes.

use std::borrow::Cow;
use std::sync::Arc;

use uuid::Uuid;

use crate::time::Micros;

/// What a span is to its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpanKind {
    /// Work inside this process.
    #[default]
    Internal,
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Puts a message into a queue.
    Producer,
    /// Takes a message from a queue.
    Consumer,
}

/// An attribute's value. Text that is shared or static is never copied on the recording thread.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text known at compile time.
    Static(&'static str),
    /// Text that many spans share: a step's name, a namespace.
    Shared(Arc<str>),
    /// Text of this span's own.
    String(String),
    /// Written as 36 characters when it is exported, not before.
    Uuid(Uuid),
    /// A trace's id, its bytes in a UUID's clothes: written as 32 hex digits when it is exported.
    TraceId(Uuid),
    /// Written as 16 hex digits when it is exported.
    SpanId(u64),
    /// A whole number.
    I64(i64),
    /// A fractional number.
    F64(f64),
    /// A truth.
    Bool(bool),
    /// A list or an object, as JSON text.
    Json(String),
    /// Known to be nothing.
    Null,
}

/// A name that may be made at run time: those of spans, events and attributes that applications give.
pub type OwnName = Cow<'static, str>;

/// Attributes of a span or of an event, in order. The engine's own names are known at compile time and
/// cost nothing; `K` is [`OwnName`] where an application gives them.
pub type Attributes<K = &'static str> = Vec<(K, Value)>;

/// Something that happened at one moment of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent<K = &'static str> {
    /// The event's name.
    pub name: K,
    /// When it happened.
    pub at: Micros,
    /// What is known about it.
    pub attributes: Attributes<K>,
}

/// A finished span of a sampled trace.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanRecord<K = &'static str> {
    /// The span's name: the engine's are in the table in `docs/internals/spans.md`.
    pub name: K,
    /// The trace it belongs to.
    pub trace_id: u128,
    /// Its own id.
    pub span_id: u64,
    /// The span it happened in; `None` for the root of a trace.
    pub parent_span_id: Option<u64>,
    /// The parent is another process's span: the trace came in with a `traceparent`.
    pub parent_is_remote: bool,
    /// What it is to its trace.
    pub kind: SpanKind,
    /// When it began.
    pub start: Micros,
    /// When it ended.
    pub end: Micros,
    /// What is known about it and about other spans as well: made once for all of them.
    pub common: Option<Arc<Attributes<K>>>,
    /// What is known about it alone.
    pub attributes: Attributes<K>,
    /// What happened in it.
    pub events: Vec<SpanEvent<K>>,
    /// Other spans it is about: trace id and span id.
    pub links: Vec<(u128, u64)>,
    /// Why it failed; `None` when it did not.
    pub error: Option<String>,
}

impl SpanRecord {
    /// The same span, with all that is known about it in `attributes`, among spans whose names are made at run time.
    pub(crate) fn to_own(&self) -> SpanRecord<OwnName> {
        let own = |attributes: &mut dyn Iterator<Item = &(&'static str, Value)>| -> Attributes<OwnName> {
            attributes.map(|(key, value)| (Cow::Borrowed(*key), value.clone())).collect()
        };
        let events = self.events.iter().map(|event| SpanEvent {
            name: Cow::Borrowed(event.name),
            at: event.at,
            attributes: own(&mut event.attributes.iter()),
        });
        SpanRecord {
            name: Cow::Borrowed(self.name),
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_span_id: self.parent_span_id,
            parent_is_remote: self.parent_is_remote,
            kind: self.kind,
            start: self.start,
            end: self.end,
            common: None,
            attributes: own(&mut self.common.iter().flat_map(|common| common.iter()).chain(&self.attributes)),
            events: events.collect(),
            links: self.links.clone(),
            error: self.error.clone(),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Value {
                Value::$variant(value.into())
            }
        })*
    };
}

value_from! {
    &'static str => Static, Arc<str> => Shared, String => String, Uuid => Uuid,
    i64 => I64, i32 => I64, u32 => I64, f64 => F64, bool => Bool,
}
