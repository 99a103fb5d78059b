//! Owns: the step as the engine holds it while it decides.

use std::sync::Arc;

use uuid::Uuid;

use crate::channel::StepError;
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
