//! Owns: what this process knows of attempts that a transaction ended, and the store does not: when their events went out
//! and came back. It meets the transitions where spans, lines and numbers are made from them.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::in_flight::Pending;
use crate::clock::Micros;

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

/// A result that is refused, because its attempt is no longer current.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stale {
    pub(super) event_id: Uuid,
    pub(super) task_uuid: Uuid,
    pub(super) step_uuid: Uuid,
    pub(super) handed_back: Option<(u128, u64)>,
    pub(super) success: bool,
    pub(super) received_at: Micros,
}

/// Attempts of one transaction, by the tokens of their claims.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    completions: HashMap<u64, CompletionTrace>,
    unbegun: HashSet<u64>,
}

impl Attempts {
    /// The attempts whose completions were settled.
    pub(super) fn of(pending: &mut [Pending]) -> Attempts {
        let completions = pending.iter_mut();
        let completions =
            completions.filter_map(|pending| Some((pending.settlement.token, pending.completion.take()?)));
        Attempts { completions: completions.collect(), unbegun: HashSet::new() }
    }

    /// No handler had begun it, nor ever will: its event was still in the channel when it ended.
    pub(super) fn never_begun(&mut self, token: u64) {
        self.unbegun.insert(token);
    }

    pub(super) fn was_begun(&self, token: Option<u64>) -> bool {
        token.is_none_or(|token| !self.unbegun.contains(&token))
    }

    pub(super) fn completion(&self, token: Option<u64>) -> Option<&CompletionTrace> {
        self.completions.get(&token?)
    }
}
