//! Owns: what a stored transition says besides its states and its time: JSON, the same in every store.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::graph::{StepTransition, TaskTransition};

/// `correlation_id`, `duration_ms`.
pub(super) fn of_task(transition: &TaskTransition, correlation_id: Uuid) -> String {
    format!(r#"{{"correlation_id":"{correlation_id}","duration_ms":{:.3}}}"#, transition.duration_ms)
}

/// `correlation_id`, `duration_ms`; as far as there are any `attempt`, `worker`, `reason`, `error`.
pub(super) fn of_step(transition: &StepTransition, correlation_id: Uuid) -> Result<String> {
    let mut metadata = String::with_capacity(256);
    let _ = write!(metadata, r#"{{"correlation_id":"{correlation_id}","duration_ms":{:.3}"#, transition.duration_ms);
    if transition.attempt > 0 {
        let _ = write!(metadata, r#","attempt":{}"#, transition.attempt);
    }
    if let Some(worker_id) = &transition.worker_id {
        let _ = write!(metadata, r#","worker":{}"#, json(&**worker_id)?);
    }
    if let Some(reason) = transition.reason {
        let _ = write!(metadata, r#","reason":"{reason}""#);
    }
    if let Some(error) = transition.ended.as_ref().and_then(|ended| ended.error.as_ref()) {
        let (class_name, message) = (json(&error.class_name)?, json(&error.message)?);
        let _ = write!(metadata, r#","error":{{"class":{class_name},"message":{message}}}"#);
    }
    metadata.push('}');
    Ok(metadata)
}

/// A value as JSON.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Internal(format!("cannot write JSON: {error}")))
}
