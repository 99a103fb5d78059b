//! Owns: the claims this worker holds, and turning what comes back into settlements.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::channel::StepCompletion;
use crate::clock::Micros;
use crate::event::{EventKey, Said};
use crate::plan::Settlement;
use crate::step::StepError;
use crate::store::{Claim, Inputs};
use crate::template::StepTemplate;
use tasker_telemetry::record::context;

/// A claim whose attempt has not been settled.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    pub(super) claim: Claim,
    pub(super) attempt: u32,
    pub(super) timeout_seconds: Option<f64>,
    /// When the event entered the channel, after the commit of the claim.
    pub(super) dispatched_at: Micros,
    /// It was claimed ahead of a free handler.
    pub(super) ahead: bool,
    /// Its end is on its way into the store: whatever else comes of it is too late.
    pub(super) ending: bool,
    /// What it works on, when its step declares events.
    pub(super) inputs: Option<AttemptInputs>,
}

/// What an attempt works on, as far as events are made from it.
#[derive(Debug, Clone)]
pub(super) struct AttemptInputs {
    /// The task's context.
    pub(super) context: Arc<str>,
    /// Results of dependencies that keys are made from.
    pub(super) steps: Vec<(Arc<str>, Arc<str>)>,
}

impl AttemptInputs {
    pub(super) fn of(template: &StepTemplate, inputs: &Inputs) -> AttemptInputs {
        let keys = || template.publishes_events.iter().filter_map(|event| event.key.as_ref());
        let read = |name: &str| keys().flat_map(EventKey::steps).any(|step| step == name);
        let steps = inputs.dependency_results.iter().filter(|(name, _)| read(name)).cloned().collect();
        AttemptInputs { context: Arc::clone(&inputs.context), steps }
    }
}

/// What a completion says about the handler's run.
#[derive(Debug, Clone)]
pub(super) struct CompletionTrace {
    /// The attempt's event.
    pub(super) event_id: Uuid,
    /// Its task, and its step.
    pub(super) task_uuid: Uuid,
    pub(super) step_uuid: Uuid,
    /// When the event entered the channel, after the commit of the claim.
    pub(super) dispatched_at: Micros,
    /// When the completion reached the engine.
    pub(super) received_at: Micros,
    /// The handler's run, by the handler thread's clock.
    pub(super) handler: Option<(Micros, Micros)>,
    /// Milliseconds the handler ran.
    pub(super) execution_time_ms: Option<f64>,
    /// The trace and span id that came back, when both did and are well formed.
    pub(super) handed_back: Option<(u128, u64)>,
}

/// A settlement that is not durable yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) event_id: Uuid,
    pub(super) task_id: i64,
    pub(super) settlement: Settlement,
    /// What its handler published.
    pub(super) said: Option<Box<Said>>,
    /// What it worked on, when its step declares events.
    pub(super) inputs: Option<AttemptInputs>,
    /// What the completion says of the run; `None` for a timeout, which the engine settles itself.
    pub(super) completion: Option<CompletionTrace>,
    /// Whether it keeps its transactions from succeeding.
    pub(super) suspect: Suspect,
}

/// What may be at fault when a transaction fails for reasons that may be the store's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Suspect {
    /// How often a transaction with nothing else in it has failed, with commits in between.
    pub(super) failures: u32,
    /// Commits of this engine when it last failed.
    pub(super) commits: u64,
}

impl Pending {
    /// What it adds to a transaction, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let outcome = match &self.settlement.outcome {
            Ok(result) => result.len(),
            Err(error) => error.message.len() + error.backtrace.iter().map(String::len).sum::<usize>(),
        };
        outcome + self.said.as_ref().map_or(0, |said| said.bytes())
    }

    /// Makes it a failure: the result cannot be stored.
    pub(super) fn refuse(&mut self, why: &str) {
        self.suspect = Suspect::default();
        self.settlement.outcome = Err(StepError {
            class_name: "TaskerCore::UnserializableResultError".into(),
            message: format!("the database does not take what the handler returned: {why}"),
            retryable: false,
            ..StepError::default()
        });
    }
}

