//! Owns: checking a request against its template and fixing everything about the task that must not
//! depend on which process carries it out: ids, trace, time. Runs on the caller's thread.

use std::sync::Arc;

use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::ids;
use crate::plan::NewTask;
use crate::store::catalogue::{Catalogue, Stored};
use crate::store::Reader;
use crate::task::{TaskRequest, TaskTrace};
use tasker_telemetry::record::context::TraceContext;
use tasker_telemetry::record::sampling::{self, Parent};

/// The longest idempotency key, in bytes.
const LONGEST_KEY: usize = 255;
/// The last second of the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The task the request asks for, or why it cannot be had.
pub fn check(request: TaskRequest, catalogue: &Catalogue, reader: &dyn Reader, clock: &Clock) -> Result<NewTask> {
    let stored = template(&request, catalogue, reader)?;
    let context = request.context.get();
    if !context.starts_with('{') {
        return Err(Error::InvalidInput(format!(
            "the context of {}/{} must be a JSON object",
            request.namespace, request.name
        )));
    }
    if stored.template.input_schema.is_some() {
        let value = serde_json::from_str(context)
            .map_err(|error| Error::InvalidInput(format!("the context is not JSON: {error}")))?;
        stored.template.validate_context(&value)?;
    }
    let unfit = |key: &String| key.is_empty() || key.len() > LONGEST_KEY || key.contains('\0');
    if request.idempotency_key.as_ref().is_some_and(unfit) {
        return Err(Error::InvalidInput(format!(
            "idempotency_key must have 1 to {LONGEST_KEY} bytes, none of them NUL"
        )));
    }
    let now = clock.now();
    Ok(NewTask {
        task_uuid: ids::uuid_v7(now),
        template: stored.template,
        template_id: stored.id,
        context: Arc::from(context),
        priority: request.priority,
        correlation_id: request.correlation_id.unwrap_or_else(|| ids::uuid_v7(now)),
        parent_correlation_id: request.parent_correlation_id,
        idempotency_key: request.idempotency_key,
        trace: trace(request.traceparent.as_deref(), request.sampled, &request.namespace),
        run_at: request.run_at.map(moment).transpose()?,
    })
}

fn template(request: &TaskRequest, catalogue: &Catalogue, reader: &dyn Reader) -> Result<Stored> {
    let TaskRequest { namespace, name, version, .. } = request;
    let unfit = |(_, text): &(&str, &str)| text.contains('\0');
    let texts =
        [("namespace", namespace.as_str()), ("name", name), ("version", version.as_deref().unwrap_or_default())];
    if let Some((what, text)) = texts.into_iter().find(unfit) {
        return Err(Error::InvalidInput(format!("the template's {what} {text:?} has a NUL character in it")));
    }
    let find = || catalogue.find(namespace, name, version.as_deref());
    if catalogue.is_registered(namespace, name) {
        if let Some(stored) = find() {
            return Ok(stored);
        }
    }
    // Registered elsewhere, and perhaps anew since it was last read.
    reader.read_templates(namespace, name, catalogue)?;
    find().ok_or_else(|| {
        let version = version.as_ref().map(|version| format!(" version {version}")).unwrap_or_default();
        let known = catalogue.names();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Error::NotFound(format!(
            "no template {namespace}/{name}{version} is registered; known here: {known}. \
             Register it, or start a worker that does, before submitting"
        ))
    })
}

/// The task's place in a trace. A `traceparent` that is not well formed starts a new trace, as W3C
/// Trace Context asks: a caller's broken header is no reason to lose its task.
fn trace(traceparent: Option<&str>, decided: Option<bool>, namespace: &str) -> TaskTrace {
    let parent = traceparent.and_then(TraceContext::parse_traceparent);
    if let (Some(text), None) = (traceparent, &parent) {
        tracing::warn!(traceparent = text, "Not W3C trace context; the task starts a trace of its own");
    }
    let trace_id = parent.as_ref().map_or_else(ids::trace_id, |parent| parent.trace_id);
    let joins = parent.as_ref().map(|parent| decided.map_or(Parent::Elsewhere(parent.sampled), Parent::Own));
    TaskTrace {
        trace_id,
        root_span_id: ids::span_id(),
        parent_span_id: parent.as_ref().map(|parent| parent.span_id),
        sampled: sampling::decide(joins, trace_id, Some(namespace)),
        root_recorded: false,
    }
}

fn moment(seconds: f64) -> Result<Micros> {
    if !(0.0..=LAST_SECOND).contains(&seconds) {
        return Err(Error::InvalidInput(format!("run_at must be a time in Unix seconds, not {seconds}")));
    }
    Ok(Micros((seconds * 1e6) as i64))
}
