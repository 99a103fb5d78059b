//! Owns: the claims this worker holds, and turning what comes back into settlements.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::channel::{StepCompletion, StepError};
use crate::clock::Micros;
use crate::graph::CompletionTrace;
use crate::plan::Settlement;
use crate::store::Held;
use crate::telemetry::context;

/// A claim whose attempt has not been settled.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    pub(super) held: Held,
    pub(super) timeout_seconds: Option<f64>,
    /// When the event entered the channel, after the commit of the claim.
    pub(super) dispatched_at: Micros,
}

/// A settlement that is not durable yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) event_id: Uuid,
    pub(super) task_id: i64,
    pub(super) settlement: Settlement,
}

/// The claims, by event.
#[derive(Default)]
pub(super) struct InFlights {
    claims: HashMap<Uuid, InFlight>,
}

impl InFlights {
    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }

    pub(super) fn insert(&mut self, event_id: Uuid, claim: InFlight) {
        self.claims.insert(event_id, claim);
    }

    pub(super) fn remove(&mut self, event_id: &Uuid) -> Option<InFlight> {
        self.claims.remove(event_id)
    }

    /// Removes the claim of a step, when the worker still holds one.
    pub(super) fn remove_step(&mut self, task_id: i64, position: usize, attempt: u32) -> Option<Uuid> {
        let held = Held { task_id, position, attempt };
        let event_id = *self.claims.iter().find(|(_, claim)| claim.held == held)?.0;
        self.claims.remove(&event_id);
        Some(event_id)
    }

    pub(super) fn held(&self) -> Vec<Held> {
        self.claims.values().map(|claim| claim.held).collect()
    }

    pub(super) fn clear(&mut self) -> Vec<Uuid> {
        self.claims.drain().map(|(event_id, _)| event_id).collect()
    }

    /// What a completion settles; `None` when its attempt is no longer this worker's.
    pub(super) fn settlement(
        &self,
        completion: StepCompletion,
        received_at: Micros,
        worker_id: &Arc<str>,
    ) -> Option<Pending> {
        let claim = self.claims.get(&completion.event_id)?;
        let handler = completion.started_at.zip(completion.execution_time_ms).map(|(started_at, ms)| {
            let micros = (ms.clamp(0.0, 1e12) * 1000.0).round() as i64;
            (started_at, Micros(started_at.0.saturating_add(micros)))
        });
        let handed_back = match (&completion.trace_id, &completion.span_id) {
            (Some(trace_id), Some(span_id)) => context::parse_ids(trace_id, span_id),
            _ => None,
        };
        let trace = CompletionTrace {
            event_id: completion.event_id,
            received_at,
            dispatched_at: claim.dispatched_at,
            handler,
            execution_time_ms: completion.execution_time_ms,
            handed_back,
        };
        Some(Pending {
            event_id: completion.event_id,
            task_id: claim.held.task_id,
            settlement: Settlement {
                position: claim.held.position,
                attempt: claim.held.attempt,
                worker_id: Arc::clone(worker_id),
                outcome: completion.outcome.map(Arc::from),
                completion: Some(trace),
                reason: None,
            },
        })
    }

    /// What an attempt that ran too long settles.
    pub(super) fn timeout(&self, event_id: Uuid, worker_id: &Arc<str>) -> Option<Pending> {
        let claim = self.claims.get(&event_id)?;
        let limit = claim.timeout_seconds.unwrap_or_default();
        let error = StepError {
            class_name: "TaskerCore::StepTimeout".into(),
            message: format!(
                "attempt {} ran longer than its timeout_seconds of {limit}; a result that still comes is refused",
                claim.held.attempt
            ),
            retryable: true,
            ..StepError::default()
        };
        Some(Pending {
            event_id,
            task_id: claim.held.task_id,
            settlement: Settlement {
                position: claim.held.position,
                attempt: claim.held.attempt,
                worker_id: Arc::clone(worker_id),
                outcome: Err(error),
                completion: None,
                reason: Some("timeout"),
            },
        })
    }
}
