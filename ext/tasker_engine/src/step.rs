//! Owns: the step as the engine holds it while it decides.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Micros;
use crate::state::StepState;

/// A step of a task. Its place in `Graph::steps` is its position in the template.
#[derive(Debug, Clone)]
pub struct Step {
    /// The step's identity everywhere outside the store.
    pub step_uuid: Uuid,
    /// Where it is in its life.
    pub state: StepState,
    /// When it came to that state.
    pub state_since: Micros,
    /// Attempts begun, the current one included.
    pub attempts: u32,
    /// The attempt after which it fails for good.
    pub max_attempts: u32,
    /// `waiting_for_retry`: when the next attempt may begin.
    pub due_at: Option<Micros>,
    /// `in_progress`: whose claim it is. It holds as long as that worker's lease does.
    pub worker_id: Option<Arc<str>>,
    /// `in_progress`: the claim's fencing token, which no other claim ever had. It is the span id of the attempt's
    /// `worker.step_execution`.
    pub span_id: Option<u64>,
    /// The number of its message, in a store that keeps messages.
    pub message_id: Option<i64>,
    /// The result, as JSON, as far as it is known here.
    pub result: Option<Arc<str>>,
    /// The last attempt's error, when this transaction set it.
    pub error: Option<StepError>,
    /// Whether this transaction set `result` and `error`.
    pub settled: bool,
    /// Whether this transaction changed the step.
    pub changed: bool,
}

/// Why an attempt failed: what is kept in the store for the operator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepError {
    /// The exception's class.
    #[serde(rename = "class")]
    pub class_name: String,
    /// The exception's message, in its own words.
    pub message: String,
    /// The message as logs and spans may show it, where that is another one; not stored.
    #[serde(skip)]
    pub masked: Option<String>,
    /// The application's own code for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The field a `ValidationError` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Where it was raised, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// The attempt it ended; the engine sets it.
    pub attempt: u32,
    /// Whether another attempt may help.
    pub retryable: bool,
    /// Seconds to wait before the next attempt; wins over the template's backoff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
}

impl StepError {
    /// The message as logs and spans may show it.
    pub fn shown(&self) -> &str {
        self.masked.as_deref().unwrap_or(&self.message)
    }
}
