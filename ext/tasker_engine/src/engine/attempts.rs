//! Owns: what this process knows of attempts that a transaction ended, and the store does not: when their events went out
//! and came back. It meets the transitions where spans, lines and numbers are made from them.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::in_flight::{CompletionTrace, Pending};
use crate::clock::Micros;

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
