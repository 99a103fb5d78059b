//! Owns: spans that Ruby opens: their ids when they begin, their record when they are over. Refuses:
//! keeping them in between, which is Ruby's business.

use magnus::prelude::*;
use magnus::{function, Error, RArray, RHash, RModule, RString, Ruby};
use tasker_engine::clock::Micros;
use tasker_engine::error::Error as EngineError;
use tasker_engine::ids;
use tasker_telemetry::record::context::TraceContext;
use tasker_telemetry::record::sampling::{self, Parent};
use tasker_telemetry::record::spans::{self, OwnName, SpanEvent, SpanKind, SpanRecord};

use crate::errors::{guard, Fault};
use crate::{fields, gvl, telemetry};

/// The `traceparent` of a span that begins now: in the trace of `parent`, which is another process's when `remote`, or
/// the root of a trace of its own. `nil` where telemetry has not its settings yet.
fn start_span(ruby: &Ruby, parent: Option<RString>, remote: bool) -> Result<Option<RString>, Error> {
    guard(ruby, || {
        let pid = std::process::id();
        if !telemetry::is_ready(pid) {
            return Ok(None);
        }
        let parent = parent.map(|text| gvl::with_str(text, TraceContext::parse_traceparent)).transpose()?.flatten();
        let (trace_id, span_id) = ids::span_ids(pid, parent.map(|parent| parent.trace_id));
        let of = if remote { Parent::Elsewhere } else { Parent::Own };
        let sampled = sampling::decide(parent.map(|parent| of(parent.sampled)), trace_id, None);
        let context = TraceContext { trace_id, span_id, sampled };
        Ok(Some(ruby.str_new(std::str::from_utf8(&context.traceparent()).unwrap_or_default())))
    })
}

/// A `traceparent` as this library writes it; nil for what W3C Trace Context tells a receiver to ignore.
fn read_traceparent(ruby: &Ruby, text: RString) -> Result<Option<RString>, Error> {
    guard(ruby, || {
        let context = gvl::with_str(text, TraceContext::parse_traceparent)?;
        Ok(context.map(|context| ruby.str_new(&context.to_traceparent())))
    })
}

/// Whether a span that ends now would go anywhere.
fn spans_enabled(_: &Ruby) -> bool {
    spans::enabled()
}

/// Records a span that is over: its name and `traceparent`, that of its parent if it has one, whether the
/// parent is another process's, begin and end in microseconds since the epoch, attributes (a Hash), events
/// (Arrays of name, moment and attributes), and why it failed, if it did.
#[allow(clippy::too_many_arguments)]
fn record_span(
    ruby: &Ruby,
    name: RString,
    traceparent: RString,
    parent: Option<RString>,
    remote: bool,
    start: i64,
    end: i64,
    attributes: Option<RHash>,
    events: Option<RArray>,
    error: Option<RString>,
) -> Result<(), Error> {
    guard(ruby, || {
        let Some(context) = gvl::with_str(traceparent, TraceContext::parse_traceparent)? else {
            return Err(EngineError::InvalidInput("a span needs its own traceparent".into()).into());
        };
        let parent = parent.map(|text| gvl::with_str(text, TraceContext::parse_traceparent)).transpose()?.flatten();
        spans::record_own(SpanRecord {
            name: fields::text(name)?.into(),
            trace_id: context.trace_id,
            span_id: context.span_id,
            parent_span_id: parent.map(|parent| parent.span_id),
            parent_is_remote: remote,
            kind: SpanKind::Internal,
            start: Micros(start),
            end: Micros(end.max(start)),
            common: None,
            attributes: fields::attributes(attributes)?,
            events: match events {
                Some(events) => events.into_iter().map(event).collect::<Result<_, _>>()?,
                None => Vec::new(),
            },
            links: Vec::new(),
            error: error.map(fields::text).transpose()?,
        });
        Ok(())
    })
}

fn event(event: magnus::Value) -> Result<SpanEvent<OwnName>, Fault> {
    let (name, at, attributes) = <(RString, i64, Option<RHash>)>::try_convert(event)?;
    Ok(SpanEvent { name: fields::text(name)?.into(), at: Micros(at), attributes: fields::attributes(attributes)? })
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("start_span", function!(start_span, 2))?;
    native.define_singleton_method("read_traceparent", function!(read_traceparent, 1))?;
    native.define_singleton_method("spans_enabled?", function!(spans_enabled, 0))?;
    native.define_singleton_method("record_span", function!(record_span, 9))
}
