//! Owns: what is said of a task or a step that has moved, to listeners in this process.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::clock::Micros;

/// One thing that happened to a task or a step. Keys that do not apply are left out of its JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Lifecycle {
    /// What happened: `task.completed`, `step.failed`, `workflow.viable_steps_discovered`, ….
    pub event: &'static str,
    /// The task.
    pub task_uuid: Uuid,
    /// The step, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_uuid: Option<Uuid>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_name: Option<Arc<str>>,
    /// The template's name.
    pub task_name: Arc<str>,
    /// The task's namespace.
    pub namespace: Arc<str>,
    /// The task's correlation id.
    pub correlation_id: Uuid,
    /// The task's trace: 32 hex digits.
    pub trace_id: String,
    /// The span it happened in: 16 hex digits.
    pub span_id: String,
    /// When: RFC 3339, in UTC, with microseconds.
    pub at: String,
    /// When the task was submitted, or the attempt claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When the task, or the attempt, was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// The attempt's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_number: Option<u32>,
    /// The attempt after which the step fails for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_limit: Option<u32>,
    /// How many steps the task has, and how many are done and have failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_steps: Option<usize>,
    /// Steps that are complete or were resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_steps: Option<usize>,
    /// Steps that failed for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_steps: Option<usize>,
    /// The error's message, as logs may show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The error's class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// Where it was raised, innermost first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<Vec<String>>,
    /// How long the task, or the attempt, took, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_duration: Option<f64>,
}

impl Lifecycle {
    /// Its JSON text.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A moment as it is said here.
    pub fn moment(at: Micros) -> String {
        at.to_rfc3339_micros()
    }
}