/// The claims, by event.
#[derive(Default)]
pub(super) struct InFlights {
    claims: HashMap<Uuid, InFlight>,
    by_token: HashMap<u64, Uuid>,
}

impl InFlights {
    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }

    pub(super) fn insert(&mut self, event_id: Uuid, claim: InFlight) {
        self.by_token.insert(claim.claim.token, event_id);
        self.claims.insert(event_id, claim);
    }

    pub(super) fn remove(&mut self, event_id: &Uuid) -> Option<InFlight> {
        let claim = self.claims.remove(event_id)?;
        self.by_token.remove(&claim.claim.token);
        Some(claim)
    }

    /// Removes the claim of that token, when the worker still holds it.
    pub(super) fn remove_token(&mut self, token: u64) -> Option<Uuid> {
        let event_id = self.by_token.remove(&token)?;
        self.claims.remove(&event_id);
        Some(event_id)
    }

    pub(super) fn claims(&self) -> impl Iterator<Item = (&Uuid, &InFlight)> {
        self.claims.iter()
    }

    pub(super) fn has_token(&self, token: u64) -> bool {
        self.by_token.contains_key(&token)
    }

    pub(super) fn contains(&self, event_id: &Uuid) -> bool {
        self.claims.contains_key(event_id)
    }

    pub(super) fn clear(&mut self) -> Vec<Uuid> {
        self.by_token.clear();
        self.claims.drain().map(|(event_id, _)| event_id).collect()
    }

    /// What a completion settles; or it itself, when its attempt is no longer this worker's.
    pub(super) fn settlement(
        &mut self,
        completion: StepCompletion,
        received_at: Micros,
    ) -> Result<Pending, Box<StepCompletion>> {
        let Some(claim) = self.claims.get_mut(&completion.event_id).filter(|claim| !claim.ending) else {
            return Err(Box::new(completion));
        };
        claim.ending = true;
        let handler = completion.started_at.zip(completion.execution_time_ms).map(|(started_at, ms)| {
            let micros = (ms.clamp(0.0, 1e12) * 1000.0).round() as i64;
            (started_at, Micros(started_at.0.saturating_add(micros)))
        });
        let handed_back = handed_back(&completion);
        let trace = CompletionTrace {
            event_id: completion.event_id,
            task_uuid: completion.task_uuid,
            step_uuid: completion.step_uuid,
            received_at,
            dispatched_at: claim.dispatched_at,
            handler,
            execution_time_ms: completion.execution_time_ms,
            handed_back,
        };
        let outcome = completion.outcome.map(Arc::from);
        let mut pending = claim.pending(completion.event_id, outcome, Some(trace), None);
        pending.said = completion.said;
        Ok(pending)
    }

    /// What an attempt that ran too long settles.
    pub(super) fn timeout(&mut self, event_id: Uuid) -> Option<Pending> {
        let claim = self.claims.get_mut(&event_id).filter(|claim| !claim.ending)?;
        claim.ending = true;
        let limit = claim.timeout_seconds.unwrap_or_default();
        let error = StepError {
            class_name: "TaskerCore::StepTimeout".into(),
            message: format!(
                "attempt {} ran longer than its timeout_seconds of {limit}; a result that still comes is refused",
                claim.attempt
            ),
            retryable: true,
            ..StepError::default()
        };
        Some(claim.pending(event_id, Err(error), None, Some("timeout")))
    }
}

/// The ids that came back with a completion, when both did and are well formed.
pub(super) fn handed_back(completion: &StepCompletion) -> Option<(u128, u64)> {
    context::parse_ids(completion.trace_id.as_ref()?, completion.span_id.as_ref()?)
}

impl InFlight {
    fn pending(
        &self,
        event_id: Uuid,
        outcome: Result<Arc<str>, StepError>,
        completion: Option<CompletionTrace>,
        reason: Option<&'static str>,
    ) -> Pending {
        let Claim { task_id, position, token } = self.claim;
        let settlement = Settlement { position, token, outcome, reason };
        let inputs = self.inputs.clone();
        Pending { event_id, task_id, settlement, said: None, inputs, completion, suspect: Suspect::default() }
    }
}
