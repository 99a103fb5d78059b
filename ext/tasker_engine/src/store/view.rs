//! Owns: what a reader sees of a task: plain data, ready to be written as JSON.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::Value;

/// A task as it is stored. Times are microseconds since the Unix epoch.
#[derive(Debug, Clone, Serialize)]
pub struct TaskView {
    /// The task.
    pub task_uuid: String,
    /// The template's namespace.
    pub namespace: String,
    /// The template's name.
    pub name: String,
    /// The template's version.
    pub version: String,
    /// A state of `docs/internals/state_machines.md`.
    pub state: String,
    /// Higher is claimed first.
    pub priority: i32,
    /// Set once at creation.
    pub correlation_id: String,
    /// The workflow that started it.
    pub parent_correlation_id: Option<String>,
    /// The caller's key.
    pub idempotency_key: Option<String>,
    /// 32 hex digits.
    pub trace_id: String,
    /// Span id of `task.orchestration`: 16 hex digits.
    pub root_span_id: String,
    /// When it was submitted.
    pub created_at: i64,
    /// When its first steps may run.
    pub run_at: Option<i64>,
    /// When it came to a final state.
    pub completed_at: Option<i64>,
    /// What the steps work on.
    pub context: Box<RawValue>,
    /// Its steps, in the order of the template.
    pub steps: Vec<StepView>,
}

/// A step as it is stored.
#[derive(Debug, Clone, Serialize)]
pub struct StepView {
    /// The step.
    pub step_uuid: String,
    /// Its name in the template.
    pub name: String,
    /// Its handler's name in the template.
    pub handler: String,
    /// A state of `docs/internals/state_machines.md`.
    pub state: String,
    /// Attempts begun.
    pub attempts: u32,
    /// The attempt after which it fails for good.
    pub max_attempts: u32,
    /// When its next attempt may begin.
    pub due_at: Option<i64>,
    /// Whose claim it is.
    pub worker_id: Option<String>,
    /// What its handler returned.
    pub result: Option<Box<RawValue>>,
    /// Why its last attempt failed.
    pub error: Option<Value>,
}

/// A move of a task or of one of its steps.
#[derive(Debug, Clone, Serialize)]
pub struct TransitionView {
    /// The step's name; absent when the task moved.
    pub step: Option<String>,
    /// The state it left.
    pub from_state: String,
    /// The state it came to.
    pub to_state: String,
    /// When.
    pub created_at: i64,
    /// `correlation_id`, `duration_ms`; for steps `worker`, `attempt`, `reason`, `error`.
    pub metadata: Value,
}
