//! Owns: the task as the engine holds it while it decides, and the request it is made from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::clock::Micros;
use crate::state::TaskState;
use crate::template::Template;

/// A task: one run of a template.
#[derive(Debug, Clone)]
pub struct Task {
    /// The store's own number for the task; grows with age. Zero until it is stored.
    pub id: i64,
    /// The task's identity everywhere outside the store.
    pub task_uuid: Uuid,
    /// What the task was made from.
    pub template: Arc<Template>,
    /// The store's number for that template.
    pub template_id: i64,
    /// Where it is in its life.
    pub state: TaskState,
    /// When it came to that state.
    pub state_since: Micros,
    /// Higher is claimed first.
    pub priority: i32,
    /// Set once, at creation; never changes.
    pub correlation_id: Uuid,
    /// The workflow that started this one.
    pub parent_correlation_id: Option<Uuid>,
    /// At most one task of a template has a given key.
    pub idempotency_key: Option<String>,
    /// Its place in the trace.
    pub trace: TaskTrace,
    /// When it was submitted.
    pub created_at: Micros,
    /// When its first steps may run.
    pub run_at: Option<Micros>,
    /// When it came to a final state.
    pub completed_at: Option<Micros>,
    /// Rows of its journal so far: one for each transaction that changed it. Whoever writes the next one must have read
    /// the last one: it is what two writers of one task are told apart by.
    pub journal: u32,
    /// The context, a JSON object. Loaded only when it is needed.
    pub context: Option<Arc<str>>,
}

/// The ids a task's spans are made with, fixed at submission so that they survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskTrace {
    /// The trace all spans of the task belong to.
    pub trace_id: u128,
    /// The span id of `task.orchestration`.
    pub root_span_id: u64,
    /// The caller's span, when the task was submitted with a `traceparent`.
    pub parent_span_id: Option<u64>,
    /// Whether the trace is kept, as a whole.
    pub sampled: bool,
    /// Whether `task.orchestration` has been recorded.
    pub root_recorded: bool,
}

/// What a caller asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRequest {
    /// The template's name.
    pub name: String,
    /// The template's namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// The template's version; the latest registered one when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// What the steps work on: a JSON object.
    #[serde(default = "empty_context")]
    pub context: Box<RawValue>,
    /// Higher is claimed first; default 0.
    #[serde(default)]
    pub priority: i32,
    /// A second request of this template with the same key gives the first one's task.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// Handed in, or made here.
    #[serde(default)]
    pub correlation_id: Option<Uuid>,
    /// The workflow that starts this one.
    #[serde(default)]
    pub parent_correlation_id: Option<Uuid>,
    /// W3C trace context of the caller: the task joins that trace.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// The flag of the trace it joins, when that trace goes on in this process and so is decided already.
    #[serde(default)]
    pub sampled: Option<bool>,
    /// Unix seconds before which no step runs.
    #[serde(default)]
    pub run_at: Option<f64>,
}

fn default_namespace() -> String {
    "default".into()
}

fn empty_context() -> Box<RawValue> {
    RawValue::from_string("{}".into()).unwrap_or_default()
}

/// The answer to a [`TaskRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Submitted {
    /// The task.
    pub task_uuid: Uuid,
    /// Its correlation id.
    pub correlation_id: Uuid,
    /// Its trace id: 32 hex digits.
    pub trace_id: String,
    /// False when the idempotency key named a task that was there already.
    pub created: bool,
}
